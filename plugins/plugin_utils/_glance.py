# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift at a glance: where what was found on a host differs from what is declared for it. Pure.

It compares what an agent says, which is little: which components there are, their version, address, port and model, and
how they are. Arguments, environment, files and secrets it cannot see. What ``sync --check --diff`` shows is exact.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _verdict
from ansible_collections.rbee.fleet.plugins.module_utils._spec import KINDS, MODEL, QUEEN, WORKER

Thing = t.Mapping[str, t.Any]

_COMPARED = {"version": "version", "address": "address", "port": "port", "served_name": "model"}
_COMPARED_OF_MODELS = {"version": "version"}


def drift(declared: t.Iterable[Thing], found: t.Iterable[Thing], kinds: t.Container[str] = KINDS) -> list[str]:
    """What differs, in words, a line for each thing. declared: specifications. found: components of the same fleet."""
    specs = {spec["name"]: spec for spec in declared}
    components = {component["name"]: component for component in found}
    lines = []
    for name, spec in specs.items():
        if spec["kind"] in kinds:
            lines += [f"{name} {line}" for line in _of_one(spec, components.get(name))]
    for name, component in components.items():
        if name in specs:
            continue
        if component["kind"] in kinds and not component.get("temporary"):
            lines.append(f"{name} is extra")
        if not component["kind"]:
            lines.append(f"{name} {component['reason'] or 'is not known to be anything'}")
    return lines


def missing(declared: t.Iterable[Thing], found: t.Iterable[Thing], kinds: t.Container[str] = KINDS) -> list[str]:
    """Names of what is declared and not there."""
    names = {component["name"] for component in found}
    return [spec["name"] for spec in declared if spec["kind"] in kinds and spec["name"] not in names]


def strangers(declared: t.Iterable[Thing], found: t.Iterable[Thing]) -> list[str]:
    """Names of the workers that another checkout of the configuration has as temporary."""
    names = {spec["name"] for spec in declared}
    return [
        item["name"] for item in found if item["kind"] == WORKER and item.get("temporary") and item["name"] not in names
    ]


def drift_of_queen(specs: t.Iterable[Thing], info: Thing, others: t.Sequence[str] = ()) -> list[str]:
    """Where the queen answers for another configuration than the declared one.

    info: her ``/v1/info``. others: the workers, as ``hive/name``, that another checkout has as temporary.
    """
    declared = declared_info(specs)
    lines = []
    temporary = "queen's map has what another checkout has as temporary, which a run from here takes out of it: "
    for key, want in declared.items():
        have = info.get(key)
        if have == want:
            continue
        if others and key in ("workers", "models") and have == _with(want, have, len(others)):
            lines += [temporary + ", ".join(others)] if key == "workers" else []
        elif isinstance(want, list):
            lines.append(f"queen has other {key} than declared")
        else:
            lines.append(f"queen has {key} {have}, declared is {want}")
    return lines


def _with(want: t.Any, have: t.Any, more: int) -> t.Any:
    """What the queen answers where so many workers more than declared, with any models, are in her map."""
    if isinstance(want, list):
        return have if isinstance(have, list) and set(want) <= set(have) else want
    return want + more


def declared_info(specs: t.Iterable[Thing]) -> dict[str, t.Any]:
    """What the queen of these specifications answers on ``/v1/info``, without what tells nothing of a configuration."""
    files = [file for spec in specs if spec["kind"] == QUEEN for file in spec.get("files", ())]
    text = next((file.get("content", "") for file in files if file["path"] == "info.json"), "")
    found: dict[str, t.Any] = json.loads(text) if text else {}
    return found


def _of_one(spec: Thing, component: Thing | None) -> list[str]:
    if component is None:
        return ["is missing"]
    if not component["kind"]:
        return [component["reason"]]
    lines = [
        f"has {word} {component[key] or 'none'}, declared is {spec.get(key) or 'none'}"
        for key, word in (_COMPARED_OF_MODELS if spec["kind"] == MODEL else _COMPARED).items()
        if component[key] != spec.get(key, type(component[key])())
    ]
    lines += _on_demand(spec, component)
    state = _not_well(spec, component)
    problems = component["problems"]
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return lines + ([state] if state else []) + ([f"is not as installed: {problems[0]}{more}"] if problems else [])


def _on_demand(spec: Thing, component: Thing) -> list[str]:
    """Where a worker serves other models on demand than declared. One that has nothing to serve is told as idle."""
    want, have = sorted(spec.get("models", {}).values()), sorted(map(str, component.get("models", ())))
    if want == have or not want or component["state"] == _verdict.IDLE:
        return []
    return [f"serves {', '.join(have) or 'nothing'}, declared is {', '.join(want)}"]


def _not_well(spec: Thing, component: Thing) -> str:
    """What is wrong with how it is, or nothing."""
    state, why = component["state"], component["reason"] or component["health"]
    because = f": {why}" if why else ""
    if state is None:
        return "" if component["healthy"] else f"is in an unknown state{because}"
    if state == _verdict.RUNNING:
        return f"is not healthy{because}" if component["healthy"] is False else ""
    idle = spec.get("idle") or any(variant.get("idle") for variant in spec.get("variants", ()))
    if state in (_verdict.INSTALLED, _verdict.HELD) or (state == _verdict.IDLE and idle):
        return ""
    if state == _verdict.STOPPED and not spec.get("auto_start", True):
        return ""
    return f"is {state}{because}"
