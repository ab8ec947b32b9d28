# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components under a real supervisord."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import pwd
import shutil
import signal
import tempfile
import time
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ABSENT,
    FAILED,
    RUNNING,
    STOPPED,
    ServiceError,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition

SLEEP = "exec sleep 1000"


@pytest.fixture
def prefix() -> t.Iterator[pathlib.Path]:
    """A folder that every account can enter, with a path short enough for a socket."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def manager(prefix: pathlib.Path, supervisor_environment: pathlib.Path) -> t.Iterator[SupervisorManager]:
    manager = SupervisorManager(str(prefix), str(supervisor_environment))
    yield manager
    manager.shutdown()


def wait_for(manager: SupervisorManager, name: str, done: t.Callable[[ServiceState], bool]) -> ServiceState:
    """The first state of a component that satisfies the condition."""
    deadline = time.monotonic() + 60
    while not done(state := manager.state(name)):
        assert time.monotonic() < deadline, f"{name} remained {state}"
        time.sleep(0.02)
    return state


def wait_until(done: t.Callable[[], t.Any]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def define(prefix: pathlib.Path, name: str, body: str, **options: t.Any) -> ServiceDefinition:
    data = prefix / "data" / name
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o777)
    start = prefix / f"{name}.start"
    start.write_text(f"#!/bin/sh\n{body}\n")
    start.chmod(0o755)
    return ServiceDefinition(name=name, start=str(start), data_dir=str(data), stop_timeout=20, **options)


def install(manager: SupervisorManager, defn: ServiceDefinition) -> None:
    manager.install(defn.name, manager.render(defn))


def kill_supervisord(prefix: pathlib.Path) -> None:
    pid = int((prefix / "supervisor" / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))


def test_a_component_is_installed_started_stopped_and_removed(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    assert manager.state("a") == ServiceState(sub=ABSENT)
    install(manager, define(prefix, "a", SLEEP))
    assert manager.state("a").sub == STOPPED
    manager.start("a")
    started = manager.state("a")
    assert (started.active, started.sub, started.restarts) == (True, RUNNING, 0)
    assert alive(started.pid)
    assert abs(started.since - time.time()) < 60
    manager.stop("a")
    assert (manager.state("a").active, manager.state("a").sub) == (False, STOPPED)
    assert not alive(started.pid)
    manager.remove("a")
    assert manager.state("a").sub == ABSENT
    assert not pathlib.Path(manager.unit_path("a")).exists()


def test_every_step_may_be_repeated(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", SLEEP))
    install(manager, define(prefix, "a", SLEEP))
    manager.start("a")
    pid = manager.state("a").pid
    manager.start("a")
    assert manager.state("a").pid == pid
    for _i in range(2):
        manager.enable("a")
    for _i in range(2):
        manager.stop("a")
    for _i in range(2):
        manager.disable("a")
    for _i in range(2):
        manager.remove("a")


def test_reading_states_starts_nothing(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", SLEEP))
    assert manager.state("a").result == "supervisord is not running"
    assert not manager.running()


def test_a_new_text_leaves_the_running_process_alone_until_the_restart(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    install(manager, define(prefix, "a", "echo one; " + SLEEP))
    manager.start("a")
    wait_until(lambda: manager.logs("a") == ["one"])
    first = manager.state("a")
    other = dataclasses.replace(define(prefix, "b", "echo two; " + SLEEP), name="a")
    install(manager, other)
    assert manager.state("a").pid == first.pid
    manager.restart("a")
    assert manager.state("a").pid != first.pid
    wait_until(lambda: manager.logs("a") == ["one", "two"])


def test_a_text_that_supervisor_refuses_does_not_stop_what_runs(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    defn = define(prefix, "a", SLEEP)
    install(manager, defn)
    manager.start("a")
    pid = manager.state("a").pid
    with pytest.raises(ServiceError, match=r"stopwaitsecs|invalid"):
        manager.install("a", manager.render(defn).replace("stopwaitsecs=20", "stopwaitsecs=soon"))
    with pytest.raises(ServiceError):
        manager.restart("a")
    assert manager.state("a").pid == pid
    install(manager, defn)


def test_a_component_whose_start_script_is_missing_names_it(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    defn = define(prefix, "a", SLEEP)
    install(manager, defn)
    os.unlink(defn.start)
    manager.start("a")
    wait_until(lambda: any(defn.start in line for line in manager.logs("a")))


def test_what_a_component_leaves_behind_is_killed_with_it(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    pidfile = prefix / "data" / "a" / "child"
    body = f"""(trap '' TERM; while :; do sleep 0.1; done) &
echo $! > {pidfile}.new; mv {pidfile}.new {pidfile}
{SLEEP}"""
    install(manager, define(prefix, "a", body))
    manager.start("a")
    wait_until(pidfile.exists)
    child = int(pidfile.read_text())
    assert alive(child)
    manager.stop("a")
    wait_until(lambda: not alive(child))


def start_parent(manager: SupervisorManager, prefix: pathlib.Path, autorestart: str = "unexpected") -> int:
    """Starts a component; returns its child, which has overwritten its environment as vLLM's engine does."""
    pidfile = prefix / "data" / "a" / "child"
    child = (
        f"env -i /bin/sh -c 'echo $$ > {pidfile}.new; mv {pidfile}.new {pidfile}; trap \"\" TERM; exec sleep 1000' &"
    )
    text = manager.render(define(prefix, "a", f"test -e {pidfile} || {child}\n{SLEEP}"))
    manager.install("a", text.replace("autorestart=unexpected", f"autorestart={autorestart}"))
    manager.start("a")
    wait_until(pidfile.exists)
    return int(pidfile.read_text())


def test_what_a_killed_component_leaves_behind_is_killed_before_its_next_start(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    child, pid = start_parent(manager, prefix), manager.state("a").pid
    install(manager, define(prefix, "b", SLEEP))
    manager.start("b")
    other = manager.state("b").pid
    os.kill(pid, signal.SIGKILL)
    wait_for(manager, "a", lambda state: state.active and state.pid != pid)
    wait_until(lambda: not alive(child))
    assert manager.state("b").pid == other


def test_what_a_killed_component_left_behind_is_killed_when_it_is_stopped(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    child = start_parent(manager, prefix, autorestart="false")
    os.kill(manager.state("a").pid, signal.SIGKILL)
    manager.stop("a")
    wait_until(lambda: not alive(child))


def test_a_component_that_ignores_the_request_to_stop_is_killed_after_its_timeout(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    ready = prefix / "data" / "a" / "ready"
    defn = define(prefix, "a", f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done")
    install(manager, dataclasses.replace(defn, stop_timeout=1))
    manager.start("a")
    wait_until(ready.exists)
    manager.stop("a")
    assert manager.state("a").sub == STOPPED
    assert "SIGKILL" in (prefix / "supervisor" / "log" / "supervisord.log").read_text()


def test_a_component_stopped_right_after_its_start_obeys_the_first_signal(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    install(manager, define(prefix, "a", SLEEP))
    for _i in range(10):
        manager.start("a")
        manager.stop("a")
    assert "SIGKILL" not in (prefix / "supervisor" / "log" / "supervisord.log").read_text()


def test_a_component_that_keeps_crashing_ends_as_failed_and_says_how(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    # Long enough for the start itself to succeed.
    install(manager, define(prefix, "a", "echo no such model; sleep 0.3; exit 3"))
    manager.start("a")
    state = wait_for(manager, "a", lambda state: state.sub == FAILED)
    assert (state.active, state.pid, state.result) == (False, 0, "exited with 3")
    assert manager.logs("a") == ["no such model"] * 4
    manager.stop("a")
    assert manager.state("a").sub == STOPPED


def test_a_component_that_is_killed_is_started_again(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", SLEEP))
    manager.start("a")
    pid = manager.state("a").pid
    os.kill(pid, signal.SIGKILL)
    again = wait_for(manager, "a", lambda state: state.active and state.pid != pid)
    assert again.sub == RUNNING


def test_a_reload_sends_the_signal_and_keeps_the_process(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    body = "trap 'echo reloaded' USR2; echo ready; while :; do sleep 0.05; done"
    install(manager, define(prefix, "a", body, reload_signal="USR2"))
    with pytest.raises(ServiceError, match="does not run"):
        manager.reload("a")
    manager.start("a")
    pid = manager.state("a").pid
    wait_until(lambda: manager.logs("a") == ["ready"])
    manager.reload("a")
    wait_until(lambda: manager.logs("a") == ["ready", "reloaded"])
    assert manager.state("a").pid == pid


def test_a_component_without_a_reload_signal_cannot_reload(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", SLEEP))
    with pytest.raises(ServiceError, match="no reload signal"):
        manager.reload("a")


def test_only_what_is_enabled_starts_with_supervisord(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    for name in ("on", "off"):
        install(manager, define(prefix, name, SLEEP))
        manager.start(name)
    manager.enable("on")
    assert (manager.state("on").enabled, manager.state("off").enabled) == (True, False)
    manager.shutdown()
    assert not manager.running()
    manager.ensure_running()
    wait_for(manager, "on", lambda state: state.active)
    assert not manager.state("off").active


@pytest.mark.parametrize("running", [True, False])
def test_an_enabled_program_whose_text_is_gone_keeps_no_other_from_starting(
    manager: SupervisorManager, prefix: pathlib.Path, running: bool
) -> None:
    for name in ("bare", "other"):
        install(manager, define(prefix, name, SLEEP))
    manager.enable("bare")
    if running:
        manager.ensure_running()
    os.unlink(manager.unit_path("bare"))
    manager.start("other")
    assert manager.state("other").active
    assert not manager.state("bare").enabled


def test_after_a_killed_supervisord_its_programs_are_ended_and_started_again(
    manager: SupervisorManager, prefix: pathlib.Path
) -> None:
    for name in ("on", "off"):
        install(manager, define(prefix, name, SLEEP))
        manager.start(name)
    manager.enable("on")
    orphans = [manager.state(name).pid for name in ("on", "off")]
    kill_supervisord(prefix)
    assert all(map(alive, orphans))
    assert not manager.running()
    manager.ensure_running()
    assert not any(map(alive, orphans))
    wait_for(manager, "on", lambda state: state.active)
    assert not manager.state("off").active


def test_a_process_of_someone_else_is_not_taken_for_an_orphan(
    manager: SupervisorManager, prefix: pathlib.Path, supervisor_environment: pathlib.Path
) -> None:
    install(manager, define(prefix, "a", SLEEP))
    manager.start("a")
    pid = manager.state("a").pid
    other = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    try:
        (other / "supervisor").mkdir()
        shutil.copy(prefix / "supervisor" / "supervisord.pid", other / "supervisor")
        second = SupervisorManager(str(other), str(supervisor_environment))
        second.ensure_running()
        second.shutdown()
    finally:
        shutil.rmtree(other)
    assert manager.state("a").pid == pid
    assert alive(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as another user")
def test_root_starts_a_component_as_its_own_user(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", 'echo "$(id -un) $USER $HOME $(pwd)"; ' + SLEEP, user="nobody"))
    manager.start("a")
    data = f"{prefix}/data/a"
    wait_until(lambda: manager.logs("a") == [f"nobody nobody {data} {data}"])
    assert os.stat(f"/proc/{manager.state('a').pid}").st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_component_gets_its_descriptor_limit_and_a_clean_environment(
    manager: SupervisorManager, prefix: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "1")
    install(manager, define(prefix, "a", "ulimit -n; echo ${SECRET_OF_THE_CALLER:-none}; " + SLEEP, nofile=300))
    manager.start("a")
    wait_until(lambda: manager.logs("a") == ["300", "none"])


def test_a_descriptor_limit_above_the_hosts_becomes_the_hosts(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    body = "ulimit -n; ulimit -H -n; " + SLEEP
    install(manager, define(prefix, "a", body, nofile=2**30, user="nobody" if os.geteuid() == 0 else ""))
    manager.start("a")
    wait_until(lambda: len(manager.logs("a")) == 2)
    soft, hard = manager.logs("a")
    assert soft == hard


def test_the_log_is_read_from_its_end(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    install(manager, define(prefix, "a", f"seq 1 100000; {SLEEP}"))
    manager.start("a")
    wait_until(lambda: manager.logs("a", 2) == ["99999", "100000"])
    assert manager.logs("nothing") == []


def test_many_components_are_started_and_read_together(manager: SupervisorManager, prefix: pathlib.Path) -> None:
    names = [f"worker-{number}" for number in range(20)]
    for name in names:
        install(manager, define(prefix, name, SLEEP))
    for name in names:
        manager.start(name)
    states = manager.states(names)
    assert [states[name].sub for name in names] == [RUNNING] * 20
    assert len({state.pid for state in states.values()}) == 20
    manager.shutdown()
    assert not any(alive(state.pid) for state in states.values())


def test_odd_characters_in_a_path_reach_the_program(supervisor_environment: pathlib.Path, prefix: pathlib.Path) -> None:
    odd = prefix / "a b%20's"
    odd.mkdir()
    manager = SupervisorManager(str(odd), str(supervisor_environment))
    try:
        install(manager, define(odd, "a", 'echo "$0 $HOME"; ' + SLEEP))
        manager.start("a")
        wait_until(lambda: manager.logs("a") == [f"{odd}/a.start {odd}/data/a"])
    finally:
        manager.shutdown()


def test_a_prefix_too_long_for_a_socket_is_refused_before_anything_is_done() -> None:
    with pytest.raises(ServiceError, match=r"prefix .* is too long"):
        SupervisorManager("/" + "x" * 100, "/nowhere")


def test_a_missing_environment_is_named(prefix: pathlib.Path) -> None:
    with pytest.raises(ServiceError, match="/nowhere/bin/supervisord"):
        SupervisorManager(str(prefix), "/nowhere").ensure_running()
