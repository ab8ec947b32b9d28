# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a component over real sockets."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._health import probe, wait_healthy
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    FAILED,
    RESTARTING,
    RUNNING,
    STARTING,
    ServiceState,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

UP = ServiceState(True, RUNNING, 10)


class Server(http.server.ThreadingHTTPServer):
    """Answers the given (status, body) pairs in turn, the last one for ever."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/health?deep=1"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        status, body = self.server.answers[0]
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(*answers: tuple[int, bytes]) -> t.Iterator[Server]:
    with Server(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def listening() -> t.Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, listener.getsockname()[1]


@contextlib.contextmanager
def answering(answer: t.Callable[[socket.socket], None]) -> t.Iterator[str]:
    """The URL of a server that answers one request in its own way."""
    with listening() as (listener, port):

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        thread.join()


def test_a_component_is_healthy_when_it_answers_200() -> None:
    with serving((200, b"ok")) as server:
        result = wait_healthy(server.url, 60, lambda: UP, threading.Event())
        assert (result.ok, result.detail) == (True, "answered 200")
        assert server.paths == ["/health?deep=1"]


def test_a_component_that_is_loading_is_waited_for() -> None:
    with serving((503, b"loading"), (503, b"loading"), (200, b"ok")) as server:
        assert wait_healthy(server.url, 60, lambda: UP, threading.Event()).ok
        assert len(server.paths) == 3


def test_who_waits_is_told_what_was_answered() -> None:
    heard: list[str] = []
    with serving((503, b"loading"), (200, b"ok")) as server:
        assert wait_healthy(server.url, 60, lambda: UP, threading.Event(), lambda answer, _at: heard.append(answer)).ok
    assert heard == ["answered 503: loading"]


def test_the_last_answer_is_the_reason_after_the_timeout() -> None:
    with serving((503, b'{"error": {"message": "Loading model"}}')) as server:
        result = wait_healthy(server.url, 0.3, lambda: UP, threading.Event())
        assert (result.ok, result.detail) == (False, "not ready within 0.3 s: answered 503: Loading model")


def test_a_slow_answer_is_heard_even_at_the_end_of_the_time() -> None:
    def answer(connection: socket.socket) -> None:
        threading.Event().wait(0.3)
        connection.sendall(b"HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as url:
        result = wait_healthy(url, 0.1, lambda: UP, threading.Event())
    assert result.detail == "not ready within 0.1 s: answered 503: Loading"


def test_a_port_that_nobody_listens_on_is_named() -> None:
    port = free_port()
    result = wait_healthy(f"http://127.0.0.1:{port}/health", 0.3, lambda: UP, threading.Event())
    assert result.detail == f"not ready within 0.3 s: connection refused on 127.0.0.1:{port}"


def test_a_process_that_dies_ends_the_wait_at_once() -> None:
    states = iter([UP, UP, ServiceState(sub=FAILED, result="exited with 1")])
    result = wait_healthy(f"http://127.0.0.1:{free_port()}/", 60, lambda: next(states), threading.Event())
    assert (result.ok, result.detail) == (False, "process exited with 1")


@pytest.mark.parametrize(
    "later",
    [
        ServiceState(sub=RESTARTING, result="killed by SIGKILL"),
        ServiceState(True, RUNNING, 11, result="killed by SIGKILL"),
        ServiceState(True, RUNNING, 10, restarts=1, result="killed by SIGKILL"),
    ],
)
def test_a_process_that_is_restarted_ends_the_wait_at_once(later: ServiceState) -> None:
    states = iter([UP, later])
    result = wait_healthy(f"http://127.0.0.1:{free_port()}/", 60, lambda: next(states), threading.Event())
    assert not result.ok
    assert "killed by SIGKILL" in result.detail


def test_an_answer_from_someone_else_on_the_port_does_not_hide_a_dead_process() -> None:
    with serving((200, b"ok")) as server:
        dead = ServiceState(sub=FAILED, result="exited with 98")
        assert not wait_healthy(server.url, 60, lambda: dead, threading.Event()).ok


def test_an_answer_does_not_count_before_the_process_runs() -> None:
    states = iter([ServiceState(sub=STARTING), UP])
    with serving((200, b"ok")) as server:
        assert wait_healthy(server.url, 60, lambda: next(states), threading.Event()).ok
        assert len(server.paths) == 2


def test_the_wait_can_be_interrupted() -> None:
    stop = threading.Event()
    stop.set()
    result = wait_healthy(f"http://127.0.0.1:{free_port()}/", 60, lambda: UP, stop)
    assert result.detail.startswith("interrupted: connection refused")


def test_one_try_says_what_was_answered() -> None:
    with serving((500, b"")) as server:
        assert probe(server.url).detail == "answered 500: Internal Server Error"


def test_a_redirect_is_not_followed() -> None:
    with serving((302, b"")) as server:
        assert probe(server.url).detail.startswith("answered 302")
        assert len(server.paths) == 1


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with serving((200, b"ok")) as server:
        assert probe(server.url).ok


def test_a_server_that_says_nothing_does_not_hold_up_the_try() -> None:
    with listening() as (_listener, port):
        assert probe(f"http://127.0.0.1:{port}/", 0.2).detail == f"no answer on 127.0.0.1:{port} within 0.2 s"


def test_a_port_that_speaks_something_else_is_not_healthy() -> None:
    with answering(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as url:
        result = probe(url)
    assert not result.ok
    assert "does not speak HTTP" in result.detail


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 8192)
        with contextlib.suppress(ConnectionResetError):
            connection.recv(1)  # until the other side has had enough

    with answering(answer) as url:
        result = probe(url, 60)
    assert result.detail == "answered 503: " + "x" * 200


def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    assert "[::1]:1" in probe("http://[::1]:1/").detail


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "127.0.0.1:8080", "http:///health"])
def test_only_an_http_url_is_taken(url: str) -> None:
    with pytest.raises(ValueError, match="expected an http URL"):
        probe(url)
