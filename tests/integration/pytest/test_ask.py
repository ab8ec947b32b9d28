# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking many servers at once: whatever they do, every question gets an answer or a reason in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _ask
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question, ask, ask_all
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

Behaviour = t.Callable[[socket.socket, bytes], None]
Start = t.Callable[..., Question]

OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def start() -> t.Iterator[Start]:
    """Starts a server that does something with each connection and its request; returns how to ask it."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def serve(behave: Behaviour, address: str = "127.0.0.1") -> Question:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            server = stack.enter_context(socket.create_server((address, 0), family=family, backlog=128))

            def answer(connection: socket.socket) -> None:
                with connection, contextlib.suppress(OSError):
                    behave(connection, connection.recv(65536))

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while not over.is_set():
                        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

            threading.Thread(target=accept, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return Question(address, server.getsockname()[1], "/v1/state")

        yield serve
        over.set()


def says(data: bytes) -> Behaviour:
    return lambda connection, _request: connection.sendall(data)


def at_length(data: bytes, pause: float = 0.0) -> Behaviour:
    """An answer of 500 times the data. pause: seconds between them."""

    def behave(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        for _time in range(500):
            threading.Event().wait(pause)
            connection.sendall(data)

    return behave


def test_an_answer_is_its_status_and_its_body(start: Start) -> None:
    assert ask(start(says(OK))) == Answer(200, b"{}")
    assert ask(start(says(b"HTTP/1.0 503 No\r\n\r\nlater"))) == Answer(503, b"later")


def test_a_redirect_is_not_followed(start: Start) -> None:
    other = start(says(OK))
    assert ask(start(says(f"HTTP/1.0 302 x\r\nLocation: http://{other.where}/\r\n\r\n".encode()))).status == 302


def test_ipv6(start: Start) -> None:
    try:
        question = start(says(OK), "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert ask(question) == Answer(200, b"{}")
    assert question.where.startswith("[::1]:")


def test_the_request_has_the_key_and_no_proxy_is_used(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    seen: list[bytes] = []

    def behave(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(OK)

    where = start(behave)
    assert ask(Question(where.address, where.port, "/v1/info", "sesame")).status == 200
    assert ask(where).status == 200
    assert seen[0].startswith(b"GET /v1/info HTTP/1.1\r\n")
    assert b"Authorization: Bearer sesame\r\n" in seen[0]
    assert b"Authorization" not in seen[1]


def test_all_are_asked_at_once(start: Start) -> None:
    """No server answers before every one of them was asked."""
    together = threading.Barrier(60)

    def behave(connection: socket.socket, _request: bytes) -> None:
        together.wait(timeout=20)
        connection.sendall(OK)

    where = start(behave)
    assert set(ask_all(dict.fromkeys(range(60), where)).values()) == {Answer(200, b"{}")}


def test_one_that_hangs_hides_no_other(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    real, go_on = socket.getaddrinfo, threading.Event()

    def stuck(host: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
        if host == "stuck":
            go_on.wait()
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    found = ask_all({"stuck": Question("stuck", 1, "/"), "well": start(says(OK))}, seconds=3)
    go_on.set()
    assert found == {"stuck": Answer(reason="no answer within 3 s"), "well": Answer(200, b"{}")}


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    assert ask(Question("127.0.0.1", port, "/")) == Answer(reason=f"connection refused on 127.0.0.1:{port}")
    assert ask(Question("no-such-host.invalid", 1, "/")).reason == "no-such-host.invalid is no known host name"


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (lambda _connection, _request: threading.Event().wait(), "no answer from {} in time"),
        (at_length(b"x", 0.02), "no answer from {} in time"),
        (at_length(b"x" * 65536), "its answer is larger than 4 MiB"),
        (says(b"SSH-2.0-OpenSSH\r\n"), "{} does not speak HTTP"),
        (says(b""), "{} does not speak HTTP"),
    ],
    ids=["silent", "dripping", "endless", "other protocol", "hangs up"],
)
def test_a_server_that_does_not_answer_well(
    start: Start, monkeypatch: pytest.MonkeyPatch, behave: Behaviour, reason: str
) -> None:
    monkeypatch.setattr(_ask, "ANSWER", 1.0 if "time" in reason else 60.0)
    question = start(behave)
    assert ask(question) == Answer(reason=reason.format(question.where))


def test_a_key_that_cannot_be_sent_is_not_shown(start: Start) -> None:
    where = start(says(OK))
    found = ask(Question(where.address, where.port, "/", "sesam€"))
    assert (found.status, "€" in found.reason) == (0, False)
    assert "cannot be asked" in found.reason
