# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an answer is fetched, from a server that stands in for the queen and does what she or an engine may do."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _chat_http
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Question
from ansible_collections.rbee.fleet.plugins.plugin_utils._completion import Completion, CompletionError
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

Reply = tuple[int, str, bytes]
STREAM = "text/event-stream"
WORDS = [
    b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "lo"}}]}\n\n',
]
END = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def error(status: int, code: str, message: str) -> Reply:
    return status, "application/json", json.dumps({"error": {"code": code, "message": message}}).encode()


@contextlib.contextmanager
def queen_stand_in(*replies: Reply) -> t.Iterator[tuple[Question, list[t.Any]]]:
    """Where it listens, and what it was sent. replies: one after the other, the last one again and again."""
    left, seen = list(replies), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(
                (self.headers["Authorization"], json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            )
            status, kind, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: t.Any) -> None:
            """Keeps quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Question("127.0.0.1", server.server_port, _chat_http.PATH, "the key"), seen
    finally:
        server.shutdown()
        server.server_close()


def complete(queen: Question, patience: float = 0) -> tuple[Completion, list[str]]:
    shown: list[str] = []
    return _chat_http.complete(queen, b'{"model": "m"}', 5, patience, shown.append), shown


def test_the_text_is_given_as_it_comes() -> None:
    with queen_stand_in((200, STREAM, b"".join(WORDS) + END)) as (queen, seen):
        found, shown = complete(queen)
    assert (found.text, found.reason, shown) == ("Hello", "stop", ["Hel", "lo"])
    assert seen == [("Bearer the key", {"model": "m"})]


def test_an_engine_that_does_not_stream() -> None:
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": {"total_tokens": 2}}
    with queen_stand_in((200, "application/json", json.dumps(whole).encode())) as (queen, _seen):
        found, shown = complete(queen)
    assert (found.text, found.usage, shown) == ("Hello", {"total_tokens": 2}, ["Hello"])


def test_a_worker_that_the_queen_has_not_seen_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_chat_http, "_PAUSE", 0.01)
    later = error(503, "no_worker_up", "no worker is up"), error(404, "model_not_found", "who?")
    with queen_stand_in(*later, (200, STREAM, WORDS[0] + END)) as (queen, seen):
        assert complete(queen, patience=60)[0].text == "Hel"
    assert len(seen) == 3
    with (
        queen_stand_in(later[0]) as (queen, _seen),
        pytest.raises(CompletionError, match="answered 503: no worker is up"),
    ):
        complete(queen)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (error(401, "invalid_api_key", "wrong key"), "answered 401: wrong key"),
        ((500, "text/plain", b"oh\n"), "answered 500: oh"),
        ((200, STREAM, WORDS[0]), "broke off before its end"),
        ((200, STREAM, b'data: {"error": {"message": "out of memory"}}\n'), "out of memory"),
        ((200, "application/json", b"{"), "[{]"),
    ],
)
def test_what_goes_wrong_is_said(reply: Reply, said: str) -> None:
    with queen_stand_in(reply) as (queen, _seen), pytest.raises(CompletionError, match=said):
        complete(queen, patience=60)


def test_nobody_there() -> None:
    with pytest.raises(CompletionError, match="refused the connection"):
        complete(Question("127.0.0.1", free_port(), _chat_http.PATH))
