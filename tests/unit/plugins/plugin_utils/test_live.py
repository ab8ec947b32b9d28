# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible import constants as C
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live
from ansible_collections.rbee.fleet.plugins.plugin_utils._report import Look

GATE = {"event": "step", "component": "vllm", "step": "gate", "detail": "health, up to 300 s"}
FAILED = {"event": "done", "component": "vllm", "state": "failed", "reason": "why", "seconds": 1.0}
WAITING = {"event": "waiting", "reason": "process 1 for ops"}


class Shown:
    """What would be shown, with how it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, t.Any]] = []

    def __getattr__(self, name: str) -> t.Callable[..., None]:
        return lambda text, **about: self.calls.append((name, text, about))


def told(*events: t.Any) -> list[tuple[str, str, t.Any]]:
    shown = Shown()
    _live.Live(shown, "h", ["h"], ["vllm"]).tell(events)
    return shown.calls


def test_without_the_callback_steps_are_for_v_and_a_wait_is_for_all() -> None:
    assert told(GATE, FAILED, WAITING) == [
        ("v", "vllm: gate health, up to 300 s", {"host": "h"}),
        ("display", "h: waiting for process 1 for ops", {"stderr": False}),
    ]


def test_with_it_everything_goes_its_way_and_failures_have_a_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "look", Look())
    assert [(name, text.split(None, 2)[2], about["color"]) for name, text, about in told(GATE, FAILED, WAITING)] == [
        ("display", "failed in 1.0 s: why", C.COLOR_ERROR),
        ("display", "waiting for process 1 for ops", None),
    ]


def test_what_the_controller_does_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "look", Look(watched=True, interval=0))
    shown = Shown()
    live = _live.Live(shown, "h", ["h"], ["vllm"])
    live.tell_step("copy", "2 files, 1.0 GiB")
    live.tell_progress("fetching a", 1, 4)
    assert [text for _name, text, _about in shown.calls] == [
        "h  controller  copying 2 files, 1.0 GiB",
        "h  controller  fetching a  1 of 4 bytes (25 %)",
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("default", False), ("ansible.posix.json", True), ("ansible.posix.jsonl", True)]
)
def test_output_for_a_program_is_known_by_the_callback_that_makes_it(
    name: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(C, "DEFAULT_STDOUT_CALLBACK", name)
    assert _live.for_machines() == expected
