# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converges a host: look, and if there is work, do it in a process of its own that outlives the connection.

A caller that comes back, or comes later with the same request, follows the journal of the process that is at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _diff, _journal, _kept, _lock, _store, _supply
from ansible_collections.rbee.fleet.plugins.module_utils._disk import need_space
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import Need
from ansible_collections.rbee.fleet.plugins.module_utils._outcomes import (
    asked,
    completed,
    explained,
    outcomes,
    reason_of,
)
from ansible_collections.rbee.fleet.plugins.module_utils._plan import FETCH, KEEP, WRITE
from ansible_collections.rbee.fleet.plugins.module_utils._request import PRESENT, Request, result
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import to_dict
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey, needs_of, survey

GONE = "the process at work here ended without a result: it was killed; run again, and the next one carries on"


class ConvergeError(Exception):
    """The host as a whole cannot be looked at or changed; the message says why."""


def look(request: Request) -> Survey:
    """A survey whose errors are all ConvergeError."""
    try:
        return survey(request)
    except Exception as error:  # pylint: disable=broad-except  # a damaged host gets a message, not a traceback
        raise ConvergeError(explained(error)) from error


def converge(request: Request, check: bool, wait: float) -> dict[str, t.Any]:
    """Converge, or in check mode say what would be done.

    Returns the result, or after *wait* seconds of work ``follow``: the journal and the offset to call follow() with.
    ``again`` in the answer says that another run has the host: make the same call again, with this lock_timeout.
    ``full`` in the answer asks for the same request in full, where it was made in brief and there is something to do.
    ``needs`` in the answer is what the controller is to bring before the same call is made again, with ``supplies``;
    ``held`` the digests of the files that are here already.
    """
    layout = Layout(request.prefix)
    busy = None if check else _holder(layout)
    if busy and busy.get("identity") == request.identity and os.path.exists(str(busy.get("journal"))):
        return {**follow(str(busy["journal"]), 0, wait), "attached": True}
    if busy is not None:
        return _await_turn(layout, busy, request.lock_timeout, wait)
    found = look(dataclasses.replace(request, stage=False) if check else request)
    if request.is_brief and request.state == PRESENT and not found.idle:
        return {"full": True}
    if check or found.idle:
        answer = result(asked(outcomes(found, request).values(), request), _diff.diff_of(found) if check else ())
        return completed(found, answer)
    needs = _needs(found, request)
    if needs:
        return {"needs": to_dict(needs), "held": _supply.held(layout)}
    if any(plan.has(FETCH, WRITE) for plan in found.plans.values()):
        _need_space(layout)
    try:
        # Not at the top: a run that has nothing to do is not to load all that does it.
        from ansible_collections.rbee.fleet.plugins.module_utils import _work

        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        journal = os.path.join(layout.journals, f"{started}-{secrets.token_hex(4)}.jsonl")
        if not _work.start(request, layout, journal):
            return {"again": request.lock_timeout, "events": []}
    except OSError as error:
        raise ConvergeError(f"{layout.prefix} cannot be written: {reason_of(error)}") from error
    keeps = found.host_plan.has(KEEP)
    return follow(journal, 0, wait, lambda: not keeps or not _kept.fault(layout, request.program))


def follow(journal: str, offset: int, wait: float, ready: t.Callable[[], bool] = lambda: True) -> dict[str, t.Any]:
    """What happened since *offset*; the result when there is one, else where to go on from.

    ready: whether the host has what the caller goes on with; the wait lasts until then.
    The last reader of an uninstall takes the empty folders away that the writer needed until its end.
    """
    try:
        lines, offset, working = _journal.read(journal, offset, wait, ready)
    except OSError as error:
        raise ConvergeError(f"the journal {journal} cannot be read: {reason_of(error)}") from error
    events = [line for line in lines if line["event"] != _journal.RESULT]
    ends = [line for line in lines if line["event"] == _journal.RESULT]
    if ends:
        answer = dict(ends[-1]["result"])
        if answer.pop("torn_down", False):
            _sweep(Layout(os.path.dirname(os.path.dirname(journal))), journal)
        return {**answer, "events": events}
    if not working:
        return {"failed": True, "msg": GONE, "events": events}
    return {"follow": {"journal": journal, "offset": offset}, "events": events}


def _holder(layout: Layout) -> dict[str, t.Any] | None:
    try:
        return _lock.holder(layout.lock)
    except OSError as error:
        raise ConvergeError(reason_of(error)) from error


def _await_turn(layout: Layout, busy: t.Mapping[str, t.Any], timeout: float, wait: float) -> dict[str, t.Any]:
    """Wait for the end of another run, in this process: whoever is interrupted while it waits changes nothing later."""
    begun = time.monotonic()
    holder: t.Mapping[str, t.Any] | None = busy
    while holder is not None and time.monotonic() - begun < min(wait, timeout):
        time.sleep(_lock.POLL)
        holder = _holder(layout)
    left = timeout - (time.monotonic() - begun)
    if holder is not None and left <= 0:
        raise ConvergeError(_lock.busy(holder))
    return {"again": max(0, math.ceil(left)), "events": [{"event": "waiting", "reason": _lock.describe(busy)}]}


def _need_space(layout: Layout) -> None:
    try:
        need_space(layout.prefix, 0)
    except SourceError as error:
        raise ConvergeError(str(error)) from error


def take(prefix: str, files: t.Mapping[str, str]) -> dict[str, t.Any]:
    """Takes in what the controller has copied to this host: digest by path, an empty one for several in a tar."""
    try:
        _supply.take(prefix, files)
    except SourceError as error:
        raise ConvergeError(str(error)) from error
    return {}


def _needs(found: Survey, request: Request) -> list[Need]:
    try:
        return needs_of(found, request)
    except SourceError as error:
        raise ConvergeError(str(error)) from error


def _sweep(layout: Layout, ended: str) -> None:
    """ended: journal whose writer has written all, though it may not have ended yet."""
    with contextlib.suppress(_lock.Busy, OSError), _lock.held(layout.lock, {}, 0, lambda _holder: None):
        if os.path.isdir(layout.staging) or _journal.busy(layout.journals, ended):
            return  # the next install has begun
        _store.remove_tree(layout.journals)
        os.unlink(layout.lock)
    _store.remove_empty_folder(layout.prefix)
