# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One apply at a time on a host: a kernel lock that the holder's death releases."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
import typing as t

POLL = 0.2  # seconds between two tries


class Busy(Exception):
    """The lock stayed with someone else for the whole wait; the message names the holder."""


def holder(path: str) -> t.Optional[dict[str, t.Any]]:
    """Who holds the lock now (``{}`` when the holder has not said yet), or None when it is free. Takes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # the agent may not write it
    except FileNotFoundError:
        return None
    try:
        if _try(descriptor, fcntl.LOCK_SH):
            return None
        return _read(descriptor)
    finally:
        os.close(descriptor)


def grab(path: str) -> t.Optional[int]:
    """The lock as an open descriptor, or None when someone else has it now.

    Processes forked from here on hold it too; it is free when the last of them has closed it or died.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _try(descriptor):
            os.close(descriptor)
            return None
        if _is(descriptor, path):
            return descriptor
        os.close(descriptor)  # an uninstall took the file away meanwhile: whoever comes now locks another one


@contextlib.contextmanager
def kept(descriptor: int, about: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Keep a lock that was grabbed while the block runs. about: what others are told of the holder."""
    try:
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(dict(about), sort_keys=True).encode(), 0)
        yield
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(
    path: str, about: t.Mapping[str, t.Any], timeout: float, waiting: t.Callable[[t.Mapping[str, t.Any]], None]
) -> t.Iterator[None]:
    """Hold the lock while the block runs.

    timeout: seconds to wait for it. waiting: called once, with what the holder says of itself, when there is a wait.
    """
    deadline, told = time.monotonic() + timeout, False
    descriptor = grab(path)
    while descriptor is None:
        about_holder = holder(path) or {}
        if not told:
            waiting(about_holder)
            told = True
        if time.monotonic() >= deadline:
            raise Busy(busy(about_holder))
        time.sleep(POLL)
        descriptor = grab(path)
    with kept(descriptor, about):
        yield


def busy(about: t.Mapping[str, t.Any]) -> str:
    """What those are told who have waited long enough."""
    return f"another run has this host: {describe(about)}; try again when it is done"


def describe(about: t.Mapping[str, t.Any]) -> str:
    """The holder in words."""
    if not about:
        return "a process that has not said who it is"
    return f"process {about.get('pid')} for {about.get('controller')} since {about.get('since')}"


def _is(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _try(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _read(descriptor: int) -> dict[str, t.Any]:
    try:
        value = json.loads(os.pread(descriptor, 65536, 0) or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
