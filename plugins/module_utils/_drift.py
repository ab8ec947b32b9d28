# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a component differs from what is declared, in words. Pure.

What counts is what a sync acts on: a declared component has drift that counts exactly when its plan has steps, and each
cause of a step has one word.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._plan import (
    DISABLE,
    ENABLE,
    LINK,
    START,
    Observed,
    Plan,
    differing,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import GATEWAY_FILE, HIVE, MODEL
from ansible_collections.rbee.fleet.plugins.module_utils._target import Target

MISSING, EXTRA, VERSION, MODIFIED, STOPPED, UNHEALTHY = (
    "missing", "extra", "version", "modified", "stopped", "unhealthy",
)  # fmt: skip
OTHER_MODEL, ARGUMENTS, GATEWAY, CHANGED = "model", "arguments", "gateway", "changed"
HELD, LEFT, TEMPORARY = "held", "left", "temporary"
NOTES = frozenset({HELD, LEFT, TEMPORARY})  # told, and neither undone nor counted

_ARGUMENTS = ("args", "env", "gpus", "variant")  # keys of a declared worker that become its command line

Receipt = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Drift:
    """One difference. kind: one of the words above. detail: for people; with the kind before it, a sentence's half."""

    kind: str
    detail: str = ""

    @property
    def counts(self) -> bool:
        return self.kind not in NOTES


def drift_of(target: Target, seen: Observed, plan: Plan, receipt: Receipt) -> tuple[Drift, ...]:
    """Of a declared component. receipt: what shall be recorded of it."""
    held = bool(seen.receipt and seen.receipt.get("held"))
    notes: tuple[Drift, ...] = (Drift(HELD, "stopped on request, until it is started"),) if held else ()
    if target.spec.temporary:
        notes += (Drift(TEMPORARY, "until it is removed by name"),)
    if not plan.steps:
        return notes
    found = tuple(_differences(target, seen, plan, receipt))
    return (found or (Drift(CHANGED, _rest(seen, plan, receipt)),)) + notes


def drift_of_host(plan: Plan, components: t.Iterable[t.Iterable[Drift]]) -> tuple[Drift, ...]:
    """Of what components have in common; what is only done for the sake of one counts there."""
    if not plan.steps or any(item.counts for drift in components for item in drift):
        return ()
    return (Drift(MODIFIED, ", ".join(str(step) for step in plan.steps)),)


def drift_of_extra(receipt: Receipt, purge: bool, users: t.Sequence[str] = (), clears: bool = False) -> Drift:
    """Of a component that nobody declares. Models stay where they are until they are purged, as on an uninstall.

    users: the components that serve it and stay. clears: whether what is temporary is to go as well.
    """
    if receipt.get("kind") == MODEL and users:
        return Drift(LEFT, f"a model that is not declared here; it stays while {' and '.join(users)} serves it")
    if receipt.get("kind") == MODEL and not purge:
        return Drift(LEFT, "a model that is not declared here; it stays until it is purged or adopted")
    about = " ".join(str(receipt.get(key)) for key in ("type", "version") if receipt.get(key))
    about += f" on port {receipt['port']}" if receipt.get("port") else ""
    about += f", installed by {receipt['controller']}" if receipt.get("controller") else ""
    return Drift(TEMPORARY if receipt.get("temporary") and not clears else EXTRA, about)


def _differences(target: Target, seen: Observed, plan: Plan, receipt: Receipt) -> t.Iterator[Drift]:
    known = seen.receipt
    if known is None:
        yield Drift(MISSING, "its installation was not completed" if seen.current else "not installed")
        return
    if known.get("release") != receipt.get("release"):
        yield _version(known, receipt)
    elif seen.release_fault:
        yield Drift(MODIFIED, f"release {target.build.release}: {_fault(seen.release_fault)}")
    if target.has_service:
        yield from _configuration(target, seen, known, receipt)
        yield from _service(target, seen, plan, known)
    if plan.has(LINK):
        yield Drift(MODIFIED, f"program {', '.join(seen.links)}")


def _version(known: Receipt, receipt: Receipt) -> Drift:
    for key in ("version", "variant"):
        if known.get(key) != receipt.get(key):
            return Drift(VERSION, f"{key} {known.get(key)} instead of {receipt.get(key)}")
    return Drift(VERSION, f"another build of version {receipt.get('version')}")


def _configuration(target: Target, seen: Observed, known: Receipt, receipt: Receipt) -> t.Iterator[Drift]:
    if known.get("generation") == target.generation:
        if seen.generation_fault:
            yield Drift(MODIFIED, _fault(seen.generation_fault))
        if seen.current != target.generation:
            yield Drift(MODIFIED, f"generation {seen.current or 'none'} runs, not the one that was installed")
        if seen.unit != target.unit:
            yield Drift(MODIFIED, f"service definition: {'gone' if seen.unit is None else 'changed'}")
    else:
        yield from _settings(target, known, receipt)


def _settings(target: Target, known: Receipt, receipt: Receipt) -> t.Iterator[Drift]:
    """What another generation has that the recorded one has not."""
    if f"files/{GATEWAY_FILE}" in target.contents:
        yield Drift(GATEWAY, "her map of hives and workers is out of date" + _strangers(known, receipt))
        return
    explained = known.get("release") != receipt.get("release")
    old, new = known.get("declared") or {}, receipt.get("declared") or {}
    words = [key for key in _ARGUMENTS if old.get(key) != new.get(key)]
    if known.get("served_name") != receipt.get("served_name"):
        explained = True
        yield Drift(
            OTHER_MODEL, f"{known.get('served_name') or 'none'} instead of {receipt.get('served_name') or 'none'}"
        )
    elif known.get("models") != receipt.get("models"):
        explained = True
        one, other = (", ".join(sorted(item.get("models", {}).values())) or "none" for item in (known, receipt))
        yield Drift(OTHER_MODEL, f"on demand {one} instead of {other}")
    elif known.get("model") != receipt.get("model"):
        explained = True
        yield Drift(OTHER_MODEL, f"{known.get('model') or 'none'} instead of {receipt.get('model') or 'none'}")
    for key in ("address", "port"):
        if known.get(key) != receipt.get(key):
            explained = True
            yield Drift(CHANGED, f"{key} {known.get(key)} instead of {receipt.get(key)}")
    if words:
        yield Drift(ARGUMENTS, ", ".join(words))
    elif not explained and known.get("start") != receipt.get("start"):
        yield Drift(ARGUMENTS, "command line or environment")
    elif not explained:
        yield Drift(CHANGED, "what it knows of the fleet" if target.spec.kind == HIVE else "its files or its service")


def _strangers(known: Receipt, receipt: Receipt) -> str:
    """The temporary workers that she knows and this configuration has not: of another checkout, or removed here."""
    ours = (receipt.get("declared") or {}).get("temporary", ())
    found = [name for name in (known.get("declared") or {}).get("temporary", ()) if name not in ours]
    return f": it has {', '.join(found)} as temporary, which this checkout has not" if found else ""


def _service(target: Target, seen: Observed, plan: Plan, known: Receipt) -> t.Iterator[Drift]:
    should_run = bool(known.get("auto_start")) and not known.get("idle")
    if plan.has(ENABLE, DISABLE) and should_run == target.runs:
        yield Drift(MODIFIED, f"{'not started' if plan.has(ENABLE) else 'started'} at boot")
    if plan.has(START) and should_run:
        yield Drift(STOPPED, "its process does not run")
    if seen.active and seen.healthy is False:
        yield Drift(UNHEALTHY, "it hangs" if seen.hung else "it does not answer yet")


def _rest(seen: Observed, plan: Plan, receipt: Receipt) -> str:
    keys = differing(seen.receipt or {}, receipt)
    return f"recorded otherwise: {', '.join(keys)}" if keys else ", ".join(str(step) for step in plan.steps)


def _fault(fault: str) -> str:
    return "gone" if fault == "missing" else fault[len("modified: ") :] if fault.startswith("modified: ") else fault
