# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service managers answer, as states. Pure."""

from __future__ import annotations

import dataclasses
import re
import signal
import typing as t

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

# waitid(2) codes as ExecMainCode shows them
_CLD_EXITED, _CLD_KILLED, _CLD_DUMPED = "1", "2", "3"

# https://supervisord.org/subprocess.html, process states
_SUBS = {
    "STOPPED": STOPPED,
    "STARTING": RUNNING,  # only says how long it has run; STARTING of ours has no process yet
    "RUNNING": RUNNING,
    "BACKOFF": RESTARTING,
    "STOPPING": STOPPING,
    "EXITED": EXITED,
    "FATAL": FAILED,
}


def from_systemd(shown: t.Mapping[str, str], offset: float) -> ServiceState:
    """A state from the properties that ``systemctl show`` printed.

    offset: seconds since the epoch at which the monotonic clock was 0.
    """
    active = shown.get("ActiveState", "inactive")
    pid = int(shown.get("MainPID") or 0)
    started = int(shown.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return ServiceState(
        active=active in ("active", "reloading") and pid > 0,
        sub=_sub_of(shown),
        pid=pid,
        enabled=_is_enabled(shown),
        restarts=int(shown.get("NRestarts") or 0),
        since=round(offset + started, 1) if started else 0.0,
        result=_result(shown),
    )


def from_timer(shown: t.Mapping[str, str], run: ServiceState, offset: float) -> ServiceState:
    """The state of a component with a schedule, from the properties of its timer and the state of its service.

    A run that failed is told until the next one begins. run: the service. offset: as for ``from_systemd``.
    """
    active, failed = shown.get("ActiveState") == "active", run.sub == FAILED
    entered = int(shown.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    return dataclasses.replace(
        run,
        active=active,
        sub=FAILED if active and failed else _sub_of(shown),
        enabled=_is_enabled(shown),
        since=round(offset + entered, 1) if entered else 0.0,
        result=run.result if failed else "",
    )


def _is_enabled(shown: t.Mapping[str, str]) -> bool:
    return shown.get("UnitFileState", "").startswith("enabled")


def _sub_of(shown: t.Mapping[str, str]) -> str:
    return _sub(
        shown.get("ActiveState", "inactive"), shown.get("SubState", "dead"), shown.get("LoadState", "not-found")
    )


def _sub(active: str, sub: str, load: str) -> str:
    if active == "activating":
        return RESTARTING if sub.startswith("auto-restart") else STARTING
    if active in ("active", "reloading"):
        return EXITED if sub == "exited" else RUNNING
    if active == "deactivating":
        return STOPPING
    if active == "failed":
        return FAILED
    return ABSENT if load == "not-found" else STOPPED


def _result(shown: t.Mapping[str, str]) -> str:
    """Why the service does not run, in words; the values are of systemd.exec(5), $SERVICE_RESULT."""
    load, result = shown.get("LoadState", "not-found"), shown.get("Result", "success")
    if load not in ("loaded", "not-found"):
        return f"unit file is {load}"  # bad-setting, error, masked
    code, status = shown.get("ExecMainCode", "0"), shown.get("ExecMainStatus", "0")
    ended = ""
    if code == _CLD_EXITED:
        ended = f"exited with {status}"
    elif code in (_CLD_KILLED, _CLD_DUMPED):
        ended = f"killed by {_signal_name(int(status))}"
    if result == "success":
        return "" if shown.get("ActiveState") in ("active", "reloading") else ended
    if result in ("exit-code", "signal", "core-dump"):
        return ended or result
    return f"{result}, {ended}" if ended else result


def _signal_name(number: int) -> str:
    """``SIGTERM`` for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def from_supervisor(info: t.Mapping[str, t.Any], enabled: bool, history: t.Sequence[str]) -> ServiceState:
    """A state from an answer of ``getProcessInfo``. history: lines of supervisord.log, oldest first."""
    sub, pid, status = _SUBS.get(info["statename"], FAILED), int(info["pid"]), int(info["exitstatus"])
    result = ""
    if sub == EXITED:
        result = f"exited with {status}" if status >= 0 else "killed by a signal"
    elif sub in (RESTARTING, FAILED):
        result = _last_exit(history, info["name"]) or info["spawnerr"]
    return ServiceState(
        active=sub == RUNNING and pid > 0, sub=sub, pid=pid, enabled=enabled, since=float(info["start"]), result=result
    )


def _last_exit(lines: t.Sequence[str], name: str) -> str:
    """How a program ended last, from supervisord.log: ``… exited: NAME (exit status 1; not expected)``."""
    for line in reversed(lines):
        found = re.search(rf" exited: {re.escape(name)} \((exit status (\d+)|terminated by (SIG\w+))", line)
        if found:
            return f"exited with {found[2]}" if found[2] else f"killed by {found[3]}"
    return ""
