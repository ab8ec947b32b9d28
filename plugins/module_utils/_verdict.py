# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was found of a component to what is said of it. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _service
from ansible_collections.rbee.fleet.plugins.module_utils._health import HealthResult
from ansible_collections.rbee.fleet.plugins.module_utils._plan import served_by
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL

RUNNING, STARTING, RESTARTING, STOPPED, FAILED = "running", "starting", "restarting", "stopped", "failed"
IDLE, HELD, INSTALLED = "idle", "held", "installed"
STATES = (RUNNING, STARTING, RESTARTING, STOPPED, FAILED, IDLE, HELD, INSTALLED)

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}
HEALTH_TIMEOUT = 60  # seconds a component may take to become ready when its receipt does not say

_RECEIPT = {
    "name": "",
    "type": "",
    "kind": "",
    "fleet": "",
    "version": "",
    "variant": "",
    "release": "",
    "generation": "",
    "address": "",
    "port": 0,
    "model": "",
    "served_name": "",
}
_LAST_RUN = {"time": "", "seconds": 0.0, "rc": -1, "commit": "", "reason": ""}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was found of one component.

    receipt: its record. state: of its service, None when it could not be asked or there is none.
    counted: whether the service manager counts restarts. unknown: why a state could not be asked.
    problems: where the files are not what the receipt says. last_run: what a pull has recorded of its last run.
    """

    receipt: t.Mapping[str, t.Any]
    state: t.Optional[ServiceState]
    counted: bool = False
    unknown: str = ""
    problems: tuple[str, ...] = ()
    last_run: t.Optional[t.Mapping[str, t.Any]] = None

    @property
    def asks(self) -> bool:
        """Whether it is to be asked for its health: it may be running and has a place to ask."""
        may_run = self.state is None or self.state.active
        return bool(may_run and self.receipt.get("health") and self.receipt.get("port"))


def health_url(receipt: t.Mapping[str, t.Any]) -> str:
    """Where a component says that it is ready; one that listens everywhere is asked on loopback."""
    address = str(receipt.get("address", ""))
    address = WILDCARDS.get(address, address)
    return f"http://{f'[{address}]' if ':' in address else address}:{receipt.get('port')}{receipt.get('health')}"


def component_of(found: Evidence, health: t.Optional[HealthResult], now: float) -> dict[str, t.Any]:
    """One component as JSON data. now: seconds since the epoch."""
    receipt, service = found.receipt, found.state
    state, reason = state_of(found, health, now)
    out: dict[str, t.Any] = {
        key: receipt[key] if isinstance(receipt.get(key), type(default)) else default
        for key, default in _RECEIPT.items()
    }
    out.update(
        state=state,
        reason=reason,
        healthy=None if health is None else health.ok,
        health=health.detail if health else "",
        models=list(served_by(receipt)),
        pid=service.pid if service and service.pid else None,
        since=service.since if service and service.active else None,
        restarts=service.restarts if service and found.counted else None,
        auto_start=bool(receipt.get("auto_start", False)),
        held=bool(receipt.get("held", False)),
        temporary=bool(receipt.get("temporary", False)),
        problems=list(found.problems),
        last_run=_last_run(found.last_run),
    )
    return out


def state_of(found: Evidence, health: t.Optional[HealthResult], now: float) -> tuple[t.Optional[str], str]:
    """One of STATES, None when it cannot be known, and the reason."""
    receipt, service = found.receipt, found.state
    if receipt.get("kind") == MODEL:
        return INSTALLED, ""
    if service is None:
        return None, found.unknown or "its service could not be asked"
    if service.sub == _service.FAILED:
        told = _last_run(found.last_run)
        return FAILED, (told["reason"] if told and told["rc"] else "") or service.result
    if service.active:
        timeout = receipt.get("health_timeout", HEALTH_TIMEOUT)
        if health is not None and not health.ok and now - service.since < timeout:
            return STARTING, health.detail
        return RUNNING, ""
    if service.sub == _service.STARTING:
        return STARTING, ""
    if service.sub == _service.RESTARTING:
        return RESTARTING, service.result
    if receipt.get("held"):
        return HELD, "stopped on request until it is started"
    if receipt.get("idle"):
        return IDLE, str(receipt["idle"])
    if receipt.get("auto_start"):
        return STOPPED, service.result or "it should run"
    return STOPPED, service.result


def _last_run(recorded: t.Optional[t.Mapping[str, t.Any]]) -> t.Optional[dict[str, t.Any]]:
    """What is told of a run, whatever the file holds; None when nothing can be."""
    if recorded is None:
        return None
    return {
        key: recorded[key] if isinstance(recorded.get(key), type(default)) else default
        for key, default in _LAST_RUN.items()
    }


def is_well(component: t.Mapping[str, t.Any]) -> bool:
    """Whether a component is as its receipt wants it, as far as could be found out."""
    bad = component["state"] in (FAILED, RESTARTING) or (component["state"] == STOPPED and component["auto_start"])
    return not bad and not component["problems"] and component["healthy"] is not False
