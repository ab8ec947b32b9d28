# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a fleet as one JSON document, from what its hosts answered. Pure. docs/status.md has the format."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, KINDS, QUEEN
from ansible_collections.rbee.fleet.plugins.plugin_utils import _agents, _ask, _glance
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import one_line

SCHEMA = 1

# States of a host
OK, DRIFT, UNREACHABLE, FAILED = "ok", "drift", "unreachable", "failed"
STATES = (OK, DRIFT, UNREACHABLE, FAILED)
NOT_LOOKED_AT = (UNREACHABLE, FAILED)

HTTP = "http"


@dataclasses.dataclass(frozen=True)
class Look:
    """One host, and what was found there.

    declared: its specifications. hostname: how Ansible reaches it. connection: Ansible's, such as ``ssh``.
    said: the state that its agent told. silent: why the agent told none.
    found: what rbee.fleet.components_info returned there, None when it did not run.
    """

    declared: t.Sequence[t.Mapping[str, t.Any]] = ()
    hostname: str = ""
    connection: str = ""
    said: t.Mapping[str, t.Any] | None = None
    silent: str = ""
    found: t.Mapping[str, t.Any] | None = None

    def has(self, kind: str) -> bool:
        return any(spec["kind"] == kind for spec in self.declared)


def document(
    looks: t.Mapping[str, Look],
    queen: t.Mapping[str, t.Any],
    fleet: str,
    time: str,
    kinds: t.Collection[str] = KINDS,
) -> dict[str, t.Any]:
    """Everything that was found. queen: what rbee.fleet.agents_info says of her. time: ISO 8601, UTC."""
    hosts = {name: _host(look, queen, fleet, kinds) for name, look in looks.items()}
    hives = [name for name, look in looks.items() if look.has(HIVE) or not look.has(QUEEN)]
    counts = collections.Counter(hosts[name]["state"] for name in hives)
    queens = [name for name, look in looks.items() if look.has(QUEEN)]
    return {
        "schema": SCHEMA,
        "fleet": fleet,
        "time": time,
        "summary": {"hives": len(hives), **{state: counts[state] for state in STATES}},
        "queen": {**queen, "host": queens[0], "state": hosts[queens[0]]["state"]} if queens and queen else None,
        "hosts": dict(sorted(hosts.items(), key=lambda item: item[0] not in queens)),
    }


def not_looked_at(found: t.Mapping[str, t.Any]) -> dict[str, str]:
    """By host, why it could not be looked at. found: a document."""
    return {name: host["reason"] for name, host in found["hosts"].items() if host["state"] in NOT_LOOKED_AT}


def _host(look: Look, queen: t.Mapping[str, t.Any], fleet: str, kinds: t.Collection[str]) -> dict[str, t.Any]:
    state, reason = (look.said, "") if look.said else _found(look, fleet)
    report: dict[str, t.Any] = {
        "state": OK,
        "reason": reason,
        "source": HTTP if look.said else look.connection or "ssh",
        "agent": look.silent,
        "address": _address(look),
        "drift": [],
        "missing": [],
        "host": None,
        "components": [],
        "devices": None,
        "devices_reason": "",
    }
    if state is None:
        unreachable = look.found and look.found.get("unreachable")
        return {**report, "state": UNREACHABLE if unreachable else FAILED, "source": ""}
    shown = [component for component in state["components"] if component["kind"] in (*kinds, "")]
    drift = _glance.drift(look.declared, shown, kinds)
    if look.has(QUEEN) and QUEEN in kinds and queen.get("info"):
        drift += _glance.drift_of_queen(look.declared, queen["info"])
    report.update(
        state=DRIFT if drift else OK,
        drift=drift,
        missing=_glance.missing(look.declared, shown, kinds),
        host=state["host"],
        components=sorted(shown, key=lambda component: (_rank(component["kind"]), component["name"])),
    )
    if "devices" in state:
        report.update(devices=state["devices"], devices_reason=state["devices_reason"])
    elif not state["host"]["device_kinds"]:
        report["devices"] = []
    else:
        report["devices_reason"] = "what looked at this host does not read single devices"
    return report


def _found(look: Look, fleet: str) -> tuple[_agents.State | None, str]:
    """What Ansible found on the host, or why nothing."""
    found = look.found
    if not found:
        return None, "nothing looked at it"
    if "components" not in found:
        return None, one_line(str(found.get("msg") or "no reason was given"))
    return _agents.checked(found, fleet)


def _address(look: Look) -> str:
    """Where its agent listens; for a host without one how Ansible reaches it."""
    spec = next((spec for spec in look.declared if spec["kind"] == HIVE), None)
    return _ask.where(str(spec.get("address", "")), int(spec.get("port", 0))) if spec else look.hostname


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)
