# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be said of each component of a survey, and of errors. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _host, _lock, _store
from ansible_collections.rbee.fleet.plugins.module_utils._request import (
    EXTRA,
    FAILED,
    HOST,
    INSTALLED,
    REMOVED,
    STARTED,
    STOPPED,
    UPDATED,
    Outcome,
    Request,
)
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceError
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import QUEEN
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey
from ansible_collections.rbee.fleet.plugins.module_utils._target import TargetError

# What may be wrong with a host as a whole
FORESEEN = (ServiceError, SourceError, TargetError, _host.HostError, _lock.Busy, _store.StoreError, OSError)


def reason_of(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def explained(error: BaseException, *also: type[Exception]) -> str:
    """The reason people read; an error that nobody foresaw is named as such. also: more errors that are foreseen."""
    if isinstance(error, (*FORESEEN, *also)):
        return reason_of(error)
    return f"unexpected {type(error).__name__}: {error}; please report it"


def describe(outcome: Outcome, receipt: t.Mapping[str, t.Any]) -> None:
    for key in ("version", "variant", "release", "generation", "address", "port", "model"):
        setattr(outcome, key, receipt.get(key, getattr(outcome, key)))


def outcomes(survey: Survey, request: Request) -> dict[str, Outcome]:
    """One outcome a component with what the plan says, before anything is done; also the answer of a dry run."""
    found = {HOST: Outcome(HOST, HOST, steps=[str(step) for step in survey.host_plan.steps])}
    found[HOST].changed = survey.host_plan.changes
    found[HOST].drift = [dataclasses.asdict(item) for item in survey.drift.get(HOST, ())]
    for name, plan in survey.plans.items():
        receipt = survey.receipts.get(name, {})
        seen = survey.seen[name]
        outcome = Outcome(name, receipt.get("kind", ""), changed=plan.changes, steps=[str(step) for step in plan.steps])
        describe(outcome, receipt)
        outcome.drift = [dataclasses.asdict(item) for item in survey.drift.get(name, ())]
        if name not in survey.targets:
            outcome.state = REMOVED if plan.steps else EXTRA
            outcome.declared = dict(receipt.get("declared") or {})
        elif plan.changes and request.state in (STARTED, STOPPED):
            outcome.state = request.state
        elif plan.changes:
            outcome.state = INSTALLED if seen.receipt is None else UPDATED
        if receipt.get("idle") and outcome.state != REMOVED:
            outcome.reason = f"idle: {receipt['idle']}"
        if outcome.kind == QUEEN and survey.unmapped:
            outcome.reason = f"her map loses {', '.join(survey.unmapped)}"
        found[name] = outcome
    kinds = {spec.name: spec.kind for spec in request.specs}
    for name, fault in survey.faults.items():
        kind = kinds.get(name) or survey.receipts.get(name, {}).get("kind", "")
        found[name] = Outcome(name, kind, state=FAILED, reason=fault)
    return found


def asked(found: t.Iterable[Outcome], request: Request) -> list[Outcome]:
    """What a request that is narrowed to some components has to answer for."""
    return [one for one in found if one.name == HOST or one.changed or request.asks_for(one.name, one.kind)]


def completed(survey: Survey, answer: dict[str, t.Any]) -> dict[str, t.Any]:
    """The answer, with what the order of an upgrade depends on, and with the hives that the queen knows."""
    if "register" in survey.receipts.get(QUEEN, {}):
        answer["register"] = survey.receipts[QUEEN]["register"]
    if survey.standing is not None:
        answer.update(standing=dict(survey.standing), staged=survey.staged)
    return answer
