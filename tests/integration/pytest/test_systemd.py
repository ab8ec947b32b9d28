# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components under a real systemd: of the system when root runs these tests, else of the user, who needs lingering."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._manager import detect
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ABSENT,
    FAILED,
    RUNNING,
    STOPPED,
    ServiceError,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._systemd import SystemdManager
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition, systemd_unit

pytestmark = pytest.mark.skipif(not pathlib.Path("/run/systemd/system").is_dir(), reason="systemd does not run here")

ROOT = os.geteuid() == 0
SCOPE = "system" if ROOT else "user"
SLEEP = "exec sleep 1000"
NAMES = ("test-a", "test-b")
root_only = pytest.mark.skipif(not ROOT, reason="only the system's systemd can do this")


@pytest.fixture
def prefix() -> t.Iterator[pathlib.Path]:
    """Not below /tmp, which services do not share with us."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-", dir="/opt" if ROOT else pathlib.Path.home()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def manager() -> t.Iterator[SystemdManager]:
    manager = SystemdManager(SCOPE)
    yield manager
    for name in NAMES:
        manager.remove(name)


def wait_for(manager: SystemdManager, name: str, done: t.Callable[[ServiceState], bool]) -> ServiceState:
    """The first state of a component that satisfies the condition."""
    deadline = time.monotonic() + 60
    while not done(state := manager.state(name)):
        assert time.monotonic() < deadline, f"{name} remained {state}"
        time.sleep(0.05)
    return state


def wait_until(done: t.Callable[[], t.Any]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def define(prefix: pathlib.Path, body: str, name: str = NAMES[0], **options: t.Any) -> ServiceDefinition:
    data = prefix / "data" / name
    data.mkdir(parents=True)
    data.chmod(0o777)
    start = prefix / f"{name}.start"
    start.write_text(f"#!/bin/sh\n{body}\n")
    start.chmod(0o755)
    account = {"user": "nobody", "group": "nogroup"} if ROOT else {}
    return ServiceDefinition(
        name=name, start=str(start), data_dir=str(data), prefix=str(prefix), scope=SCOPE, **{**account, **options}
    )


def install(manager: SystemdManager, defn: ServiceDefinition) -> None:
    manager.install(defn.name, manager.render(defn))


def said(prefix: pathlib.Path, name: str = NAMES[0]) -> list[str]:
    """What the component wrote to ``out`` in its data folder; whole, as it was renamed there."""
    out = prefix / "data" / name / "out"
    wait_until(out.exists)
    return out.read_text().splitlines()


def saying(commands: str) -> str:
    return f"{{ {commands}; }} > new 2>&1; mv new out; {SLEEP}"


def test_systemd_is_chosen_where_it_runs(prefix: pathlib.Path) -> None:
    assert detect(SCOPE, str(prefix), "").name == "systemd"


def test_a_component_is_installed_started_stopped_and_removed(manager: SystemdManager, prefix: pathlib.Path) -> None:
    assert manager.state("test-a") == ServiceState(sub=ABSENT)
    install(manager, define(prefix, SLEEP))
    assert manager.state("test-a") == ServiceState(sub=STOPPED)
    manager.enable("test-a")
    manager.start("test-a")
    started = manager.state("test-a")
    assert (started.active, started.sub, started.enabled, started.restarts) == (True, RUNNING, True, 0)
    assert alive(started.pid)
    assert abs(started.since - time.time()) < 60
    manager.restart("test-a")
    assert manager.state("test-a").pid != started.pid
    manager.stop("test-a")
    assert (manager.state("test-a").active, manager.state("test-a").sub) == (False, STOPPED)
    manager.disable("test-a")
    assert not manager.state("test-a").enabled
    manager.remove("test-a")
    manager.remove("test-a")
    assert manager.state("test-a") == ServiceState(sub=ABSENT)
    assert not pathlib.Path(manager.unit_path("test-a")).exists()


def test_removing_stops_and_disables(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, SLEEP))
    manager.enable("test-a")
    manager.start("test-a")
    pid = manager.state("test-a").pid
    manager.remove("test-a")
    assert not alive(pid)
    folder = pathlib.Path(manager.unit_path("test-a")).parent
    assert list(folder.rglob("rbee-test-a*")) == []


def test_several_states_are_read_in_one_call(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, SLEEP))
    manager.start("test-a")
    calls = []
    run = manager._run
    manager._run = lambda *args: calls.append(args) or run(*args)  # type: ignore[method-assign, func-returns-value]
    states = manager.states(["test-a", "test-b", "never-seen"])
    assert [state.sub for state in states.values()] == [RUNNING, ABSENT, ABSENT]
    assert len(calls) == 1
    assert manager.states([]) == {}


def test_systemd_has_nothing_to_say_against_the_unit(prefix: pathlib.Path) -> None:
    defn = define(
        prefix,
        SLEEP,
        **({"user": "daemon", "group": "daemon"} if ROOT else {}),  # verify warns of nobody
        description="50% of it",
        reload_signal="USR2",
        capabilities=("CAP_NET_BIND_SERVICE",),
        nofile=4096,
        devices=True,
        allow=("10.0.0.1", "fd00::/8"),
    )
    unit = prefix / "rbee-test-a.service"
    unit.write_text(systemd_unit(defn))
    command = ["systemd-analyze", "verify", f"--{SCOPE}", str(unit)]
    environ = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "rbee" in line]) == (0, [])


def test_odd_characters_in_a_path_reach_the_program(manager: SystemdManager, prefix: pathlib.Path) -> None:
    odd = prefix / "a b%n$HOME"
    odd.mkdir()
    install(manager, define(odd, saying('echo "$0"; echo "$HOME"; pwd')))
    manager.start("test-a")
    data = f"{odd}/data/test-a"
    assert said(odd) == [f"{odd}/test-a.start", data, data]


def test_a_component_that_keeps_crashing_ends_as_failed_and_says_how(
    manager: SystemdManager, prefix: pathlib.Path
) -> None:
    install(manager, define(prefix, "echo no such model; sleep 0.3; exit 3"))
    manager.start("test-a")
    state = wait_for(manager, "test-a", lambda state: state.sub == FAILED)
    assert (state.active, state.pid, state.restarts, state.result) == (False, 0, 4, "exited with 3")
    assert manager.logs("test-a", 50).count("no such model") == 4
    manager.start("test-a")
    assert manager.state("test-a").restarts == 0


def test_a_component_that_is_killed_is_started_again(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, SLEEP))
    manager.start("test-a")
    pid = manager.state("test-a").pid
    os.kill(pid, signal.SIGKILL)
    again = wait_for(manager, "test-a", lambda state: state.active and state.pid != pid)
    assert again.restarts == 1


def test_starting_often_by_hand_is_not_taken_for_a_crash(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, SLEEP))
    for _i in range(8):
        manager.restart("test-a")
    assert manager.state("test-a").active


def test_a_program_that_cannot_be_executed_fails_the_start(manager: SystemdManager, prefix: pathlib.Path) -> None:
    defn = define(prefix, SLEEP)
    install(manager, defn)
    os.unlink(defn.start)
    with pytest.raises(ServiceError) as caught:
        manager.start("test-a")
    assert caught.value.status == 1
    assert "rbee-test-a.service" in str(caught.value)


def test_what_a_component_leaves_behind_is_killed_with_it(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, f"(trap '' TERM; while :; do sleep 0.1; done) & {saying('echo $!')}"))
    manager.start("test-a")
    child = int(said(prefix)[0])
    assert alive(child)
    manager.stop("test-a")
    wait_until(lambda: not alive(child))


def test_a_component_that_ignores_the_request_to_stop_is_killed_after_its_timeout(
    manager: SystemdManager, prefix: pathlib.Path
) -> None:
    body = "trap '' TERM; echo > out; while :; do sleep 0.1; done"
    install(manager, dataclasses.replace(define(prefix, body), stop_timeout=1))
    manager.start("test-a")
    said(prefix)
    manager.stop("test-a")
    state = manager.state("test-a")
    assert (state.sub, state.result) == (FAILED, "timeout, killed by SIGKILL")


def test_a_reload_sends_the_signal_and_keeps_the_process(manager: SystemdManager, prefix: pathlib.Path) -> None:
    body = "trap 'echo > out' USR2; echo > ready; while :; do sleep 0.05; done"
    install(manager, define(prefix, body, reload_signal="USR2"))
    manager.start("test-a")
    pid = manager.state("test-a").pid
    wait_until((prefix / "data" / "test-a" / "ready").exists)
    manager.reload("test-a")
    said(prefix)
    assert manager.state("test-a").pid == pid


def test_the_descriptor_limit_is_the_wanted_one(manager: SystemdManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, saying("ulimit -n"), nofile=300))
    manager.start("test-a")
    assert said(prefix) == ["300"]


@root_only
def test_a_component_runs_as_its_user_and_writes_only_its_data(manager: SystemdManager, prefix: pathlib.Path) -> None:
    (prefix / "open").mkdir(mode=0o777)
    (prefix / "open").chmod(0o777)
    commands = f"id -un; id -Gn; touch {prefix}/open/x; ls /home; touch /tmp/rbee-private"
    install(manager, define(prefix, saying(commands), groups=("video",)))
    manager.start("test-a")
    user, groups, denied, *home = said(prefix)
    assert user == "nobody"
    assert "video" in groups.split()
    assert "Read-only file system" in denied
    assert home == [] or "denied" in home[0]
    assert not pathlib.Path("/tmp/rbee-private").exists()


@root_only
def test_a_component_gets_the_capability_and_no_other(manager: SystemdManager, prefix: pathlib.Path) -> None:
    body = saying("grep -E 'CapEff|NoNewPrivs' /proc/self/status")
    install(manager, define(prefix, body, capabilities=("CAP_NET_BIND_SERVICE",)))
    manager.start("test-a")
    assert [line.split()[1] for line in said(prefix)] == [f"{1 << 10:016x}", "1"]


@pytest.mark.skipif(ROOT, reason="root needs no lingering")
def test_a_user_without_lingering_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch, prefix: pathlib.Path) -> None:
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: "linger" not in str(path) and exists(path))
    with pytest.raises(ServiceError, match="loginctl enable-linger"):
        detect("user", str(prefix), "")
