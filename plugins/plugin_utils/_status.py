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
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import cause

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

    @property
    def is_hive(self) -> bool:
        """Whether it is more than the machine of the queen."""
        return self.has(HIVE) or not self.has(QUEEN)


def document(
    looks: t.Mapping[str, Look],
    queen: t.Mapping[str, t.Any],
    fleet: str,
    time: str,
    kinds: t.Collection[str] = KINDS,
) -> dict[str, t.Any]:
    """Everything that was found of components of these kinds.

    queen: what rbee.fleet.agents_info says of her. time: ISO 8601, UTC.
    """
    states = {name: (look.said, "") if look.said else _found(look, fleet) for name, look in looks.items()}
    others = [
        f"{name}/{worker}"
        for name, (state, _reason) in states.items()
        for worker in _glance.strangers(looks[name].declared, state["components"] if state else ())
    ]
    hosts = {name: _host(look, states[name], queen, others, kinds) for name, look in looks.items()}
    if not set(kinds) >= set(KINDS):  # and then not the hosts without any of these kinds
        hosts = {name: host for name, host in hosts.items() if host["state"] != OK or host["components"]}
    hives = [name for name in hosts if looks[name].is_hive]
    counts = collections.Counter(hosts[name]["state"] for name in hives)
    queens = [name for name in hosts if looks[name].has(QUEEN)]
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


def _host(
    look: Look,
    known: tuple[t.Mapping[str, t.Any] | None, str],
    queen: t.Mapping[str, t.Any],
    others: t.Sequence[str],
    kinds: t.Collection[str],
) -> dict[str, t.Any]:
    """known: its state, or None and why. others: the workers that another checkout has as temporary."""
    state, reason = known
    report: dict[str, t.Any] = {
        "state": OK,
        "reason": reason,
        "source": HTTP if look.said else look.connection or "ssh",
        "agent": look.silent if look.has(HIVE) else "",
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
        drift += _glance.drift_of_queen(look.declared, queen["info"], others)
    report.update(
        state=DRIFT if drift else OK,
        drift=drift,
        missing=_glance.missing(look.declared, shown, kinds),
        host=state["host"],
        components=_ordered(shown, look.declared),
    )
    if look.is_hive:
        report["devices"], report["devices_reason"] = _devices(state)
    return report


def _ordered(
    components: t.Iterable[dict[str, t.Any]], declared: t.Iterable[t.Mapping[str, t.Any]]
) -> list[dict[str, t.Any]]:
    """By kind and name; models with the name that clients use, which only their declaration has."""
    names = {spec["name"]: spec.get("served_name", "") for spec in declared}
    named = [{**item, "served_name": item["served_name"] or names.get(item["name"], "")} for item in components]
    return sorted(named, key=lambda item: (_rank(item["kind"]), item["name"]))


def _devices(state: t.Mapping[str, t.Any]) -> tuple[list[dict[str, t.Any]] | None, str]:
    """The GPUs of a host, None where they are not known, and why something of them is not."""
    if "devices" in state:
        return state["devices"], state["devices_reason"]
    if state["host"]["device_kinds"]:
        return None, "what looked at this host does not read single devices"
    return [], ""


def _found(look: Look, fleet: str) -> tuple[_agents.State | None, str]:
    """What Ansible found on the host, or why nothing."""
    found = look.found
    if not found:
        return None, "nothing looked at it"
    if "components" not in found:
        return None, cause(str(found.get("msg") or "no reason was given"))
    return _agents.checked(found, fleet)


def _address(look: Look) -> str:
    """Where its agent listens; for a host without one how Ansible reaches it."""
    spec = next((spec for spec in look.declared if spec["kind"] == HIVE), None)
    return _ask.where(str(spec.get("address", "")), int(spec.get("port", 0))) if spec else look.hostname


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)
