# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With pipelining, hosts keep the node library as a program, which later runs call in place of the module."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _bundle
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import (
    ENGINE,
    NEEDS,
    SETTINGS,
    TYPE,
    Machine,
    machine,
)

pytestmark = NEEDS

KEY = "sesame-for-tests-only"
CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "key": f"{KEY}\n",
    "rbee.conf": """
        fleet = {{ scope = "user", prefix = "{prefix}" }}

        [queen]
        mode = "attached-hive"
        attached_hive_alias = "desk"
        port = {queen}
        api_key = "file:{folder}/key"
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}
        workers = ["engine"]
        """,
}
PASSWORD = "correct horse"
SUDO = """\
    #!/bin/sh
    # Asks for a password as sudo -S does, and reads no more of its input than that.
    while :; do
        case $1 in
        -p) prompt=$2; shift 2 ;;
        -u) shift 2 ;;
        -*) shift ;;
        *) break ;;
        esac
    done
    printf %s "$prompt" >&2
    IFS= read -r password
    [ "$password" = "correct horse" ] || { echo "Sorry, try again." >&2; exit 1; }
    exec "$@"
    """
SENT = re.compile(r"Using module file \S+/components.py")


class Fleet:
    """One host, and whether runs on it sent the module."""

    def __init__(self, at: Machine) -> None:
        self.machine = at
        for name, text in CONFIGURATION.items():
            at.write(name, text if name == "rbee.yml" else text.format(prefix=at.prefix, folder=at.folder, **at.ports))
        self.programs = at.prefix / "tools" / _bundle.NODE

    @property
    def program(self) -> pathlib.Path:
        return self.programs / _bundle.digest_of(_bundle.NODE) / _bundle.NODE

    def run(self, playbook: str, *options: str) -> tuple[int, bool]:
        """How many tasks changed something, and whether the module was sent."""
        done = self.machine.play(f"rbee.fleet.{playbook}", "-i", "rbee.yml", "-vvv", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert KEY not in done.stdout + done.stderr
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", done.stdout)), bool(SENT.search(done.stdout))

    def install(self, *options: str) -> tuple[int, bool]:
        return self.run("install", *options)

    def results(self, *options: str) -> list[dict[str, t.Any]]:
        """What a task returned that called the program, and one that sent the module, but for how long things took."""
        path = self.machine.folder / "result.json"
        path.unlink(missing_ok=True)
        task = {
            "components": "{{ rbee_components }}",
            "tools": "{{ rbee_tools }}",
            "secrets": "{{ rbee_secrets }}",
            "scope": "user",
            "prefix": str(self.machine.prefix),
        }
        kept = {"rbee.fleet.components": task, "register": "kept", "failed_when": False}
        sent = {**kept, "register": "sent", "vars": {"ansible_pipelining": False}}
        copy = {"content": "{{ [kept, sent] | to_json }}", "dest": str(path)}
        tasks = [kept, sent, {"ansible.builtin.copy": copy, "check_mode": False, "diff": False}]
        self.machine.write("task.yml", json.dumps([{"hosts": "rbee", "gather_facts": False, "tasks": tasks}]))
        done = self.machine.play("task.yml", "-i", "rbee.yml", "-vvv", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(SENT.findall(done.stdout)) == 1
        found: list[dict[str, t.Any]] = json.loads(path.read_text())
        for result in found:
            for added in ("invocation", "failed_when_suppressed_exception"):  # by Ansible to what a module returns
                result.pop(added, None)
        return found


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Fleet]:
    """A fleet whose first install sent the module, and whose host keeps the program after every test."""
    with machine(supervisor_environment) as at:
        fleet = Fleet(at)
        assert fleet.install() == (2, True)  # with rbee.lock
        yield fleet
        changed, _sent = fleet.run("uninstall", "-e", "rbee_purge=true")  # sent where it outlives the program
        assert changed == 1
        assert not at.prefix.exists()


def test_a_run_without_changes_calls_it_and_has_one_task_for_the_host_and_one_for_all(fleet: Fleet) -> None:
    done = fleet.machine.play("rbee.fleet.install", "-i", "rbee.yml", "-vvv")
    assert not SENT.search(done.stdout)
    assert re.search(r"desk +: ok=2 +changed=0 +unreachable=0 +failed=0 +skipped=0 ", done.stdout), done.stdout


def test_it_does_all_that_the_module_does(fleet: Fleet) -> None:
    assert fleet.run("stop") == (1, False)
    assert fleet.run("start") == (1, False)
    assert fleet.install("-e", "rbee_force=true") == (1, False)
    assert fleet.machine.get("engine", "/health")[0] == 200


def test_a_long_text_that_was_changed_by_hand_is_written_again(fleet: Fleet) -> None:
    known = fleet.machine.prefix / "components" / "hive" / "current" / "files" / "catalog.json"
    text = known.read_text()
    assert json.loads(text)["workers"]["vllm"]
    known.chmod(0o644)
    known.write_text("{}")
    assert fleet.install("--check", "--diff") == (1, False)
    assert fleet.install() == (1, False)
    assert known.read_text() == text
    assert fleet.install() == (0, False)


def test_where_it_is_missing_the_module_comes_and_leaves_it(fleet: Fleet) -> None:
    fleet.program.unlink()
    assert fleet.install("--check") == (1, True)
    assert not fleet.program.exists()
    assert fleet.install() == (1, True)
    assert fleet.program.exists()


def test_one_of_another_version_is_replaced(fleet: Fleet) -> None:
    other = fleet.programs / ("0" * 64)
    fleet.program.parent.rename(other)
    assert fleet.install() == (1, True)
    assert not other.exists() and fleet.program.exists()


def test_one_that_does_not_answer_is_replaced(fleet: Fleet) -> None:
    whole = fleet.program.read_bytes()
    fleet.program.write_text("#!/bin/sh\nexit 1\n")
    assert fleet.install() == (1, True)
    assert fleet.program.read_bytes() == whole


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_one_of_another_user_is_never_called(fleet: Fleet) -> None:
    os.chown(fleet.program, 65534, -1)
    assert fleet.install() == (1, True)
    assert fleet.install() == (0, False)


def test_without_pipelining_the_module_is_sent_and_nothing_is_changed(fleet: Fleet) -> None:
    fleet.machine.write("ansible.cfg", "")
    try:
        assert fleet.install() == (0, True)
    finally:
        fleet.machine.write("ansible.cfg", SETTINGS)


@pytest.fixture
def sudo(fleet: Fleet) -> t.Iterator[list[str]]:
    """Options of a run that becomes another user, which takes a password, by a stand-in for sudo."""
    fleet.machine.write("sudo_stand_in", SUDO)
    path = fleet.machine.folder / "sudo_stand_in"
    path.chmod(0o755)
    fleet.machine.write("ansible.cfg", f"{SETTINGS}[privilege_escalation]\nbecome_allow_same_user = true\n")
    yield ["-e", json.dumps({"ansible_become": True, "ansible_become_exe": str(path)})]
    fleet.machine.write("ansible.cfg", SETTINGS)


def test_a_password_comes_before_the_arguments(fleet: Fleet, sudo: list[str]) -> None:
    assert fleet.install(*sudo, "-e", json.dumps({"ansible_become_password": PASSWORD})) == (0, False)
    wrong = "-e", json.dumps({"ansible_become_password": "wrong"})
    done = fleet.machine.play("rbee.fleet.install", "-i", "rbee.yml", *sudo, *wrong)
    assert done.returncode == 2
    assert re.search("^desk  failed: .", done.stdout, re.MULTILINE)  # in the summary


@pytest.mark.parametrize(
    "options",
    [[], ["--check", "--diff"], ["--check", "-e", json.dumps({"rbee_tools": []})]],
    ids=["nothing", "dry run", "failure"],
)
def test_it_returns_what_the_module_returns(fleet: Fleet, options: list[str]) -> None:
    text = (fleet.machine.folder / "hives.conf").read_text()
    if options:
        fleet.machine.write("hives.conf", text + "\nauto_start = false\n")
    try:
        kept, sent = fleet.results(*options)
    finally:
        fleet.machine.write("hives.conf", text)
    assert kept == sent
    assert ("diff" in kept) == ("--diff" in options)


def test_where_it_is_missing_the_module_comes_once_however_long_the_work_takes(fleet: Fleet) -> None:
    """A worker that is ready after two of the calls that follow the work."""
    slow = fleet.machine.folder / "slow.py"
    slow.write_text(ENGINE.replace("import http.server, sys", "import http.server, sys, time\n\ntime.sleep(7)"))
    entry = TYPE.format(port=free_port(), path=slow, sha256=hashlib.sha256(slow.read_bytes()).hexdigest())
    fleet.machine.write("catalog/slow.toml", entry.replace("engine.py", "slow.py"))
    hives = (fleet.machine.folder / "hives.conf").read_text()
    fleet.machine.write("hives.conf", hives.replace('"engine"', '"engine", "slow"'))
    fleet.program.unlink()
    done = fleet.machine.play("rbee.fleet.install", "-i", "rbee.yml", "-vvv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(SENT.findall(done.stdout)) == 1
