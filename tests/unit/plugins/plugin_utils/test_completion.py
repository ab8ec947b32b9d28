# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stream of a chat completion says, and how it is shown."""

from __future__ import annotations

import json

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._completion import (
    Completion,
    CompletionError,
    Lines,
    body_of,
    code_in,
    error_in,
)


def event(**choice: object) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n"


def test_the_request() -> None:
    assert json.loads(body_of("m", "Hi", "Be brief.", {"max_tokens": 5, "temperature": None})) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
    }
    assert len(json.loads(body_of("m", "Hi", "", {}))["messages"]) == 1


def test_a_stream() -> None:
    found = Completion()
    lines = [
        event(delta={"role": "assistant", "content": None}),
        b": a comment\n",
        b"\n",
        event(delta={"content": "Hel"}),
        event(delta={"content": "lo"}, finish_reason=None),
        event(delta={}, finish_reason="stop"),
        b'data: {"choices": [], "usage": {"total_tokens": 3}}\n',
        b"data: [DONE]\n",
    ]
    assert [found.take(line) for line in lines] == ["", "", "", "Hel", "lo", "", "", ""]
    assert (found.text, found.reason, found.usage) == ("Hello", "stop", {"total_tokens": 3})


def test_an_answer_that_comes_as_a_whole() -> None:
    found = Completion()
    assert found.take_event({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}) == "Hi"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"data: {", "no JSON"),
        (b"data: []", "unknown shape"),
        (b'data: {"error": {"message": "out of memory"}}', "out of memory"),
    ],
)
def test_a_stream_that_goes_wrong(line: bytes, said: str) -> None:
    with pytest.raises(CompletionError, match=said):
        Completion().take(line)


def test_errors_of_any_shape() -> None:
    assert (error_in({"error": "no"}), error_in([]), code_in({"error": "no"})) == ("no", "no reason was given", "")
    assert code_in({"error": {"code": "no_worker_up"}}) == "no_worker_up"


def test_lines_are_shown_when_they_are_complete_or_full() -> None:
    lines = Lines(20)
    assert lines.add("One\ntwo three") == ["One"]
    assert lines.add(" four five six seven") == ["two three four five"]
    assert lines.add(" eight") == []
    assert lines.rest() == ["six seven eight"]
    assert lines.rest() == []
    assert lines.add("x" * 30) == []  # a word is not broken


def test_what_a_terminal_would_act_upon_is_not_shown() -> None:
    assert Lines(20).add("a\x1b[2Jb\n") == ["a [2Jb"]
