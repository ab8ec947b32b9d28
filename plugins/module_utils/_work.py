# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that changes a host: it has the host's lock, writes a journal and outlives the connection."""

from __future__ import annotations

import os
import signal
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _diff, _journal, _lock, _remove
from ansible_collections.rbee.fleet.plugins.module_utils._apply import BROKE, Apply
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._outcomes import completed, explained
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request, result
from ansible_collections.rbee.fleet.plugins.module_utils._survey import survey


def work(request: Request, layout: Layout, journal: _journal.Journal) -> dict[str, t.Any]:
    """Everything that changes the host, under the lock, from a fresh look."""
    about = {
        "pid": os.getpid(),
        "controller": request.controller or "someone",
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "identity": request.identity,
        "journal": journal.path,
    }

    def waiting(holder: t.Mapping[str, t.Any]) -> None:
        journal.write("waiting", reason=_lock.describe(holder))

    with _lock.held(layout.lock, about, request.lock_timeout, waiting):
        _journal.tidy(layout.journals)
        found = survey(request)
        _remove.clear_leftovers(layout, found.manager)
        diff = _diff.diff_of(found)
        answer = completed(found, result(Apply(request, found, journal).run(), diff))
        answer["torn_down"] = not os.path.isdir(layout.staging)
        return answer


def start(request: Request, layout: Layout, path: str) -> None:
    """Fork a process that no terminal, session or connection can take down with it."""
    journal = _journal.Journal(path)  # its lock passes on to the child
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        journal.close()
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _let_go(journal)
        try:
            answer = work(request, layout, journal)
        except Exception as error:  # pylint: disable=broad-except  # whoever follows must be told
            answer = {"failed": True, "msg": explained(error, *BROKE)}
        journal.end(answer)
    finally:
        os._exit(0)


def _let_go(journal: _journal.Journal) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, journal.descriptor)
    os.closerange(journal.descriptor + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
