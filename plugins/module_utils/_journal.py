# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an apply says while it works: one JSON object a line, followed by others while its writer may be long gone.

The writer holds a kernel lock on its journal, so a reader can tell a finished apply from one that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
import typing as t

RESULT = "result"
KEPT = 20  # journals of past applies
POLL = 0.05  # seconds between two looks


class Journal:
    """The writer's side. Thread-safe."""

    def __init__(self, path: str):
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._guard = threading.Lock()

    def write(self, event: str, **about: t.Any) -> None:
        """Append one line, unless the disk is full; *about* must be JSON data and hold no secret."""
        self._append({"event": event, **about})

    def end(self, answer: t.Mapping[str, t.Any]) -> None:
        """Append the result; on a full disk it takes the place of what was said before."""
        if not self._append({"event": RESULT, "result": answer}):
            os.ftruncate(self.descriptor, 0)
            self._append({"event": RESULT, "result": answer})

    def _append(self, about: t.Mapping[str, t.Any]) -> bool:
        line = (json.dumps({"time": round(time.time(), 3), **about}, sort_keys=True) + "\n").encode()
        with self._guard:
            size = os.fstat(self.descriptor).st_size
            try:
                whole = os.write(self.descriptor, line) == len(line)
            except OSError:
                whole = False
            if not whole:
                os.ftruncate(self.descriptor, size)
        return whole

    def close(self) -> None:
        os.close(self.descriptor)


def read(
    path: str, offset: int, wait: float, ready: t.Callable[[], bool] = lambda: True
) -> tuple[list[dict[str, t.Any]], int, bool]:
    """The whole lines after *offset* (bytes), the next offset, and whether the writer is still at work.

    Returns early when the apply ends; otherwise after *wait* seconds, as soon as it is *ready*.
    """
    deadline = time.monotonic() + wait
    while True:
        alive = _has_writer(path)  # asked before reading, so that nothing written before its end is missed
        lines, end = _lines(path, offset)
        ended = any(line["event"] == RESULT for line in lines)
        if not alive and not ended:  # killed, or the result replaced what was said before
            lines += [line for line in _lines(path, 0)[0] if line["event"] == RESULT]
        if ended or not alive or (time.monotonic() >= deadline and ready()):
            return lines, end, alive and not ended
        time.sleep(POLL)


def _lines(path: str, offset: int) -> tuple[list[dict[str, t.Any]], int]:
    """The whole lines after an offset that are JSON, and the offset of what follows them."""
    with open(path, "rb") as stream:
        stream.seek(offset)
        text = stream.read()
    lines = []
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return lines, offset + len(whole)


def tidy(folder: str) -> None:
    """Keep the newest journals only, and those that are written now: their names follow a clock that may be wrong."""
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))[:-KEPT]:
        path = os.path.join(folder, name)
        if not _has_writer(path):
            os.unlink(path)


def busy(folder: str, but: str = "") -> bool:
    """Whether an apply with a journal in this folder is still at work. but: path of a journal that does not count."""
    journals = (os.path.join(folder, name) for name in os.listdir(folder))
    return any(_has_writer(path) for path in journals if path != but)


def _has_writer(path: str) -> bool:
    with open(path, "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
