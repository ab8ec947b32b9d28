# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the work on a host while it goes on: the events of a journal, and the side that writes them.

Every event has ``event``, one of the names below, and ``time``, in seconds of the clock of where it happened. All but
``waiting`` have ``component``: its name, or ``host`` for what the components of a host have in common.

======== ===========================================================================================================
step     A step begins. ``step``: its name, of ``_plan`` or below; ``detail``: what it acts on.
progress How far the step is. ``what``: what it does; ``done``, ``total``: bytes, ``total`` 0 when that is not known.
health   A health gate waits. ``answer``: what was seen last; ``seconds``: for how long; ``timeout``: for how long at
         most.
done     Nothing more is done to it. ``state`` and ``reason``: of its outcome; ``seconds``: all of them; ``staged``:
         whether it was only brought to the host.
waiting  Another run is at work here. ``reason``: whose.
======== ===========================================================================================================

The action plugin says ``step`` and ``progress`` of what it does itself, with the component ``controller``.
"""

from __future__ import annotations

import time
import typing as t

STEP, PROGRESS, HEALTH, DONE, WAITING = "step", "progress", "health", "done", "waiting"

AWAIT, ROLL_BACK = "await", "roll back"  # steps that no plan has: for another component; to the generation before
CONTROLLER = "controller"
OBTAIN, COPY = "obtain", "copy"  # steps of the controller

PROGRESS_INTERVAL = 1.0  # seconds between two events about the same thing
HEALTH_INTERVAL = 10.0  # seconds between two equal answers

Write = t.Callable[..., None]
"""Takes the name of an event and, as keywords, what it is about: ``_journal.Journal.write``."""


def say_step(write: Write, component: str, step: str, detail: str) -> None:
    write(STEP, component=component, step=step, detail=detail)


def progress_of(write: Write, component: str) -> t.Callable[[str, int, int], None]:
    """A ``Progress`` of one component; what is new is said at once, the rest at intervals."""
    last = [0.0]
    known = [""]

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != known[0] or now - last[0] >= PROGRESS_INTERVAL:
            last[0], known[0] = now, what
            write(PROGRESS, component=component, what=what, done=done, total=total)

    return report


def health_of(write: Write, component: str, timeout: float) -> t.Callable[[str, float], None]:
    """Takes what was answered and after how many seconds; an answer that stays the same is said at intervals."""
    last = [0.0]
    known = [""]

    def report(answer: str, seconds: float) -> None:
        if answer != known[0] or seconds - last[0] >= HEALTH_INTERVAL:
            last[0], known[0] = seconds, answer
            write(HEALTH, component=component, answer=answer, seconds=round(seconds, 1), timeout=timeout)

    return report
