# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that changes a host: it has the host's lock, writes a journal and outlives the connection."""

from __future__ import annotations

import os
import signal
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _diff, _journal, _lock, _placing, _remove, _store
from ansible_collections.rbee.fleet.plugins.module_utils._apply import BROKE, Apply
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._outcomes import asked, completed, explained
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request, result
from ansible_collections.rbee.fleet.plugins.module_utils._survey import survey


def work(request: Request, layout: Layout, journal: _journal.Journal, lock: int) -> dict[str, t.Any]:
    """Everything that changes the host, from a fresh look. lock: the host's, as grabbed; it is free in the end."""
    about = {
        "pid": os.getpid(),
        "controller": request.controller or "someone",
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "identity": request.identity,
        "journal": journal.path,
    }
    with _lock.kept(lock, about):
        _journal.tidy(layout.journals)
        found = survey(request)
        _remove.clear_leftovers(layout, found.manager)
        diff = _diff.diff_of(found)
        answer = completed(found, result(asked(Apply(request, found, journal).run(), request), diff))
        answer["torn_down"] = not os.path.isdir(layout.staging)
        return answer


def start(request: Request, layout: Layout, path: str) -> bool:
    """Fork a process that no terminal, session or connection can take down with it.

    False when someone else was first to take the host's lock: a process that waited for it could change the host long
    after whoever asked for it has given up.
    """
    _placing.load()
    try:
        lock = _grab(layout)
    except FileNotFoundError:  # the end of an uninstall took the folder away in between
        lock = _grab(layout)
    if lock is None:
        return False
    try:
        _store.make_folder(layout.journals)
        journal = _journal.Journal(path)
    except OSError:
        os.close(lock)
        raise
    child = os.fork()  # both locks pass on to it
    if child:
        os.waitpid(child, 0)
        journal.close()
        os.close(lock)
        return True
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _let_go(journal.descriptor, lock)
        try:
            answer = work(request, layout, journal, lock)
        except Exception as error:  # pylint: disable=broad-except  # whoever follows must be told
            answer = {"failed": True, "msg": explained(error, *BROKE)}
        journal.end(answer)
    finally:
        os._exit(0)


def _grab(layout: Layout) -> t.Optional[int]:
    os.makedirs(os.path.dirname(layout.prefix), exist_ok=True)
    _store.make_folder(layout.prefix)
    return _lock.grab(layout.lock)


def _let_go(*kept: int) -> None:
    """Give up all that the process has of its parents, but for these descriptors."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65536 else 65536)
