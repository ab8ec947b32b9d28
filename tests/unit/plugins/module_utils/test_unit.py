# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service definitions as text, and answers of service managers as states."""

from __future__ import annotations

import configparser
import dataclasses
import string
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ABSENT,
    EXITED,
    FAILED,
    RESTARTING,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._state import from_supervisor, from_systemd, from_timer
from ansible_collections.rbee.fleet.plugins.module_utils._unit import (
    ServiceDefinition,
    supervisor_config,
    supervisor_enabled,
    supervisor_program,
    systemd_unit,
    units_of,
    with_timer,
)
from hypothesis import given
from hypothesis import strategies as st

WORKER = ServiceDefinition(
    name="vllm",
    fleet="lab",
    description="rbee worker vllm of fleet lab",
    start="/opt/rbee/components/vllm/current/start",
    data_dir="/opt/rbee/data/vllm",
    prefix="/opt/rbee",
    user="rbee",
    group="rbee",
    groups=("render", "video"),
    stop_timeout=45,
    devices=True,
)
GATEWAY = dataclasses.replace(
    WORKER,
    name="queen",
    groups=(),
    devices=False,
    reload_signal="USR2",
    capabilities=("CAP_NET_BIND_SERVICE",),
    nofile=20000,
)


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_a_worker_of_the_system_is_this_unit() -> None:
    assert (
        systemd_unit(WORKER)
        == """\
# Written by rbee.fleet; changes are overwritten.
[Unit]
Description=rbee worker vllm of fleet lab
Wants=network-online.target
After=network-online.target nvidia-persistenced.service
StartLimitIntervalSec=300
StartLimitBurst=4

[Service]
Type=exec
ExecStart=:/opt/rbee/components/vllm/current/start
Restart=on-failure
RestartSec=3
KillMode=mixed
TimeoutStopSec=45
WorkingDirectory=/opt/rbee/data/vllm
Environment=HOME=/opt/rbee/data/vllm
NoNewPrivileges=yes
User=rbee
Group=rbee
SupplementaryGroups=render video
ProtectSystem=strict
ReadWritePaths=/opt/rbee/data/vllm
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target

[X-Rbee]
Fleet=lab
Component=vllm
"""
    )


def test_a_unit_of_a_user_asks_for_nothing_that_a_user_manager_cannot_do() -> None:
    text = systemd_unit(dataclasses.replace(GATEWAY, scope="user"))
    assert "WantedBy=default.target" in lines(text)
    for key in ("User", "Group", "SupplementaryGroups", "AmbientCapabilities", "Protect", "Private"):
        assert f"\n{key}" not in text
    assert "network-online" not in text


def test_what_a_service_asks_for_is_in_its_unit() -> None:
    unit = lines(systemd_unit(GATEWAY))
    assert "ExecReload=/bin/kill -USR2 $MAINPID" in unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit
    assert "LimitNOFILE=20000" in unit


def test_nothing_that_breaks_cuda_is_in_a_unit() -> None:
    assert "PrivateDevices" not in systemd_unit(WORKER)
    assert "MemoryDenyWriteExecute" not in systemd_unit(WORKER)


PULL = dataclasses.replace(WORKER, name="pull", user="", group="", groups=(), devices=False, privileged=True)
PULL = dataclasses.replace(PULL, description="pull", schedule=1800, spread=600)


def test_what_has_a_schedule_is_a_service_that_ends_and_a_timer() -> None:
    service, timer = units_of(systemd_unit(PULL))
    assert "Type=oneshot" in lines(service)
    assert not [line for line in lines(service) if line.startswith(("Restart", "StartLimit", "[Install", "WantedBy"))]
    assert timer == (
        "# Written by rbee.fleet; changes are overwritten.\n"
        "[Unit]\nDescription=pull\n\n"
        "[Timer]\nOnActiveSec=60\nOnUnitInactiveSec=1800\nRandomizedDelaySec=600\nAccuracySec=1\n\n"
        "[Install]\nWantedBy=timers.target\n\n"
        "[X-Rbee]\nFleet=lab\nComponent=pull\n"
    )
    assert with_timer(service, timer) == systemd_unit(PULL)
    assert units_of(systemd_unit(WORKER)) == (systemd_unit(WORKER), "")


def test_what_is_privileged_has_neither_account_nor_sandbox_nor_another_home() -> None:
    service, _timer = units_of(systemd_unit(PULL))
    names = {line.partition("=")[0] for line in lines(service)}
    assert not names & {"User", "Group", "ProtectSystem", "ProtectHome", "PrivateTmp", "NoNewPrivileges", "Environment"}
    root = supervisor_program(dataclasses.replace(WORKER, privileged=True), "/log")
    assert "user=" not in root


def test_without_systemd_a_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="runs on a schedule, which needs systemd; this host has none"):
        supervisor_program(PULL, "/log")


@pytest.mark.parametrize("home", ["/home/ann/rbee", "/root/rbee", "/home"])
def test_a_prefix_in_a_home_stays_readable(home: str) -> None:
    assert "ProtectHome=read-only" in systemd_unit(dataclasses.replace(WORKER, prefix=home))


def test_a_prefix_that_only_looks_like_a_home_does_not_open_the_homes() -> None:
    assert "ProtectHome=yes" in systemd_unit(dataclasses.replace(WORKER, prefix="/homes/rbee"))


def test_percent_and_spaces_are_written_as_systemd_reads_them() -> None:
    odd = dataclasses.replace(WORKER, start="/a b/%n/$c/start", data_dir="/a b/100%", description="50% of it")
    unit = lines(systemd_unit(odd))
    assert 'ExecStart=":/a b/%%n/$c/start"' in unit
    assert "WorkingDirectory=/a b/100%%" in unit
    assert 'ReadWritePaths="/a b/100%%"' in unit
    assert 'Environment="HOME=/a b/100%%"' in unit
    assert "Description=50%% of it" in unit


@pytest.mark.parametrize("path", ['/a"b', "/a'b", "/a\\b"])
def test_a_program_that_systemd_would_refuse_is_refused_before(path: str) -> None:
    with pytest.raises(ValueError, match="quote or a backslash"):
        systemd_unit(dataclasses.replace(WORKER, start=path))


@pytest.mark.parametrize("field", ["name", "start", "data_dir", "description", "fleet", "user"])
@pytest.mark.parametrize("render", [systemd_unit, lambda defn: supervisor_program(defn, "/log")])
def test_no_value_can_smuggle_in_a_line(field: str, render: t.Callable[[ServiceDefinition], str]) -> None:
    defn = dataclasses.replace(WORKER, **{field: "/x\nExecStartPre=/bin/evil"})
    try:
        text = render(defn)
    except ValueError as error:
        assert "control characters" in str(error)
    else:
        assert "evil" not in text


@pytest.mark.parametrize("name", ["SIGUSR2", "usr2", "USR2; reboot", ""])
def test_only_a_signal_name_is_taken_for_one(name: str) -> None:
    defn = dataclasses.replace(WORKER, reload_signal=name)
    if name:
        with pytest.raises(ValueError, match="signal name"):
            systemd_unit(defn)
        with pytest.raises(ValueError, match="signal name"):
            supervisor_program(defn, "/log")
    else:
        assert "ExecReload" not in systemd_unit(defn)


def program(defn: ServiceDefinition, *more: str) -> configparser.SectionProxy:
    """The program as supervisor's own parser sees it, before it expands ``%``."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    parser.read_string(supervisor_program(defn, "/log"))
    for text in more:
        parser.read_string(text)
    return parser[f"program:rbee-{defn.name}"]


def test_a_program_of_supervisor_behaves_like_the_unit() -> None:
    section = program(GATEWAY)
    limit = "ulimit -n 20000 2>/dev/null || ulimit -n $(ulimit -H -n)"
    assert section["command"].startswith("/bin/sh -c '")
    assert section["command"].endswith(f"; {limit}; exec /opt/rbee/components/vllm/current/start'")
    assert (section["autorestart"], section["exitcodes"], section["startretries"]) == ("unexpected", "0", "3")
    assert (section["stopsignal"], section["stopasgroup"], section["killasgroup"]) == ("TERM", "false", "true")
    assert (section["stopwaitsecs"], section["user"], section["reload_signal"]) == ("45", "rbee", "USR2")
    assert section["environment"] == 'HOME="/opt/rbee/data/vllm",USER="rbee"'
    assert section["stdout_logfile"] == "/log/rbee-queen.log"


def test_a_program_of_a_user_does_not_change_its_account() -> None:
    section = program(dataclasses.replace(WORKER, scope="user"))
    assert "user" not in section
    assert "USER" not in section["environment"]


def test_a_program_starts_by_itself_only_when_it_is_enabled() -> None:
    assert program(WORKER)["autostart"] == "false"
    enabled = program(WORKER, supervisor_enabled("vllm"))
    assert enabled["autostart"] == "true"
    assert enabled["command"].endswith("; exec /opt/rbee/components/vllm/current/start'")


@pytest.mark.parametrize("path", ["/a ;b", "/a #b"])
def test_a_path_that_supervisor_would_cut_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="comment"):
        supervisor_program(dataclasses.replace(WORKER, data_dir=path), "/log")
    with pytest.raises(ValueError, match="comment"):
        supervisor_config(path, 1024)


@given(st.text(string.printable + "é", min_size=1).map(lambda text: "/" + text))
def test_any_path_is_written_so_that_it_can_be_read_back_or_refused(path: str) -> None:
    defn = dataclasses.replace(WORKER, data_dir=path)
    try:
        section = program(defn)
    except ValueError:
        return
    assert section["directory"].replace("%%", "%") == path.strip()


def shown(**properties: str) -> dict[str, str]:
    return {
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "MainPID": "42",
        "UnitFileState": "enabled",
        "NRestarts": "0",
        "Result": "success",
        "ExecMainStartTimestampMonotonic": "2500000",
        "ExecMainCode": "0",
        "ExecMainStatus": "0",
        **properties,
    }


def test_a_running_unit() -> None:
    assert from_systemd(shown(), 1000.0) == ServiceState(True, RUNNING, 42, True, 0, 1002.5, "")


@pytest.mark.parametrize(
    ("active", "sub", "expected"),
    [
        ("activating", "start", STARTING),
        ("activating", "auto-restart", RESTARTING),
        ("activating", "auto-restart-queued", RESTARTING),
        ("reloading", "reload", RUNNING),
        ("active", "exited", EXITED),
        ("deactivating", "stop-sigterm", STOPPING),
        ("failed", "failed", FAILED),
        ("inactive", "dead", STOPPED),
    ],
)
def test_each_state_of_systemd_has_a_name_of_ours(active: str, sub: str, expected: str) -> None:
    assert from_systemd(shown(ActiveState=active, SubState=sub), 0).sub == expected


def test_a_unit_that_systemd_does_not_know_is_absent() -> None:
    unknown = shown(LoadState="not-found", ActiveState="inactive", SubState="dead", MainPID="0", UnitFileState="")
    state = from_systemd({**unknown, "ExecMainStartTimestampMonotonic": "0"}, 1000.0)
    assert state == ServiceState(sub=ABSENT)
    assert from_systemd({}, 1000.0) == ServiceState(sub=ABSENT)


@pytest.mark.parametrize(
    ("result", "code", "status", "expected"),
    [
        ("exit-code", "1", "3", "exited with 3"),
        ("signal", "2", "9", "killed by SIGKILL"),
        ("core-dump", "3", "11", "killed by SIGSEGV"),
        ("oom-kill", "2", "9", "oom-kill, killed by SIGKILL"),
        ("start-limit-hit", "1", "1", "start-limit-hit, exited with 1"),
        ("resources", "0", "0", "resources"),
    ],
)
def test_why_a_unit_failed_is_said_in_words(result: str, code: str, status: str, expected: str) -> None:
    failed = shown(ActiveState="failed", Result=result, ExecMainCode=code, ExecMainStatus=status)
    assert from_systemd(failed, 0).result == expected


def test_a_unit_that_systemd_cannot_use_says_so() -> None:
    masked = shown(LoadState="masked", ActiveState="inactive", SubState="dead", MainPID="0")
    assert from_systemd(masked, 0).result == "unit file is masked"


def info(statename: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"name": "rbee-a", "statename": statename, "pid": 0, "exitstatus": 0, "start": 0, "spawnerr": "", **fields}


def test_a_program_that_only_just_started_runs() -> None:
    assert from_supervisor(info("STARTING", pid=7, start=1000), True, []) == ServiceState(
        True, RUNNING, 7, True, 0, 1000.0, ""
    )


def test_how_a_crashing_program_ended_is_taken_from_the_history() -> None:
    history = [
        "2026-11-23 06:40:00,000 WARN exited: rbee-a (exit status 1; not expected)",
        "2026-11-23 06:40:01,000 WARN exited: rbee-a (exit status 2; not expected)",
        "2026-11-23 06:40:02,000 WARN exited: rbee-ab (exit status 3; not expected)",
    ]
    state = from_supervisor(info("FATAL", spawnerr="Exited too quickly"), False, history)
    assert (state.active, state.sub, state.result) == (False, FAILED, "exited with 2")
    killed = ["2026-11-23 06:40:01,000 WARN exited: rbee-a (terminated by SIGKILL; not expected)"]
    assert from_supervisor(info("BACKOFF"), False, killed).result == "killed by SIGKILL"
    assert from_supervisor(info("FATAL", spawnerr="can't find command"), False, []).result == "can't find command"


@pytest.mark.parametrize(
    ("status", "expected"), [(0, "exited with 0"), (4, "exited with 4"), (-1, "killed by a signal")]
)
def test_how_a_program_ended_is_taken_from_its_status(status: int, expected: str) -> None:
    assert from_supervisor(info("EXITED", exitstatus=status), False, []).result == expected


# A service that a timer starts

WAITING = {"ActiveState": "active", "SubState": "waiting", "LoadState": "loaded", "UnitFileState": "enabled"}


def timed(run: ServiceState, **properties: str) -> ServiceState:
    return from_timer({**WAITING, "ActiveEnterTimestampMonotonic": "2000000", **properties}, run, 1000.0)


def test_a_timer_that_waits_runs_since_it_was_started() -> None:
    found = timed(ServiceState(sub=STOPPED, result="exited with 0", since=5.0))
    assert (found.active, found.sub, found.enabled, found.since, found.result) == (True, RUNNING, True, 1002.0, "")


def test_a_run_that_failed_is_told_though_the_timer_waits() -> None:
    found = timed(ServiceState(sub=FAILED, result="exited with 2"))
    assert (found.active, found.sub, found.result) == (True, FAILED, "exited with 2")


def test_a_run_at_work_has_its_process() -> None:
    found = timed(ServiceState(sub=STARTING, pid=7), SubState="running")
    assert (found.active, found.sub, found.pid, found.result) == (True, RUNNING, 7, "")


def test_a_timer_that_was_stopped_does_not_run() -> None:
    found = timed(ServiceState(sub=STOPPED), ActiveState="inactive", SubState="dead", UnitFileState="disabled")
    assert (found.active, found.sub, found.enabled) == (False, STOPPED, False)
