# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at all GPUs of the host, in a child process, so that a driver that hangs takes nothing else with it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds, _gpu_sysfs, _nvml
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import (
    UNIFIED,
    Found,
    from_json,
    merged,
    shared_memory,
    to_json,
)

TIMEOUT = 30.0  # seconds; a driver that keeps no state between two uses takes some for each card
FRESH = 5.0  # seconds for which the agent trusts its last look
PATIENCE = 1.0  # seconds that a request of the agent waits for a look
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_REAP = 5.0  # seconds for a killed child to end, which takes it a moment where it can

_left: set[int] = set()  # children that were killed and hang in the kernel until the driver lets them go


def probe(timeout: float = TIMEOUT, root: str = "/") -> Found:
    """What the host has. Never raises, and returns after *timeout* seconds and a moment. root: of sysfs and /proc."""
    _reap()
    if _left:
        return Found(None, f"a GPU driver hangs: process {min(_left)}, which asked it earlier, cannot be ended; reboot")
    try:
        answer = _ask(timeout, root)
    except OSError as error:
        return Found(None, f"the GPU drivers cannot be asked: {error.strerror}")
    if answer is None:
        return Found(None, f"a GPU driver hangs: it gave no answer in {timeout:g} s")
    try:
        return from_json(json.loads(answer))
    except ValueError:
        return Found(None, "a GPU driver crashed the process that asked it")


def _ask(timeout: float, root: str) -> t.Optional[bytes]:
    """What a child says, or None when it does not end in time. Raises OSError where there can be no child."""
    reading, writing = os.pipe()
    try:
        try:
            child = os.fork()
            if not child:
                _answer(writing, root)
        finally:
            os.close(writing)
        try:
            return _read(reading, time.monotonic() + timeout)
        finally:
            os.kill(child, signal.SIGKILL)
            _left.add(child)
            _reap()
    finally:
        os.close(reading)


def look(root: str) -> Found:
    """The same in this process."""
    expected = _gpu_kinds.NVIDIA in _gpu_kinds.kinds(root)
    nvidia = _nvml.look(expected)
    if _gpu_kinds.NVIDIA in _gpu_kinds.asleep(root) and not (nvidia.devices or nvidia.reason):
        nvidia = Found((), "nvidia: there is a card, and no driver for it is loaded")
    found = merged([nvidia, _gpu_sysfs.amd(root), _gpu_sysfs.intel(root)])
    total, available = _gpu_sysfs.memory(root)
    devices = (
        shared_memory(device, total, available) if device.memory_kind == UNIFIED else device
        for device in found.devices or ()
    )
    return Found(tuple(devices), found.reason)


def _answer(writing: int, root: str) -> t.NoReturn:
    """The child. It may stay behind for ever, so it holds on to nothing: no lock, no connection, no terminal."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _end_with_parent()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.dup2(writing, 3)
        os.closerange(4, min(os.sysconf("SC_OPEN_MAX"), 65536))
        os.chdir("/")
        os.setsid()
        try:
            answer = to_json(look(root))
        except Exception as error:  # pylint: disable=broad-except  # whoever asked must be told
            answer = to_json(Found(None, f"unexpected {type(error).__name__}: {error}; please report it"))
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(3, data) :]
    finally:
        os._exit(0)


def _end_with_parent() -> None:
    """Who waits for the answer may be ended first. prctl(2): the thread that forked counts, and that one waits."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read(reading: int, deadline: float) -> t.Optional[bytes]:
    """All that the child says, or None when it has not ended in time."""
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return None
        piece = os.read(reading, 65536)
        if not piece:
            return data
        data += piece


def _reap() -> None:
    """Forget the children that have ended, and wait a while for those that have not."""
    deadline = time.monotonic() + _REAP
    while True:
        for child in list(_left):
            try:
                if os.waitpid(child, os.WNOHANG)[0]:
                    _left.discard(child)
            except ChildProcessError:
                _left.discard(child)
        if not _left or time.monotonic() >= deadline:
            return
        time.sleep(0.002)


class Watch:
    """Keeps the last look, for whoever may not wait. One look at a time, in a thread of its own."""

    def __init__(self, ask: t.Callable[[], Found] = probe, fresh: float = FRESH, patience: float = PATIENCE):
        self._ask, self._fresh, self._patience = ask, fresh, patience
        self._guard = threading.Lock()
        self._done: t.Optional[threading.Event] = None  # of the look at work
        self._known = Found(None, "the GPUs have not answered yet")
        self._when = float("-inf")

    def get(self) -> Found:
        """What is known; when the drivers do not answer in time, the last that they said, with a reason."""
        with self._guard:
            if time.monotonic() - self._when <= self._fresh:
                return self._known
            if self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._look, args=(self._done,), daemon=True).start()
            done = self._done
        in_time = done.wait(self._patience)
        with self._guard:
            known, age = self._known, time.monotonic() - self._when
        if in_time or known.devices is None:
            return known
        return Found(known.devices, f"as of {age:.0f} s ago: the GPU drivers do not answer")

    def _look(self, done: threading.Event) -> None:
        found = self._ask()
        with self._guard:
            if found.devices is not None or self._known.devices is None:
                self._known, self._when = found, time.monotonic()
            else:
                self._known = Found(self._known.devices, found.reason)
            self._done = None
        done.set()
