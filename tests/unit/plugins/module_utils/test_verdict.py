# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a component, from what was found of it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _service
from ansible_collections.rbee.fleet.plugins.module_utils._health import HealthResult
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import Evidence, component_of, health_url, is_well

NOW = 1000.0
RECEIPT: dict[str, t.Any] = {
    "name": "w", "kind": "worker", "address": "127.0.0.1", "port": 8080, "health": "/health", "health_timeout": 60,
    "auto_start": True,
}  # fmt: skip
READY, LOADING = HealthResult(True, "answered 200", 0.1), HealthResult(False, "answered 503: loading", 0.1)


def up(since: float = 0.0) -> ServiceState:
    return ServiceState(True, _service.RUNNING, 42, True, since=since)


def down(sub: str, result: str = "") -> ServiceState:
    return ServiceState(False, sub, result=result)


@pytest.mark.parametrize(
    ("receipt", "service", "health", "expected"),
    [
        ({}, up(), READY, ("running", "")),
        ({}, up(NOW - 59), LOADING, ("starting", "answered 503: loading")),
        ({}, up(NOW - 61), LOADING, ("running", "")),
        ({}, down(_service.STARTING), None, ("starting", "")),
        ({}, down(_service.RESTARTING, "exited with 1"), None, ("restarting", "exited with 1")),
        ({}, down(_service.FAILED, "killed by SIGKILL"), None, ("failed", "killed by SIGKILL")),
        ({}, down(_service.STOPPED), None, ("stopped", "it should run")),
        ({"auto_start": False}, down(_service.STOPPED), None, ("stopped", "")),
        ({"held": True}, down(_service.STOPPED), None, ("held", "stopped on request until it is started")),
        ({"idle": "no model"}, down(_service.STOPPED), None, ("idle", "no model")),
        ({"kind": "model"}, None, None, ("installed", "")),
        ({}, None, READY, (None, "only root may ask")),
    ],
)
def test_the_state_of_a_component(
    receipt: dict[str, t.Any],
    service: ServiceState | None,
    health: HealthResult | None,
    expected: tuple[str | None, str],
) -> None:
    found = component_of(Evidence({**RECEIPT, **receipt}, service, unknown="only root may ask"), health, NOW)
    assert (found["state"], found["reason"]) == expected


def test_a_pull_whose_last_run_failed_is_failed_and_says_why() -> None:
    last = {"time": "2026-11-25T22:47:12Z", "seconds": 2.5, "rc": 2, "commit": "c", "reason": "no route", "log": ["x"]}
    waits = ServiceState(True, _service.FAILED, enabled=True, result="exited with 2")
    found = component_of(Evidence({"name": "pull", "kind": "pull"}, waits, last_run=last), None, NOW)
    assert (found["state"], found["reason"]) == ("failed", "no route")
    assert found["last_run"] == {key: value for key, value in last.items() if key != "log"}
    assert not is_well(found)


def test_a_damaged_record_of_a_run_is_told_as_far_as_it_goes() -> None:
    found = component_of(Evidence({"name": "pull"}, up(), last_run={"rc": "two", "reason": ["x"]}), None, NOW)
    assert found["last_run"] == {"time": "", "seconds": 0.0, "rc": -1, "commit": "", "reason": ""}
    assert component_of(Evidence({"name": "pull"}, up()), None, NOW)["last_run"] is None


def test_what_is_not_known_is_none_and_never_zero() -> None:
    found = component_of(Evidence(RECEIPT, None), None, NOW)
    assert [found[key] for key in ("state", "healthy", "pid", "since", "restarts")] == [None] * 5


def test_restarts_that_nobody_counts_are_not_known() -> None:
    assert component_of(Evidence(RECEIPT, up(), counted=False), READY, NOW)["restarts"] is None
    assert component_of(Evidence(RECEIPT, up(), counted=True), READY, NOW)["restarts"] == 0


@pytest.mark.parametrize(
    ("service", "asks"), [(up(), True), (None, True), (down(_service.STOPPED), False), (down(_service.FAILED), False)]
)
def test_only_what_may_run_is_asked_for_its_health(service: ServiceState | None, asks: bool) -> None:
    assert Evidence(RECEIPT, service).asks is asks


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("10.0.0.1", "http://10.0.0.1:8080/health"),
        ("0.0.0.0", "http://127.0.0.1:8080/health"),
        ("::", "http://[::1]:8080/health"),
        ("fd00::1", "http://[fd00::1]:8080/health"),
    ],
)
def test_where_health_is_asked(address: str, url: str) -> None:
    assert health_url({**RECEIPT, "address": address}) == url


@pytest.mark.parametrize(
    ("found", "health", "well"),
    [
        (Evidence(RECEIPT, up()), READY, True),
        (Evidence(RECEIPT, up()), LOADING, False),
        (Evidence(RECEIPT, up(), problems=("unit was changed",)), READY, False),
        (Evidence(RECEIPT, down(_service.STOPPED)), None, False),
        (Evidence({**RECEIPT, "held": True}, down(_service.STOPPED)), None, True),
        (Evidence({**RECEIPT, "auto_start": False}, down(_service.STOPPED)), None, True),
        (Evidence(RECEIPT, None), None, True),
    ],
)
def test_whether_a_component_is_well(found: Evidence, health: HealthResult | None, well: bool) -> None:
    assert is_well(component_of(found, health, NOW)) is well
