# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has and nobody declares: told, or removed on request, in the one run that converges the rest."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _survey
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Registered
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Answer, Host, free_port, wait_until


def kinds(answer: Answer) -> dict[str, list[str]]:
    every = [answer.result["host"], *answer.result["components"]]
    return {item["name"]: [drift["kind"] for drift in item["drift"]] for item in every if item["drift"]}


def test_what_is_extra_is_only_told_until_it_is_to_go(host: Host) -> None:
    declared, extra = (
        host.worker("declared"),
        dataclasses.replace(host.worker("extra"), declared='{"type": "stand-in"}'),
    )
    host.run(declared, extra)
    before = host.snapshot()
    told = host.check(declared, extra="report")
    assert (told.states, kinds(told)) == ({"declared": "ok", "extra": "extra"}, {"extra": ["extra"]})
    assert told.of("extra")["declared"] == {"type": "stand-in"}
    assert not host.run(declared, extra="report").changed
    assert host.check(declared).states == {"declared": "ok"}
    dry = host.check(declared, extra="remove")
    assert host.snapshot("journal", "lock") == {path: before[path] for path in host.snapshot("journal", "lock")}
    gone = host.run(declared, extra="remove")
    assert gone.states == {"declared": "ok", "extra": "removed"}
    assert gone.taken == dry.steps == {"extra": ["stop service", "disable at boot", "remove files of its receipt"]}
    assert host.answers(declared) and host.receipt("extra") is None
    assert not host.run(declared, extra="remove").changed


def test_what_another_fleet_has_is_nobody_s_extra(host: Host) -> None:
    theirs = dataclasses.replace(host.worker("theirs"), fleet="theirs")
    host.run(theirs, fleet="theirs")
    pid = host.ask(theirs)["pid"]
    ours = host.worker("ours")
    host.run(ours)
    answer = host.run(ours, extra="remove", purge=True)
    assert answer.states == {"ours": "ok"}
    assert host.ask(theirs)["pid"] == pid


def test_models_that_are_not_declared_stay_until_they_are_purged(host: Host) -> None:
    worker = host.worker()
    host.run(worker, host.model())
    told = host.run(worker, extra="remove")
    assert (told.states, kinds(told), told.changed) == ({"w": "ok", "m": "extra"}, {"m": ["left"]}, False)
    assert kinds(host.check(worker, extra="report", purge=True)) == {"m": ["extra"]}
    assert host.run(worker, extra="remove", purge=True).states == {"w": "ok", "m": "removed"}


def test_the_port_of_what_goes_is_free_for_what_comes(host: Host) -> None:
    old = host.worker("old")
    host.run(old)
    new = host.worker("new", port=old.port)
    refused = host.run(new, extra="report")
    assert "is taken by worker old, which is not declared any more" in refused.of("new")["reason"]
    dry = host.check(new, extra="remove")
    done = host.run(new, extra="remove")
    assert done.states == {"new": "installed", "old": "removed"}
    assert done.taken == dry.steps
    assert host.answers(new)


def test_what_waits_for_a_port_fails_when_it_stays_taken(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old = host.worker("old")
    host.run(old)

    def refuse(*_arguments: t.Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(host.manager), "stop", refuse)
    done = host.run(host.worker("new", port=old.port), extra="remove")
    assert done.states == {"new": "failed", "old": "failed"}
    assert f"needs port {old.port} of old, which stays: Read-only file system" in done.of("new")["reason"]


def test_kinds_and_names_narrow_what_is_extra(host: Host) -> None:
    worker, agent = host.worker(), dataclasses.replace(host.worker("hive"), kind="hive")
    host.run(worker, agent)
    assert host.check(extra="report", kinds=("hive",)).states == {"hive": "extra"}
    assert host.check(extra="report", names=("w",)).states == {"w": "extra"}


def test_each_kind_of_change_by_hand_is_named_and_undone(host: Host) -> None:
    specs = host.worker("stopped"), host.worker("edited"), host.worker("bare")
    host.run(*specs)
    host.manager.stop("stopped")
    (pathlib.Path(host.layout.current("edited")).resolve() / "files" / "greeting").write_text("mine")
    os.unlink(host.manager.unit_path("bare"))
    dry = host.check(*specs, extra="report")
    assert kinds(dry) == {"stopped": ["stopped"], "edited": ["modified"], "bare": ["modified", "modified"]}
    done = host.run(*specs, extra="report")
    assert done.taken == dry.steps, done.result.get("msg")
    assert all(map(host.answers, specs))
    assert kinds(host.check(*specs, extra="report")) == {}


def test_a_stop_is_told_and_not_undone(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    host.run(state="stopped", names=("w",))
    held = host.run(worker, extra="report")
    assert (kinds(held), held.changed) == ({"w": ["held"]}, False)


def test_what_hangs_is_started_anew(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = host.worker()
    host.run(worker)
    pid = host.ask(worker)["pid"]
    monkeypatch.setattr(_survey, "PROBE_TIMEOUT", 0.2)
    monkeypatch.setattr(_survey, "PATIENCE", 0.2)
    os.kill(pid, signal.SIGSTOP)
    assert kinds(host.check(worker))["w"] == ["unhealthy"]
    monkeypatch.setattr(_survey.time, "time", lambda: 4e9)  # long after it was started
    dry = host.check(worker)
    assert dry.of("w")["drift"] == [{"kind": "unhealthy", "detail": "it hangs"}]
    assert "restart service" in dry.steps["w"]
    host.run(worker)
    wait_until(lambda: host.answers(worker))
    assert host.ask(worker)["pid"] != pid


def test_what_components_share_counts_as_the_host_s(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    os.rmdir(host.layout.staging)
    assert kinds(host.check(worker)) == {"host": ["modified"]}
    host.run(worker)
    assert kinds(host.check(worker)) == {}


def test_the_register_outlives_the_configuration(host: Host) -> None:
    def queen(**register: Registered) -> t.Any:
        return dataclasses.replace(host.worker("queen", port=port), kind="queen", register=register)

    port, one, two = free_port(), Registered("h1", "/opt/rbee"), Registered("h2", "/opt/rbee")
    assert host.run(queen(one=one, two=two)).result["register"].keys() == {"one", "two"}
    assert not host.run(queen(one=one, two=two)).changed
    left = host.run(queen(one=one))
    assert (left.changed, left.result["register"].keys()) == (False, {"one", "two"})
    moved = host.check(queen(one=two))
    assert [item["detail"] for item in moved.of("queen")["drift"]] == ["recorded otherwise: register"]
    forgetting = host.run(queen(one=one), forget=("two", "one"))
    assert forgetting.taken == {"queen": ["record receipt"]}
    assert forgetting.result["register"].keys() == {"one"}
