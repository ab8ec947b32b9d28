# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc shows them, proc(5)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import typing as t


def exists(pid: int) -> bool:
    """Whether the process lives; one that only waits to be reaped does not."""
    try:
        return _stat(str(pid))[0] != b"Z"
    except (OSError, IndexError):
        return False


def command_line(pid: int) -> bytes:
    """The arguments of a process, each followed by a zero byte; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def of_session(session: int, variables: t.AbstractSet[str], folder: str) -> list[int]:
    """Living members of a session that were started with all of these ``NAME=value`` variables or work below a folder.

    Its leader is none of them. The kernel gives no process an id that a session still has, so members whose leader is
    gone are surely its own. A process that sets its title overwrites its variables.
    """
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == session:
            continue
        try:
            fields = _stat(entry)
            if int(fields[3]) != session or fields[0] == b"Z":
                continue
            with open(f"/proc/{entry}/environ", "rb") as file:
                environ = set(os.fsdecode(file.read()).split("\0"))
            works = os.readlink(f"/proc/{entry}/cwd") + "/"
        except (OSError, IndexError):  # it ended meanwhile, or is not ours to look at
            continue
        if variables <= environ or works.startswith(folder + "/"):
            found.append(int(entry))
    return found


def children(parent: int) -> dict[int, t.Optional[dict[str, str]]]:
    """The living children of a process with the environment each was started with, None where it may not be read."""
    found: dict[int, t.Optional[dict[str, str]]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = _stat(entry)
        except OSError:
            continue
        if fields[0] == b"Z" or int(fields[1]) != parent:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                lines = os.fsdecode(file.read()).split("\0")
        except PermissionError:
            found[int(entry)] = None
        except OSError:
            continue
        else:
            found[int(entry)] = dict(line.split("=", 1) for line in lines if "=" in line)
    return found


def parent(pid: int) -> int:
    """The parent of a process; 0 when there is none, or it cannot be found out."""
    try:
        return int(_stat(str(pid))[1])
    except (OSError, IndexError):
        return 0


def started(pid: int) -> float:
    """When a process was started, in seconds since the epoch; OSError when it is gone."""
    ticks = int(_stat(str(pid))[19])
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK"), 1)


def visible() -> bool:
    """Whether /proc shows the processes of other users (it may be mounted with ``hidepid``)."""
    return os.access("/proc/1/stat", os.R_OK)


def send(pids: t.Iterable[int], number: signal.Signals) -> None:
    """Signal processes, some of which may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_until(done: t.Callable[[], bool], timeout: float) -> bool:
    """Ask until the answer is yes, at least once, or until ``timeout`` seconds have passed."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return True


def _stat(pid: str) -> list[bytes]:
    """State, parent, process group, session, …: the fields after the name, which may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()
