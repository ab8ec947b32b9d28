# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady stream of streamed chat requests, of which every one is counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import typing as t

CLIENTS = 6
TOKENS = 48  # of each answer, about a second's work
TIMEOUT = 60.0  # seconds without a byte


class Load:
    """Clients that ask one after the other until they are told to stop.

    whole: answers that came to their end with all of their tokens. failures: why the others did not.
    """

    def __init__(self, address: str, port: int, model: str, key: str) -> None:
        self.whole, self.failures = 0, list[str]()
        self._where = address, port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "Tell a long story."}],
            "max_tokens": TOKENS,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        self._body = json.dumps(body)
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._clients = [threading.Thread(target=self._go_on, daemon=True) for _number in range(CLIENTS)]

    @property
    def count(self) -> int:
        return self.whole + len(self.failures)

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _go_on(self) -> None:
        while not self._stop.is_set():
            failure = self.ask()
            with self._guard:
                if failure:
                    self.failures.append(failure)
                else:
                    self.whole += 1

    def ask(self) -> str:
        """Ask once. Returns why the answer is not whole, or nothing."""
        events: list[str] = []
        try:
            with contextlib.closing(http.client.HTTPConnection(*self._where, timeout=TIMEOUT)) as connection:
                connection.request("POST", "/v1/chat/completions", self._body, self._headers)
                answer = connection.getresponse()
                if answer.status != 200:
                    return f"answered {answer.status}: {answer.read()[:200]!r}"
                events = [line.decode().strip() for line in answer if line.startswith(b"data: ")]
        except (OSError, http.client.HTTPException) as error:
            return f"{error!r} after {len(events)} events"
        if events[-1:] != ["data: [DONE]"]:
            return f"cut off after {len(events)} events: {events[-1:]}"
        usage = json.loads(events[-2].partition(": ")[2]).get("usage") or {}
        tokens = usage.get("completion_tokens")
        return "" if tokens == TOKENS else f"{tokens} tokens of {TOKENS}"
