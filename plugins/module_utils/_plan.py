# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is and what shall be to the ordered steps between them. Pure: the dry run is this, and nothing else."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._digest import digest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import WORKER
from ansible_collections.rbee.fleet.plugins.module_utils._target import SECRETS, Target
from ansible_collections.rbee.fleet.plugins.module_utils._target import START as START_SCRIPT

# The steps of one component, in the order in which they are taken.
FETCH, WRITE, CHECK, SWITCH, UNIT, ENABLE, DISABLE = "fetch", "write", "check", "switch", "unit", "enable", "disable"
START, RESTART, RELOAD, STOP, GATE, LINK, RECORD = "start", "restart", "reload", "stop", "gate", "link", "record"
DRAIN, REMOVE, DISCARD = "drain", "remove", "discard"
# The steps of the host itself
FOLDERS, ACCOUNT, KEEP, TEARDOWN = "create folders", "create user", "keep", "tear down"

UNCHANGING = frozenset({GATE, DRAIN})  # looking and waiting are not changing


@dataclasses.dataclass(frozen=True)
class Step:
    """One action. detail: what it acts on, for people."""

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.detail}".rstrip()


@dataclasses.dataclass(frozen=True)
class Observed:
    """What a host has of one component.

    receipt: the record of the last install that was completed, or None. current, previous: generation names or "".
    release_fault: why the wanted release cannot be used as it is ("missing", "modified: PATH"), or "".
    generation_fault: the same for the wanted generation. unit: the installed unit's text, or None.
    active, enabled: state of the service. healthy: None when it was not asked. hung: it is not, and waiting for it is
    in vain. links: those to make or to remove.
    fault: why the component must not be touched at all, or "".
    """

    receipt: t.Optional[t.Mapping[str, t.Any]] = None
    current: str = ""
    previous: str = ""
    release_fault: str = ""
    generation_fault: str = ""
    unit: t.Optional[str] = None
    active: bool = False
    enabled: bool = False
    healthy: t.Optional[bool] = None
    hung: bool = False
    links: tuple[str, ...] = ()
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps of one component; nothing when it is as declared."""

    name: str
    steps: tuple[Step, ...] = ()

    @property
    def changes(self) -> bool:
        return any(step.name not in UNCHANGING for step in self.steps)

    def has(self, *names: str) -> bool:
        return any(step.name in names for step in self.steps)


def plan_present(
    target: Target, seen: Observed, receipt: t.Mapping[str, t.Any], force: bool = False, shared: bool = False
) -> Plan:
    """The steps that make a component present.

    receipt: the record that shall be there in the end. shared: another component of the host brings the same release.
    """
    steps: list[Step] = []
    build, spec = target.build, target.spec
    if (seen.release_fault or force) and not shared:
        steps.append(Step(FETCH, f"release {build.release} ({'forced' if force else seen.release_fault})"))
    if target.has_service:
        steps += _drained(_service_steps(target, seen, force), target, seen)
    if seen.links:
        steps.append(Step(LINK, ", ".join(seen.links)))
    if seen.receipt is None or steps_change(steps) or differs(seen.receipt, receipt):
        steps.append(Step(RECORD, "receipt"))
    return Plan(spec.name, tuple(steps))


def _service_steps(target: Target, seen: Observed, force: bool) -> list[Step]:
    steps: list[Step] = []
    spec, generation = target.spec, target.generation
    held = bool(seen.receipt and seen.receipt.get("held"))
    switches = seen.current != generation or bool(seen.generation_fault) or force
    rewrites_unit = seen.unit != target.unit
    if seen.generation_fault or force:
        steps.append(Step(WRITE, f"generation {generation} ({'forced' if force else seen.generation_fault})"))
    if switches and spec.check:
        steps.append(Step(CHECK, "configuration"))
    if switches:
        steps.append(Step(SWITCH, f"{seen.current or 'nothing'} to {generation}"))
    if rewrites_unit:
        steps.append(Step(UNIT, "service definition"))
    runs = target.runs and not held
    if runs and not seen.enabled:
        steps.append(Step(ENABLE, "at boot"))
    if not runs and seen.enabled:
        steps.append(Step(DISABLE, "at boot"))
    # The receipt is written last: a current generation that it does not know was switched to and then cut short.
    unfinished = seen.receipt is None or seen.receipt.get("generation") != generation
    stale = switches or rewrites_unit or unfinished or bool(seen.release_fault)
    if seen.active and spec.idle:
        steps.append(Step(STOP, f"idle: {spec.idle}"))
    elif seen.active and (stale or seen.hung):
        steps.append(Step(RELOAD if _reloadable(target, seen, rewrites_unit, force) else RESTART, "service"))
    elif runs and not seen.active:
        steps.append(Step(START, "service"))
    if spec.health.path and (steps_include(steps, START, RESTART, RELOAD) or (seen.active and seen.healthy is False)):
        steps.append(Step(GATE, f"health, up to {spec.health.timeout} s"))
    return steps


def _drained(steps: list[Step], target: Target, seen: Observed) -> list[Step]:
    """The steps, with the queen's requests to what it serves now ended before the first that touches it."""
    if not serves(seen) or not steps_include(steps, RESTART, STOP):
        return steps
    first = next(index for index, step in enumerate(steps) if step.name not in (WRITE, CHECK))
    drain = Step(DRAIN, f"requests at work, up to {target.spec.service.drain_timeout} s")
    return [*steps[:first], drain, *steps[first:]]


def serves(seen: Observed) -> tuple[str, ...]:
    """The names that clients use for the models that a running worker serves."""
    return served_by(seen.receipt or {}) if seen.active else ()


def served_by(receipt: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The names that clients use for the models of a worker, alone or on demand; none of anything else."""
    if receipt.get("kind") != WORKER:
        return ()
    alone = receipt.get("served_name", "")
    return (str(alone),) if alone else tuple(sorted(receipt.get("models", {}).values()))


def _reloadable(target: Target, seen: Observed, rewrites_unit: bool, force: bool) -> bool:
    """Whether a signal is enough: the program and its command line stay, only the files it reads differ."""
    known = seen.receipt or {}
    return bool(
        target.spec.service.reload_signal
        and not rewrites_unit
        and not force
        and not seen.hung
        and not seen.release_fault
        and seen.generation_fault in ("", "missing")  # what a person changed may be what runs
        and known.get("start") == start_digest(target)
    )


def start_digest(target: Target) -> str:
    """Stands for the command line and environment of a generation."""
    return digest([target.contents[path].text for path in (START_SCRIPT, SECRETS) if path in target.contents])


def staged(plan: Plan, target: Target, seen: Observed, force: bool) -> Plan:
    """What a plan brings, without what it does to anything that runs. force: it is brought again later.

    What would repair a tree in use is left for later too: once it is there, nothing tells that what runs is older.
    """
    in_use = seen.current == target.generation or seen.release_fault not in ("", "missing")
    kept = () if force or in_use else (FETCH, WRITE)
    return Plan(plan.name, tuple(step for step in plan.steps if step.name in kept))


def standing(
    seen: t.Mapping[str, Observed], plans: t.Mapping[str, Plan], receipts: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """What the order of an upgrade depends on: how many workers serve each model, will start to, and have to leave."""
    out: dict[str, t.Any] = {"serving": {}, "starting": {}, "leaving": {}}
    for name, found in seen.items():
        for key, models in (
            ("serving", serves(found) if found.healthy is not False else ()),
            ("starting", served_by(receipts[name]) if plans[name].has(START) else ()),
            ("leaving", serves(found) if plans[name].has(DRAIN) else ()),
        ):
            for model in models:
                out[key][model] = out[key].get(model, 0) + 1
    return out


def plan_absent(seen: Observed, name: str, drain: int = 0, unfinished: bool = False) -> Plan:
    """The steps that remove a component; nothing when there is nothing of it.

    drain: seconds for the requests at work on what serves; 0 ends them. unfinished: whether a download was begun.
    """
    steps: list[Step] = []
    if drain and serves(seen):
        steps.append(Step(DRAIN, f"requests at work, up to {drain} s"))
    if seen.active:
        steps.append(Step(STOP, "service"))
    if seen.enabled:
        steps.append(Step(DISABLE, "at boot"))
    if seen.receipt is not None or seen.current or seen.unit is not None:
        steps.append(Step(REMOVE, "files of its receipt"))
    if unfinished:
        steps.append(Step(DISCARD, "unfinished download"))
    return Plan(name, tuple(steps))


def plan_running(target: Target, seen: Observed, running: bool) -> Plan:
    """The steps of start and stop; a stop is a hold, kept in the receipt until the next start, also over a reboot."""
    steps: list[Step] = []
    name, health = target.spec.name, target.spec.health
    if not target.has_service or seen.receipt is None or (running and target.spec.idle):
        return Plan(name)
    held = bool(seen.receipt.get("held"))
    if running and target.runs and not seen.enabled:
        steps.append(Step(ENABLE, "at boot"))
    if not running and seen.enabled:
        steps.append(Step(DISABLE, "at boot"))
    if running and not seen.active and not target.spec.idle:
        steps.append(Step(START, "service"))
        if health.path:
            steps.append(Step(GATE, f"health, up to {health.timeout} s"))
    if not running and seen.active:
        steps.append(Step(STOP, "service"))
    if held == running:
        steps.append(Step(RECORD, "hold released" if running else "hold"))
    return Plan(name, tuple(steps))


def steps_change(steps: t.Iterable[Step]) -> bool:
    return any(step.name not in UNCHANGING for step in steps)


def steps_include(steps: t.Iterable[Step], *names: str) -> bool:
    return any(step.name in names for step in steps)


def differs(old: t.Mapping[str, t.Any], new: t.Mapping[str, t.Any]) -> bool:
    """Whether two receipts say something different; keys that only tell when and by whom do not count."""
    return bool(differing(old, new))


def differing(old: t.Mapping[str, t.Any], new: t.Mapping[str, t.Any]) -> list[str]:
    """The keys in which two receipts say something different."""
    passing = {"time", "controller", "held", "previous"}
    return sorted(key for key in {*old, *new} - passing if old.get(key) != new.get(key))
