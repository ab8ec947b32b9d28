# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what a host is doing while its task runs: as the callback rbee.fleet.report says, or without it as ``-v`` does.

The callback lives in Ansible's main process and sets ``look`` before any task. Tasks run in forks of that process, or
in threads of it, and so know it too. What they give to Display the main process shows, in one queue with the results.
"""

from __future__ import annotations

import threading
import time
import typing as t

from ansible import constants as C
from ansible.utils.display import Display
from ansible_collections.rbee.fleet.plugins.module_utils import _events
from ansible_collections.rbee.fleet.plugins.plugin_utils import _report

look: _report.Look | None = None  # None: the callback is not enabled

# The main process loads the action plugin of rbee.fleet.components, and this with it, as it queues the first such task.
_BEGAN = time.monotonic()

_COLOURS = {_report.CHANGED: C.COLOR_CHANGED, _report.BAD: C.COLOR_ERROR}


class Live:
    """What is shown of one host during one task. Thread-safe. hosts: all of the play. components: names."""

    def __init__(self, display: Display, host: str, hosts: t.Collection[str], components: t.Iterable[str]) -> None:
        self._display, self._host = display, host
        self._report = _report.Report(look, host, hosts, components) if look else None
        self._guard = threading.Lock()

    def tell(self, events: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        """Show what is worth it of these events, which are of ``_events`` and in their order."""
        if self._report is None:
            self._tell_plainly(events)
            return
        with self._guard:
            for line in self._report.lines(events, time.monotonic()):
                self._display.display(line.text, color=_COLOURS.get(line.tone), stderr=for_machines())

    def tell_step(self, step: str, detail: str) -> None:
        """A step of the controller."""
        self.tell([{"event": _events.STEP, "component": _events.CONTROLLER, "step": step, "detail": detail}])

    def tell_progress(self, what: str, done: int, total: int) -> None:
        """A ``Progress`` of the controller."""
        about = {"what": what, "done": done, "total": total, "time": time.time()}
        self.tell([{"event": _events.PROGRESS, "component": _events.CONTROLLER, **about}])

    def _tell_plainly(self, events: t.Iterable[t.Mapping[str, t.Any]]) -> None:
        for event in events:
            name = event.get("component", "host")
            if event["event"] == _events.STEP:
                self._display.v(f"{name}: {event['step']} {event['detail']}".rstrip(), host=self._host)
            elif event["event"] in (_events.PROGRESS, _events.HEALTH):
                self._display.vv(f"{name}: {_report.text_of(event)}", host=self._host)
            elif event["event"] == _events.WAITING:
                self._display.display(f"{self._host}: {_report.text_of(event)}", stderr=for_machines())


def elapsed() -> float:
    """Seconds since the first task of this run that works on hosts."""
    return time.monotonic() - _BEGAN


def show(display: Display, lines: t.Iterable[str]) -> None:
    """Show what people are to read at the end of a run, apart from what is around it."""
    display.display("\n".join(["", *lines, ""]), stderr=for_machines())


def for_machines() -> bool:
    """Whether standard output is read by a program (``stdout_callback = ansible.posix.json``), and is not for us."""
    return "json" in str(C.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2]
