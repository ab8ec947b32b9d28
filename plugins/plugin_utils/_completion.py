# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chat completion as OpenAI's API streams it: what is sent, and what the events say. Pure.

https://platform.openai.com/docs/api-reference/chat/streaming: lines ``data: {…}``, the last one ``data: [DONE]``.
"""

from __future__ import annotations

import json
import typing as t


class CompletionError(Exception):
    """The answer broke off or is none; the message says what was said instead."""


def body_of(model: str, prompt: str, system: str, more: t.Mapping[str, t.Any]) -> bytes:
    """The request. more: keys such as ``max_tokens``; those that are None are left out."""
    messages = [{"role": "system", "content": system}] if system else []
    request = {
        "model": model,
        "messages": [*messages, {"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{key: value for key, value in more.items() if value is not None},
    }
    return json.dumps(request).encode()


class Completion:
    """The answer as far as it is known. usage: tokens, as the engine counts them. reason: why it ended, or empty."""

    def __init__(self) -> None:
        self.text, self.reason = "", ""
        self.usage: dict[str, t.Any] = {}

    def take(self, line: bytes) -> str:
        """What one line of the stream adds to the text. Raises CompletionError."""
        name, _colon, value = line.decode("utf-8", "replace").strip().partition(":")
        value = value.strip()
        if name != "data" or value == "[DONE]":
            return ""
        try:
            event = json.loads(value)
        except ValueError:
            raise CompletionError("the engine sent an event that is no JSON") from None
        return self.take_event(event)

    def take_event(self, event: t.Any) -> str:
        """The same of an event that is read; also of an answer that comes as a whole."""
        if not isinstance(event, dict):
            raise CompletionError("the engine sent an event of an unknown shape")
        if event.get("error"):
            raise CompletionError(error_in(event))
        if isinstance(event.get("usage"), dict):
            self.usage = event["usage"]
        added = ""
        for choice in event.get("choices") or ():
            part = choice.get("delta") or choice.get("message") or {}
            added += part.get("content") or ""
            self.reason = choice.get("finish_reason") or self.reason
        self.text += added
        return added


def error_in(answer: t.Any) -> str:
    """What an error of OpenAI's shape says."""
    error = answer.get("error") if isinstance(answer, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    return str(said or "no reason was given")


def code_in(answer: t.Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("code") or "") if isinstance(error, dict) else ""


class Lines:
    """Text that comes in pieces, as lines that a terminal shows at once: at their end, or when they are full."""

    def __init__(self, width: int) -> None:
        self._width, self._left = max(width, 20), ""

    def add(self, piece: str) -> list[str]:
        """The lines that are complete by now."""
        self._left += "".join(char if char.isprintable() or char in "\n\t" else " " for char in piece)
        *lines, self._left = self._left.split("\n")
        while len(self._left) > self._width:
            at = self._left.rfind(" ", 1, self._width + 1)
            if at < 0:
                break
            lines.append(self._left[:at])
            self._left = self._left[at + 1 :]
        return lines

    def rest(self) -> list[str]:
        left, self._left = self._left, ""
        return [left] if left else []
