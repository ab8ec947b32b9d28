# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on one host take turns, outlive who started them, and are followed by who comes later."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import types
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _converge, _journal, _lock, _supply
from ansible_collections.rbee.fleet.plugins.module_utils._needs import need_from
from ansible_collections.rbee.fleet.plugins.module_utils._processes import exists
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import SICK, WAKING, Host, finish, wait_until

LONG = Health("/health", 600)


class Work:
    """A run that waits for a worker that is never healthy, until it is ended."""

    def __init__(self, host: Host) -> None:
        self.spec: Spec = host.worker("slow", mode=SICK, health=LONG)
        self._host = host
        self.caller = host.start(self.spec)
        wait_until(self._waits_for_health)
        self.holder: dict[str, t.Any] = _lock.holder(host.layout.lock) or {}

    def _waits_for_health(self) -> bool:
        holder = _lock.holder(self._host.layout.lock)
        if not holder:
            return False
        return any(line.get("step") == "gate" for line in _journal.read(holder["journal"], 0, 0)[0])

    def kill(self) -> None:
        os.kill(self.holder["pid"], signal.SIGKILL)
        wait_until(lambda: not exists(self.holder["pid"]))


@pytest.fixture
def work(host: Host) -> t.Iterator[Work]:
    work = Work(host)
    yield work
    if exists(work.holder["pid"]):
        work.kill()
    work.caller.communicate()


def test_the_loser_names_the_holder_after_its_wait(host: Host, work: Work) -> None:
    answer = host.converge(host.worker("other"), lock_timeout=0)
    assert answer.result["failed"]
    assert f"another run has this host: process {work.holder['pid']} for a test since 2" in answer.result["msg"]


def test_who_waits_is_told_for_whom_and_goes_on_when_the_holder_dies(host: Host, work: Work) -> None:
    other = host.worker("other")
    answer = _converge.converge(host.request(other), False, 0.1)
    assert 500 < answer.pop("again") <= 600
    assert answer == {"events": [{"event": "waiting", "reason": _lock.describe(work.holder)}]}
    waiting = host.start(other)
    work.kill()
    assert finish(waiting).states == {"other": "installed"}


def test_the_first_answer_comes_with_the_program_that_the_next_call_needs(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = ["missing", "missing", ""]
    monkeypatch.setattr(_converge, "_kept", types.SimpleNamespace(fault=lambda _layout, _digest: faults.pop(0)))
    slow = host.request(host.worker(mode=SICK, health=LONG), program=_bundle.digest_of(_bundle.NODE))
    assert "follow" in _converge.converge(slow, False, 0)
    assert faults == []
    wait_until(lambda: _lock.holder(host.layout.lock))
    os.kill((_lock.holder(host.layout.lock) or {})["pid"], signal.SIGKILL)


def test_who_is_interrupted_while_it_waits_changes_nothing_later(host: Host, work: Work) -> None:
    _converge.converge(host.request(host.worker("other")), False, 0.1)
    assert list((host.prefix / "journal").iterdir()) == [pathlib.Path(work.holder["journal"])]


def test_who_looked_before_the_holder_had_the_host_waits_like_anyone_else(
    host: Host, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_converge, "_holder", lambda _layout: None)  # as it was when both looked
        answer = _converge.converge(host.request(host.worker("other")), False, 0.1)
    assert answer == {"again": 600, "events": []}
    assert list((host.prefix / "journal").iterdir()) == [pathlib.Path(work.holder["journal"])]


def test_two_runs_at_once_both_succeed(host: Host) -> None:
    workers = host.worker("a"), host.worker("b")
    runs = [host.start(worker) for worker in workers]
    assert [finish(run).states for run in runs] == [{"a": "installed"}, {"b": "installed"}]
    assert all(map(host.answers, workers))


def test_a_run_that_asks_for_the_same_follows_the_one_at_work(host: Host, work: Work) -> None:
    follower = host.start(work.spec, command="begin")
    answer = finish(follower).result
    assert answer["attached"]
    assert answer["follow"]["journal"] == work.holder["journal"]
    assert any(event.get("step") == "gate" for event in answer["events"])


def test_the_work_goes_on_when_its_caller_is_killed(host: Host) -> None:
    worker = host.worker(mode=WAKING)
    caller = host.start(worker)
    wait_until(lambda: _lock.holder(host.layout.lock))
    caller.kill()
    caller.communicate()
    later = host.converge(worker)
    assert later.result.get("attached") or not later.changed
    assert later.of("w")["state"] in ("installed", "ok")
    assert host.answers(worker)


def test_the_work_goes_on_when_its_session_is_hung_up(host: Host, work: Work) -> None:
    os.kill(work.caller.pid, signal.SIGKILL)
    work.caller.wait()
    assert os.getsid(work.holder["pid"]) not in (os.getsid(0), work.caller.pid)
    os.kill(work.holder["pid"], signal.SIGHUP)
    again = finish(host.start(work.spec, command="begin"))
    assert again.result["attached"]
    assert exists(work.holder["pid"])


def test_a_killed_run_is_told_as_such_and_the_next_one_carries_on(host: Host, work: Work) -> None:
    work.kill()
    answer = finish(work.caller)
    assert answer.result["msg"] == _converge.GONE
    healthy = host.worker("slow", port=work.spec.port)
    assert host.converge(healthy).states == {"slow": "installed"}
    assert host.answers(healthy)


def test_a_bad_request_touches_nothing(host: Host) -> None:
    twice = host.worker(), host.worker()
    answer = host.converge(*twice)
    assert "declared twice" in answer.result["msg"]
    assert not host.prefix.exists()


def test_the_callers_files_are_asked_for_and_used(host: Host) -> None:
    source = host.server()
    path = source.url[len("file://") :]
    here = host.artefacts / "uploaded"
    os.rename(path, here)
    worker = host.worker(source=dataclasses.replace(source, url="", path=path))
    (asked,) = host.converge(worker).result["needs"]
    assert asked["source"]["path"] == path
    assert not host.prefix.exists()
    _supply.take(str(host.prefix), {str(here): source.sha256})
    supplies = {need_from(asked).id: [{"name": "serve.py", "sha256": source.sha256, "size": source.size}]}
    assert host.converge(worker, supplies=supplies).states == {"w": "installed"}
    assert not here.exists()
    assert host.answers(worker)
