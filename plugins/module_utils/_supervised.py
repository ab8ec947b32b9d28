# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account that may not use supervisor's socket can still tell of its programs, from /proc and files.

The agent runs as the account of the workers, so it sees the environment that supervisord started them with; the queen
is known by her account. The socket belongs to root, since whoever may use it may start anything as root.
"""

from __future__ import annotations

import os
import pwd
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _processes as processes
from ansible_collections.rbee.fleet.plugins.module_utils._host import ACCOUNT
from ansible_collections.rbee.fleet.plugins.module_utils._service import RUNNING, STOPPED, ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._spec import QUEEN
from ansible_collections.rbee.fleet.plugins.module_utils._target import queens_account
from ansible_collections.rbee.fleet.plugins.module_utils._unit import unit_name


def states(prefix: str, components: t.Iterable[str]) -> dict[str, ServiceState]:
    """The states that are certain; a component that is missing from the answer may or may not run."""
    names = list(components)
    root = os.path.join(prefix, "supervisor")
    pid = _supervisord(root)
    if not processes.visible():
        return {}
    programs = processes.children(pid) if pid else {}
    running = {
        environ["SUPERVISOR_PROCESS_NAME"]: child
        for child, environ in programs.items()
        if environ and "SUPERVISOR_PROCESS_NAME" in environ
    }
    hidden = [child for child, environ in programs.items() if environ is None]
    running.update({unit_name(QUEEN): child for child in hidden if _is_queens(child)})
    unknown = any(child not in running.values() for child in hidden)
    found = {}
    for name in names:
        child = running.get(unit_name(name))
        enabled = os.path.exists(os.path.join(root, "enabled", unit_name(name) + ".conf"))
        if child:
            try:
                found[name] = ServiceState(True, RUNNING, child, enabled, since=processes.started(child))
            except OSError:  # it ended meanwhile
                continue
        elif not unknown:
            result = "" if pid else "supervisord is not running"
            found[name] = ServiceState(sub=STOPPED, enabled=enabled, result=result)
    return found


def _is_queens(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == pwd.getpwnam(queens_account(ACCOUNT)).pw_uid
    except (OSError, KeyError):
        return False


def _supervisord(root: str) -> int:
    """Process id of the supervisord of this folder, 0 when it does not run."""
    try:
        with open(os.path.join(root, "supervisord.pid"), encoding="ascii") as stream:
            pid = int(stream.read())
    except (OSError, ValueError):
        return 0
    arguments = processes.command_line(pid).split(b"\0")
    return pid if os.fsencode(os.path.join(root, "supervisord.conf")) in arguments else 0
