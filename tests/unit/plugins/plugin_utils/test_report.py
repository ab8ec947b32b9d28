# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _events, _plan
from ansible_collections.rbee.fleet.plugins.plugin_utils._report import BAD, CHANGED, PLAIN, Look, Report, amount

MIB = 1024 * 1024
SCREEN = Look(watched=True, interval=5)
LOG = Look(watched=False, interval=5)  # progress every 10 s, silence after 60


def step(name: str, detail: str = "", component: str = "vllm") -> dict[str, t.Any]:
    return {"event": "step", "component": component, "step": name, "detail": detail}


def progress(done: int, time: float, total: int = 100, what: str = "fetching a", component: str = "vllm") -> t.Any:
    """done, total: MiB. time: seconds."""
    about = {"what": what, "done": done * MIB, "total": total * MIB, "time": time}
    return {"event": "progress", "component": component, **about}


def health(seconds: float, answer: str = "answered 503: loading") -> dict[str, t.Any]:
    return {"event": "health", "component": "vllm", "answer": answer, "seconds": seconds, "timeout": 300}


def done(state: str = "installed", component: str = "vllm", **more: t.Any) -> dict[str, t.Any]:
    return {"event": "done", "component": component, "state": state, "reason": "", "seconds": 12.44, **more}


def waiting(reason: str = "another run") -> dict[str, t.Any]:
    return {"event": "waiting", "reason": reason}


def shown(look: Look, *batches: tuple[float, list[t.Any]]) -> list[list[str]]:
    """What is said at each time, without host and component."""
    report = Report(look, "h")
    return [[line.text[3:].split(None, 1)[1] for line in report.lines(events, now)] for now, events in batches]


def test_hosts_and_components_stand_in_columns() -> None:
    report = Report(SCREEN, "gpu-1", ["gpu-1", "longer-host"], ["vllm", "llama-cpp"])
    lines = [line.text for line in report.lines([done(), done(component="llama-cpp")], 0)]
    assert lines == ["gpu-1        vllm        installed in 12.4 s", "gpu-1        llama-cpp   installed in 12.4 s"]


def test_what_has_passed_by_the_end_of_a_batch_is_not_told() -> None:
    events = [step(_plan.FETCH, "release x"), progress(50, 1), step(_plan.START, "service"), health(1), done()]
    assert shown(SCREEN, (0, events)) == [["installed in 12.4 s"]]


def test_the_steps_of_the_host_have_passed_when_its_components_are_at_work() -> None:
    prepared = step(_plan.FOLDERS, "/opt/rbee", "host")
    assert shown(SCREEN, (0, [prepared, step(_plan.GATE, "health, up to 300 s")])) == [
        ["waiting for health, up to 300 s"]
    ]
    assert shown(SCREEN, (0, [prepared])) == [["creating folders /opt/rbee"]]


def test_verbosity_tells_every_step_and_then_all_progress() -> None:
    events = [step(_plan.FETCH, "release x"), progress(10, 1), progress(20, 2), step(_plan.RECORD, "receipt"), done()]
    steps = ["fetching release x", "writing receipt", "installed in 12.4 s"]
    assert shown(Look(True, 5, verbosity=1), (0, events)) == [steps]
    (everything,) = shown(Look(True, 5, verbosity=2), (0, events))
    assert len(everything) == 5


def test_every_end_is_told_with_its_tone_and_its_reason() -> None:
    report = Report(SCREEN, "h")
    events = [
        done("ok", "a"),
        done("updated", "b"),
        done("failed", "c", reason="no\n  room"),
        done("rolled-back", "d", reason="why"),
        done("updated", "e", staged=True),
        done("failed", "f", staged=True, reason="why"),
    ]
    lines = report.lines(events, 0)
    assert [line.tone for line in lines] == [PLAIN, CHANGED, BAD, BAD, CHANGED, BAD]
    assert [line.text.split(None, 2)[2] for line in lines] == [
        "ok in 12.4 s",
        "updated in 12.4 s",
        "failed in 12.4 s: no room",
        "rolled-back in 12.4 s: why",
        "staged in 12.4 s",
        "failed in 12.4 s: why",
    ]


def test_a_screen_gets_progress_at_intervals_with_the_rate_since_the_last_one() -> None:
    assert shown(
        SCREEN,
        (0, [progress(1, 100), progress(9, 104)]),
        (3, [progress(15, 107)]),
        (5, [progress(19, 109)]),
    ) == [
        ["fetching a  9.0 of 100.0 MiB (9 %), 2.0 MiB/s"],
        [],
        ["fetching a  19.0 of 100.0 MiB (19 %), 2.0 MiB/s"],
    ]


def test_many_hosts_share_a_screen() -> None:
    report = Report(SCREEN, "h", [f"h{number}" for number in range(20)])
    told = [bool(report.lines([progress(now, now)], now)) for now in range(0, 45, 5)]
    assert told == [True, False, False, False, True, False, False, False, True]


def test_a_log_gets_progress_at_quarters_but_not_too_often() -> None:
    slow = [(now, [progress(now, now)]) for now in range(0, 60, 5)]
    assert [now for (now, _events), said in zip(slow, shown(LOG, *slow)) if said] == [0, 25, 50]
    fast = [(now, [progress(5 * now, now)]) for now in range(0, 20, 5)]
    assert [now for (now, _events), said in zip(fast, shown(LOG, *fast)) if said] == [0, 10]


def test_a_log_is_not_silent_for_more_than_a_minute() -> None:
    crawling = [(now, [progress(0, now, total=9000)]) for now in range(0, 130, 10)]
    assert [now for (now, _events), said in zip(crawling, shown(LOG, *crawling)) if said] == [0, 60, 120]


def test_a_new_answer_of_a_health_gate_is_news() -> None:
    assert shown(
        LOG,
        (0, [step(_plan.GATE, "health, up to 300 s")]),
        (5, [health(5, "connection refused")]),
        (10, [health(10, "connection refused")]),
        (20, [health(20, "connection refused")]),
        (30, [health(30)]),
    ) == [
        ["waiting for health, up to 300 s"],
        [],
        ["waiting for health, 10 of 300 s: connection refused"],
        [],
        ["waiting for health, 30 of 300 s: answered 503: loading"],
    ]


def test_what_goes_on_without_a_word_is_said_again() -> None:
    building = progress(0, 1, total=0, what="installing 9 Python packages")
    assert shown(LOG, (0, [building]), (59, []), (60, []), (90, []), (120, []), (121, [done()]), (900, [])) == [
        ["installing 9 Python packages"],
        [],
        ["still installing 9 Python packages, for 60 s"],
        [],
        ["still installing 9 Python packages, for 120 s"],
        ["installed in 12.4 s"],
        [],
    ]


def test_what_is_said_again_is_the_newest() -> None:
    first, second = (progress(0, 1, total=0, what=what) for what in ("one", "two"))
    assert shown(LOG, (0, [first]), (5, [second]), (65, [])) == [["one"], [], ["still two, for 60 s"]]


def test_a_wait_for_another_run_is_said_again_until_it_is_over() -> None:
    assert shown(SCREEN, (0, [waiting()]), (60, []), (61, [step(_plan.START, "service")]), (200, [done()])) == [
        ["waiting for another run"],
        ["still waiting for another run, for 60 s"],
        ["starting service"],
        ["installed in 12.4 s"],
    ]


def test_after_a_step_that_was_passed_over_the_next_thing_is_told_at_once() -> None:
    assert shown(SCREEN, (0, [progress(1, 1)]), (1, [step(_plan.START, "service"), health(1)])) == [
        ["fetching a  1.0 of 100.0 MiB (1 %)"],
        ["waiting for health, 1 of 300 s: answered 503: loading"],
    ]


def test_every_step_of_a_plan_has_words_for_what_it_does() -> None:
    names = {value for name, value in vars(_plan).items() if name.isupper() and isinstance(value, str)}
    names -= {_plan.WORKER, _plan.SECRETS, _plan.START_SCRIPT}
    names |= {_events.AWAIT, _events.ROLL_BACK, _events.OBTAIN, _events.COPY}
    said = {name: shown(SCREEN, (0, [step(name)]))[0][0] for name in names}
    assert {name for name, text in said.items() if text == name} == set()


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [
        (0, 0, ""),
        (3 * MIB, 0, "  3.0 MiB"),
        (512, 1000, "  512 of 1000 bytes (51 %)"),
        (1288490188, 2254857830, "  1.2 of 2.1 GiB (57 %)"),
        (MIB, 4096 * MIB, "  0.0 of 4.0 GiB (0 %)"),
    ],
)
def test_an_amount_has_one_unit(count: int, total: int, text: str) -> None:
    assert amount(count, total) == text
