# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An install that is killed at any step leaves the old or the new release runnable, and the next run carries on."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import typing as t
from unittest import mock

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _host, _manager, _pythons
from ansible_collections.rbee.fleet.plugins.module_utils._apply import Apply
from ansible_collections.rbee.fleet.plugins.module_utils._plan import GATE, RECORD, RESTART, SWITCH, UNIT, WRITE, Step
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Health, Service, Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import QUICK, SICK, Host, free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.node_kill import PaperManager, killed_after, killed_at

KILLS = int(os.environ.get("RBEE_KILLS", "24"))  # at random moments; script/test long has hundreds
EVERY = 1 if "RBEE_KILLS" in os.environ else 3  # of the steps at which a sweep kills

PROGRAM = """#!/bin/sh
echo "$@" "$GREETING" "$(cat "$2")" "$(cat "$(dirname "$0")/version")"
"""


class Site:
    """A host whose components only say, when they are started, what they consist of."""

    def __init__(self, host: Host, services: pathlib.Path) -> None:
        self.host, self._services = host, services
        self.manager = PaperManager(services)
        self._saved = services.with_name("saved")

    def worker(self, version: str, **options: t.Any) -> Spec:
        source = self.host.archive("run", {"bin/run": PROGRAM, "bin/version": f"{version}\n"})
        command = ("{release}/bin/run", version, "{files}/greeting")
        files = (File("greeting", version), File("more/greeting", version))
        return self.host.worker(
            version=version, source=source, command=command, files=files, port=1, health=Health(), **options
        )

    def save(self) -> None:
        for part in (self.host.prefix, self._services):
            shutil.copytree(part, self._saved / part.name, symlinks=True)

    def restore(self) -> None:
        for part in (self.host.prefix, self._services):
            shutil.rmtree(part, ignore_errors=True)
            if (self._saved / part.name).exists():
                shutil.copytree(self._saved / part.name, part, symlinks=True)
        self._services.mkdir(exist_ok=True)

    def says(self) -> str:
        """The versions that the worker consists of when it is started now: one, unless they are mixed."""
        folder = os.path.join(self.host.layout.current("w"), "files", "greeting")
        return " ".join(sorted(set(self.manager.would_say("w").replace(folder, "").split())))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Site]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-", dir=memory))
    site = Site(Host(folder / "p", folder, folder), folder / "services")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # a kill loses nothing that was written
    python = os.path.realpath("/proc/self/exe")
    monkeypatch.setattr(_pythons, "own", lambda _scope: python)
    monkeypatch.setattr(_host, "port_fault", lambda *_address: "")
    monkeypatch.setattr(_manager, "detect", lambda *_host: site.manager)
    yield site
    shutil.rmtree(folder)


def sweep(site: Site, new: Spec, allowed: t.Container[str], **options: t.Any) -> int:
    """Kill the install of *new* at its every step, or every third from a random one; returns how many there were."""
    step = random.randint(1, EVERY)
    while killed_at(step, lambda: site.host.run(new, **options)):
        where = f"killed at step {step}"
        if os.path.exists(site.manager.unit_path("w")):
            assert site.says() in allowed, where
        answer = site.host.run(new)
        assert not answer.result.get("failed"), (where, answer)
        assert site.says() == new.version, where
        assert site.manager.running("w") == answer.of("w")["generation"], where
        assert site.host.leftovers() == [], where
        assert not site.host.check(new).changed, where
        site.restore()
        step += EVERY
    return step - 1


def test_a_first_install_killed_at_any_step(site: Site) -> None:
    assert sweep(site, site.worker("1"), {"1"}) > 50


def test_an_upgrade_killed_at_any_step(site: Site) -> None:
    site.host.run(site.worker("1"))
    site.save()
    assert sweep(site, site.worker("2", service=Service(stop_timeout=9)), {"1", "2"}) > 50


def test_a_repair_of_a_release_that_runs_killed_at_any_step(site: Site) -> None:
    worker = site.worker("1")
    site.host.run(worker)
    site.save()
    assert sweep(site, worker, {"1"}, force=True) > 50


def test_everything_is_on_the_disk_before_the_one_rename_that_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.host.run(site.worker("1"))
    calls: list[tuple[str, t.Any]] = []
    rename = os.rename

    def record_rename(source: str, destination: str) -> None:
        calls.append(("rename", destination))
        rename(source, destination)

    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(("fsync", os.fstat(descriptor).st_ino)))
    monkeypatch.setattr(os, "rename", record_rename)
    answer = site.host.run(site.worker("2")).of("w")

    layout = site.host.layout
    switch = calls.index(("rename", layout.current("w")))
    flushed = {what for call, what in calls[:switch] if call == "fsync"}
    release = os.path.join(layout.prefix, "releases", "stand-in", answer["release"])
    generation = layout.generation("w", answer["generation"])
    trees = [path for root in (release, generation) for path, _folders, _files in os.walk(root)]
    files = [os.path.join(path, name) for path in trees for name in os.listdir(path)]
    parents = [os.path.dirname(release), os.path.dirname(generation)]
    needed = [path for path in [*trees, *files, *parents] if not os.path.islink(path)]
    assert len(needed) > 10
    assert [path for path in needed if os.stat(path).st_ino not in flushed] == []
    assert calls[switch + 1] == ("fsync", os.stat(layout.component("w")).st_ino)
    assert calls.index(("rename", layout.receipt("w"))) > switch


def test_an_upgrade_killed_under_a_real_supervisor_leaves_one_release_answering(host: Host) -> None:
    old = host.worker()
    host.run(old)
    for number, step in enumerate((WRITE, SWITCH, UNIT, RESTART, GATE, RECORD), 2):
        service = Service(stop_timeout=number)
        new = host.worker(version=str(number), port=old.port, service=service)

        def die(_self: Apply, _name: str, taken: Step, at: str = step) -> None:
            if taken.name == at:
                os.kill(os.getpid(), signal.SIGKILL)

        with mock.patch.object(Apply, "_say", die):
            assert killed_at(0, lambda spec=new: host.run(spec))
        wait_until(lambda old=old, new=new: host.answers(old) or host.answers(new))
        answer = host.run(new)
        assert not answer.result.get("failed"), f"killed before {step}: {answer}"
        assert host.answers(new), f"killed before {step}"
        assert host.leftovers() == []
        old = new


def is_down(host: Host) -> bool:
    return not host.manager.states(["w"])["w"].active


def test_upgrades_killed_at_random_moments_leave_one_release_runnable(host: Host) -> None:
    port = free_port()

    def nth(number: int) -> Spec:
        return host.worker(version=str(number), port=port, service=Service(stop_timeout=5 + number % 2))

    host.run(nth(0))
    begun = time.monotonic()
    host.run(nth(1))
    duration, killed = time.monotonic() - begun, 0  # as long as the last one that ended by itself
    for number in range(2, KILLS + 2):
        old, new, moment = nth(number - 1), nth(number), random.uniform(0, duration)
        where = f"upgrade {number - 1}, killed after {moment:.3f} s"
        begun = time.monotonic()
        if killed_after(moment, lambda spec=new: host.run(spec)):
            killed += 1
        else:
            duration = time.monotonic() - begun
        wait_until(lambda old=old, new=new: host.answers(old) or host.answers(new) or is_down(host))
        if is_down(host):  # killed between the stop and the start
            host.run(new, state="started")
            assert host.answers(old) or host.answers(new), where
        answer = host.run(new)
        assert not answer.result.get("failed"), (where, answer)
        assert host.answers(new), where
        assert host.leftovers() == [], where
        assert not host.check(new).changed, where
    sys.stdout.write(f"{KILLS} upgrades, {killed} of them killed at a random moment, none a mix\n")
    assert killed > KILLS // 4


def test_an_upgrade_that_was_killed_before_it_was_found_sick_is_rolled_back_by_the_next_run(host: Host) -> None:
    old = host.worker()
    host.run(old)
    sick = host.worker(version="2", mode=SICK, port=old.port, health=QUICK)

    def die(_self: Apply, _name: str, taken: Step) -> None:
        if taken.name == GATE:
            os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(Apply, "_say", die):
        assert killed_at(0, lambda: host.run(sick))
    assert host.run(sick).states == {"w": "rolled-back"}
    assert host.answers(old)
    assert not host.run(old).changed
