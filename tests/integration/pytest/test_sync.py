# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook sync on a fleet that install made: what people do to a host by hand is named, and undone."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, snapshot
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

RBEE = """
    fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
    queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
    """
HIVES = """
    # the desk
    [[hive]]
    alias = "desk"
    hostname = "localhost"
    hive_port = {hive}
    workers = ["engine"]  # one of each
    """


class Fleet:
    """A hive on this machine that is its queen's, too."""

    def __init__(self, found: Machine, supervisor: pathlib.Path) -> None:
        self.machine, self.prefix = found, found.prefix
        self.manager = SupervisorManager(str(found.prefix), str(supervisor))
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        self.declare()

    def declare(self, text: str = HIVES) -> None:
        self.machine.write("hives.conf", text.format(**self.machine.ports))

    def sync(self, *options: str) -> tuple[int, dict[str, t.Any]]:
        """The exit code, and the result file."""
        done = self.machine.play("rbee.fleet.sync", "-i", "rbee.yml", *options)
        sys.stdout.write(done.stdout + done.stderr)  # shown when the test fails
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads((self.machine.folder / ".rbee" / "last-sync.json").read_text())

    def check(self, *options: str) -> set[str]:
        """What differs, as component and kind, by a dry run that changes nothing."""
        before = self.snapshot()
        status, found = self.sync("--check", "--diff", *options)
        assert self.snapshot() == before
        assert status == (2 if found["drift"] else 0) and not found["failures"]
        assert found["result"] == ("drift" if found["drift"] else "clean")
        return kinds(found["drift"])

    def repair(self, *options: str) -> set[str]:
        """What a run repairs."""
        status, found = self.sync(*options)
        assert status == 0 and found["result"] == "clean", found
        return kinds(found["drift"])

    def hive(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a person types on the machine."""
        program = self.machine.folder / ".local" / "bin" / "rbee-hive"
        environment = {**os.environ, "HOME": str(self.machine.folder)}
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)

    def snapshot(self) -> dict[str, tuple[t.Any, ...]]:
        """Everything of the fleet on this machine, but for what the components themselves write into their logs."""
        found = snapshot(self.prefix)
        return {path: what for path, what in found.items() if not path.startswith("supervisor/log/")}

    def current(self, name: str) -> pathlib.Path:
        return (self.prefix / "components" / name / "current").resolve()


def kinds(drift: t.Iterable[t.Mapping[str, str]]) -> set[str]:
    return {f"{item['component']} {item['kind']}" for item in drift}


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Fleet]:
    """An installed fleet, which every test leaves as it is declared."""
    with machine(supervisor_environment) as found:
        fleet = Fleet(found, supervisor_environment)
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # with rbee.lock
        yield fleet
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 1


def test_what_was_just_installed_has_no_drift(fleet: Fleet) -> None:
    assert fleet.check() == set()
    before = fleet.snapshot()
    assert fleet.repair() == set()
    assert fleet.snapshot() == before


def test_a_worker_that_was_installed_by_hand_is_told_then_adopted_then_removed(fleet: Fleet) -> None:
    port = free_port()
    done = fleet.hive("install-worker", "engine", "--name", "spare", "--port", str(port))
    assert done.returncode == 0, done.stderr
    status, found = fleet.sync()
    assert (status, found["result"], kinds(found["drift"])) == (0, "drift", {"spare extra"})
    assert fleet.check("-e", "rbee_extra=remove") == {"spare extra"}
    path = fleet.machine.folder / "hives.conf"
    before = path.read_text()
    status, found = fleet.sync("--check", "-e", "rbee_extra=adopt")
    assert (status, kinds(found["drift"])) == (2, {"spare extra"})
    assert path.read_text() == before
    assert fleet.repair("-e", "rbee_extra=adopt") == {"queen gateway"}
    entry = f', {{ type = "engine", name = "spare", port = {port} }}'
    assert path.read_text() == before.replace('["engine"', f'["engine"{entry}')
    fleet.declare()
    assert fleet.repair("-e", "rbee_extra=remove") == {"spare extra", "queen gateway"}
    assert fleet.check() == set()


def test_what_people_do_by_hand_is_named_and_undone(fleet: Fleet) -> None:
    fleet.manager.stop("engine")
    with open(fleet.manager.unit_path("hive"), "a") as unit:
        unit.write("; a note\n")
    (fleet.current("queen") / "files" / "haproxy.cfg").write_text("# nothing\n")
    wanted = {"engine stopped", "hive modified", "queen modified"}
    assert fleet.check() == wanted
    assert fleet.repair() == wanted
    assert fleet.check() == set()


def test_what_the_configuration_says_now_is_named_and_done(fleet: Fleet) -> None:
    port = free_port()
    fleet.declare(
        HIVES.replace(
            '["engine"]',
            f'[{{{{ type = "engine", args = ["hello"] }}}}, {{{{ type = "engine", name = "b", port = {port} }}}}]',
        )
    )
    wanted = {"engine arguments", "b missing", "queen gateway"}
    assert fleet.repair() == wanted
    assert fleet.machine.get("engine", "/")[1] == "hello"
    fleet.declare()
    assert fleet.repair("-e", "rbee_extra=remove") == {"engine arguments", "b extra", "queen gateway"}


def test_a_stop_is_a_hold_that_is_told_and_not_undone(fleet: Fleet) -> None:
    assert fleet.machine.changes("rbee.fleet.stop", "-i", "rbee.yml", "--tags", "workers") == 1
    status, found = fleet.sync()
    assert (status, found["result"], found["drift"]) == (0, "clean", [])
    assert kinds(found["notes"]) == {"engine held"}
    assert fleet.machine.get("engine", "/")[0] == 0
    assert fleet.machine.changes("rbee.fleet.start", "-i", "rbee.yml") == 1


def test_a_host_that_cannot_be_reached_is_a_failure_and_no_drift(fleet: Fleet) -> None:
    far = 'alias = "far"\nhostname = "127.0.0.1"\nconnection = "ssh"\nhive_port = 8601\n'
    fleet.declare(f"{HIVES}\n[[hive]]\n{far}ssh_port = {free_port()}\n")
    status, found = fleet.sync("--check")
    assert (status, found["result"]) == (2, "failed")
    assert [item["host"] for item in found["failures"]] == ["far"]
    assert kinds(found["drift"]) == {"queen gateway"}
    fleet.declare()


def test_a_hive_that_left_is_told_until_it_is_forgotten(fleet: Fleet) -> None:
    path = fleet.prefix / "components" / "queen" / "receipt.json"
    receipt = json.loads(path.read_text())
    gone = {**receipt["register"]["desk"], "hostname": "127.0.0.1", "connection": "ssh", "ssh_port": free_port()}
    renamed = {**receipt["register"]["desk"]}
    path.write_text(json.dumps({**receipt, "register": {**receipt["register"], "gone": gone, "old-desk": renamed}}))
    status, found = fleet.sync("--check")
    assert (status, found["result"], kinds(found["drift"])) == (2, "drift", {" unreachable"})
    assert kinds(found["notes"]) == {" departed"}
    status, found = fleet.sync("-e", "rbee_extra=remove")
    assert (status, found["result"]) == (2, "failed")
    assert "rbee_forget=gone" in found["failures"][0]["reason"]
    done = fleet.machine.play("rbee.fleet.sync", "-i", "rbee.yml", "-e", "rbee_forget=gon")
    assert done.returncode == 2 and "unknown hive outside the configuration 'gon'; did you mean 'gone'?" in done.stdout
    assert fleet.repair("-e", "rbee_forget=gone") == {"queen changed"}
    assert list(json.loads(path.read_text())["register"]) == ["desk"]
