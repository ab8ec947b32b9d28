# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark that tells the queen to send nothing to a component, and the agent's answers to her questions about it.

The mark is a lock, so that the death of whoever set it takes it back.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _lock
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout, slug

_PATIENCE = 10.0  # seconds to set the mark; whoever looks at it has it for a moment

DRAIN, READY = b"drain\n", b"ready\n"  # the words of HAProxy's agent-check


@contextlib.contextmanager
def mark(layout: Layout, name: str) -> t.Iterator[None]:
    """Tell the queen to send nothing to a component while the block runs."""
    path = layout.draining(name)
    with _lock.held(path, {"pid": os.getpid()}, _PATIENCE, lambda _holder: None):
        try:
            yield
        finally:
            os.unlink(path)


class Questions:
    """What the queen asks the agent, and how often she has. Also whoever has set a mark reads that, over HTTP."""

    def __init__(self, prefix: str):
        self._layout = Layout(prefix)
        self._guard = threading.Lock()
        self._began = time.monotonic()
        self._answered: dict[str, tuple[int, float]] = {}

    def answer(self, line: bytes) -> bytes | None:
        """One line for HAProxy, None when the line is not the name of a component here."""
        name = line.decode("ascii", "replace").strip()
        if slug(name) != name or not os.path.isdir(self._layout.component(name)):
            return None
        return DRAIN if _lock.holder(self._layout.draining(name)) is not None else READY

    def answered(self, line: bytes) -> None:
        """An answer is on its way."""
        name = line.decode("ascii", "replace").strip()
        with self._guard:
            count, _when = self._answered.get(name, (0, 0.0))
            self._answered[name] = (count + 1, time.monotonic())

    def state(self) -> dict[str, t.Any]:
        """JSON data: of each component that was asked for, how often and how many seconds ago; since when, at all."""
        now = time.monotonic()
        with self._guard:
            asked = {name: {"answered": count, "silent": now - when} for name, (count, when) in self._answered.items()}
        return {"components": asked, "silent": now - self._began}
