# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the events of one host (``_events``) to the lines that people read while it is at work. Pure: time is passed in.

Events come in batches. Of what has passed by the end of a batch nobody needs to know: a line says what a component is
doing now, or what became of it. With verbosity every step has its line.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _events, _plan
from ansible_collections.rbee.fleet.plugins.module_utils._request import BROKEN, HOST, OK
from ansible_collections.rbee.fleet.plugins.module_utils._sources import human
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import one_line

PLAIN, CHANGED, BAD = "plain", "changed", "bad"  # tones of a line, for whoever colours it

NARROWEST = 10  # characters of the column of components: hosts with other names then mostly have the same one
CROWD = 5  # hosts from which on each is given less room
QUIET = 12  # intervals after which what goes on without news is said again

_DOING = {
    _plan.FETCH: "fetching",
    _plan.WRITE: "writing",
    _plan.CHECK: "checking",
    _plan.SWITCH: "switching from",
    _plan.UNIT: "writing",
    _plan.ENABLE: "enabling",
    _plan.DISABLE: "disabling",
    _plan.START: "starting",
    _plan.RESTART: "restarting",
    _plan.RELOAD: "reloading",
    _plan.STOP: "stopping",
    _plan.GATE: "waiting for",
    _plan.LINK: "linking",
    _plan.RECORD: "writing",
    _plan.DRAIN: "waiting for the end of",
    _plan.REMOVE: "removing",
    _plan.DISCARD: "discarding",
    _plan.FOLDERS: "creating folders",
    _plan.ACCOUNT: "creating user",
    _plan.KEEP: "keeping",
    _plan.TEARDOWN: "tearing down",
    _events.AWAIT: "waiting for",
    _events.ROLL_BACK: "rolling back",
    _events.OBTAIN: "obtaining",
    _events.COPY: "copying",
}

Event = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Look:
    """How a report looks.

    watched: somebody looks on, as at a terminal; otherwise it is kept, as in a log, and progress is told at quarters.
    interval: seconds between two lines of progress of a component, at least. verbosity: as of Ansible's ``-v``.
    """

    watched: bool = False
    interval: float = 5.0
    verbosity: int = 0


@dataclasses.dataclass(frozen=True)
class Line:
    text: str
    tone: str = PLAIN


@dataclasses.dataclass
class _Told:
    """What was told last of a component: when, what, at which quarter; what it is doing now, and since when."""

    at: float
    what: str
    quarter: int
    doing: str  # empty when nothing more is known to go on
    since: float


class Report:
    """The report of one host during one task. hosts: all of the play. components: names, as far as they are known."""

    def __init__(self, look: Look, host: str, hosts: t.Collection[str] = (), components: t.Iterable[str] = ()) -> None:
        self._look = look
        self._host = f"{host:<{max(map(len, (host, *hosts)))}}"
        self._width = max(map(len, (" " * NARROWEST, *components)))
        # A log is read afterwards: half as many lines. Many hosts share one screen.
        self._interval = look.interval * max(1.0, len(hosts) / CROWD) if look.watched else look.interval * 2
        self._told: dict[str, _Told] = {}
        self._base: dict[str, tuple[str, float, int]] = {}  # what, when and bytes from which on a rate is measured

    def lines(self, events: t.Sequence[Event], now: float) -> list[Line]:
        """What is to be shown of the events since the last call. now: seconds of a clock that never goes back."""
        last = {_name(event): index for index, event in enumerate(events)}
        out = []
        for index, event in enumerate(events):
            name, kind = _name(event), event["event"]
            # The host's own steps precede those of its components.
            passed = index != (len(events) - 1 if name == HOST else last[name])
            if kind in (_events.DONE, _events.WAITING):
                wanted = True
            elif kind == _events.STEP:
                wanted = self._look.verbosity > 0 or not passed
            else:
                wanted = self._look.verbosity > 1 or (not passed and self._due(name, event, now))
            if wanted:
                out.append(self._say(name, event))
            self._note(name, event, now, wanted)
        return out + self._still(last, now)

    def _due(self, name: str, event: Event, now: float) -> bool:
        """Whether progress is to be told now."""
        told = self._told.get(name)
        if told is None:
            return True
        if now - told.at < self._interval:
            return False
        news = told.what != _what(event) or _quarter(event) > told.quarter
        return news or self._look.watched or now - told.at >= self._quiet

    @property
    def _quiet(self) -> float:
        return QUIET * self._look.interval

    def _say(self, name: str, event: Event) -> Line:
        tone = PLAIN
        if event["event"] == _events.DONE:
            tone = BAD if event["state"] in BROKEN else CHANGED if event["state"] != OK else PLAIN
        return Line(self._line(name, text_of(event) + self._rate(name, event)), tone)

    def _line(self, name: str, text: str) -> str:
        return f"{self._host}  {name:<{self._width}}  {text}".rstrip()

    def _note(self, name: str, event: Event, now: float, wanted: bool) -> None:
        told, doing = self._told.get(name), _doing(event)
        if wanted:
            since = told.since if told and told.doing == doing else now
            self._told[name] = _Told(now, _what(event), _quarter(event), doing, since)
        elif event["event"] == _events.STEP:
            self._told.pop(name, None)  # what comes next is told at once
        elif told and told.doing != doing:
            told.doing, told.since = doing, now
        if event["event"] == _events.PROGRESS:
            base = self._base.get(name)
            if wanted or base is None or base[0] != event["what"]:
                self._base[name] = (event["what"], event.get("time", 0.0), event["done"])

    def _still(self, heard: t.Collection[str], now: float) -> list[Line]:
        """What goes on without a word, said again after a while."""
        out = []
        if HOST in self._told and any(name != HOST for name in heard):
            self._told[HOST].doing = ""
        for name, told in self._told.items():
            if told.doing and name not in heard and now - told.at >= self._quiet:
                told.at = now
                out.append(Line(self._line(name, f"still {told.doing}, for {now - told.since:.0f} s")))
        return out

    def _rate(self, name: str, event: Event) -> str:
        what, since, before = self._base.get(name, ("", 0.0, 0))
        if event["event"] != _events.PROGRESS or what != event["what"] or not event["total"]:
            return ""
        seconds, grown = event.get("time", 0.0) - since, event["done"] - before
        return f", {human(round(grown / seconds))}/s" if seconds > 0 and grown > 0 else ""


def text_of(event: Event) -> str:
    """What an event says, without its host, its component and its time."""
    kind = event["event"]
    if kind == _events.STEP:
        return f"{_DOING.get(event['step'], event['step'])} {event['detail']}".rstrip()
    if kind == _events.PROGRESS:
        return f"{event['what']}{amount(event['done'], event['total'])}"
    if kind == _events.HEALTH:
        limit = f"{event['seconds']:.0f} of {event['timeout']:g} s"
        return f"waiting for health, {limit}: {one_line(event['answer'])}"
    if kind == _events.WAITING:
        return f"waiting for {event['reason']}"
    text = "staged" if event.get("staged") and event["state"] not in BROKEN else event["state"]
    text += f" in {event['seconds']:.1f} s" if event.get("seconds") else ""
    return text + (f": {one_line(event['reason'])}" if event["reason"] else "")


def amount(done: int, total: int) -> str:
    """For example ``  1.2 of 2.1 GiB (57 %)``; empty where nothing is known."""
    if not total:
        return f"  {human(done)}" if done else ""
    number, unit = human(total).split()
    size = 1
    for step in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if step == unit:
            break
        size *= 1024
    part = f"{done}" if size == 1 else f"{done / size:.1f}"
    return f"  {part} of {number} {unit} ({100 * done // total} %)"


def _name(event: Event) -> str:
    return str(event.get("component", HOST))


def _doing(event: Event) -> str:
    if event["event"] == _events.DONE or (_name(event) == HOST and event["event"] != _events.WAITING):
        return ""  # nobody says when the host's own steps are done
    return str(event["what"]) if event["event"] == _events.PROGRESS else text_of(event)


def _what(event: Event) -> str:
    return str(event.get("what", event.get("answer", "")))


def _quarter(event: Event) -> int:
    return int(4 * event["done"] // event["total"]) if event.get("total") else 0
