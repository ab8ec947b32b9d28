# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's server: what it answers, and that no client can keep others from an answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _agent_http
from ansible_collections.rbee.fleet.plugins.module_utils._agent_http import AgentServer, Cached
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until

STATE: dict[str, t.Any] = {
    "host": {
        "platform": "linux-x86_64", "python": "3.12.1", "service_manager": "systemd", "busy": False,
        "device_kinds": ["nvidia"],
    },
    "components": [{"name": "m", "kind": "model"}, {"name": "w", "kind": "worker"}],
    "devices": [{"index": 0, "vendor": "nvidia"}], "devices_reason": "amd: it is sick",
}  # fmt: skip

Serve = t.Callable[..., tuple[str, int]]


@pytest.fixture
def serve() -> t.Iterator[Serve]:
    """Starts a server and returns where it listens."""
    with contextlib.ExitStack() as stack:

        def start(look: t.Callable[[], t.Any] = lambda: STATE, address: str = "127.0.0.1", **cached: t.Any) -> t.Any:
            server = AgentServer(address, 0, Cached(look, **cached))
            stack.callback(server.server_close)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server.server_address[:2]

        yield start


def ask(where: tuple[str, int], path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*where, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def get(where: tuple[str, int], path: str) -> t.Any:
    response, body = ask(where, path)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    return json.loads(body)


def test_it_answers_what_it_sees(serve: Serve) -> None:
    where = serve()
    assert get(where, "/health") == {"status": "ok"}
    assert get(where, "/v1/state") == STATE
    assert get(where, "/v1/workers") == {"workers": [{"name": "w", "kind": "worker"}]}


def test_capabilities_are_what_the_machine_has(serve: Serve) -> None:
    assert get(serve(), "/v1/capabilities") == {
        "platform": "linux-x86_64",
        "device_kinds": ["nvidia"],
        "devices": STATE["devices"],
        "devices_reason": "amd: it is sick",
    }


def test_metrics_are_prometheus_text(serve: Serve) -> None:
    response, body = ask(serve(lambda: {**STATE, "components": [], "devices": []}), "/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nrbee_host_busy 0\n" in body


def test_head_has_the_headers_of_get_and_no_body(serve: Serve) -> None:
    where = serve()
    response, body = ask(where, "/v1/state", "HEAD")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len(ask(where, "/v1/state")[1])
    assert body == b""


def test_what_is_not_there_is_a_404_in_json(serve: Serve) -> None:
    response, body = ask(serve(), "/v1/nothing")
    assert response.status == 404
    assert json.loads(body)["error"]["code"] == 404


@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
def test_only_reading_is_allowed(serve: Serve, method: str) -> None:
    response, body = ask(serve(), "/v1/state", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert json.loads(body)["error"]["message"] == "there is only GET and HEAD"


def test_what_is_not_http_gets_an_error_in_json(serve: Serve) -> None:
    with socket.create_connection(serve(), timeout=30) as client:
        client.sendall(b'GET / HTTP/9.9 "x"\r\n\r\n')
        head, _empty, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert json.loads(body)["error"]["code"] == 400


def test_a_query_does_not_matter_and_is_not_logged(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    assert get(serve(), "/health?token=secret") == {"status": "ok"}
    assert capfd.readouterr() == ("", "")


def test_it_listens_on_ipv6(serve: Serve) -> None:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        assert get(serve(address="::1"), "/health") == {"status": "ok"}
        return
    pytest.skip("this machine has no IPv6 loopback")


def test_one_look_serves_every_request_of_a_moment(serve: Serve) -> None:
    looks: list[int] = []
    where = serve(lambda: looks.append(1) or STATE, fresh=60.0)
    threads = [threading.Thread(target=get, args=(where, "/v1/state")) for _number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looks) == 1


def test_a_look_that_is_old_is_taken_again(serve: Serve) -> None:
    looks: list[int] = []
    where = serve(lambda: looks.append(1) or STATE, fresh=0.0)
    get(where, "/v1/state")
    get(where, "/v1/state")
    assert len(looks) == 2


def test_a_host_that_hangs_is_said_to_hang_and_the_agent_stays_healthy(serve: Serve) -> None:
    looking, end = threading.Event(), threading.Event()

    def hang() -> t.Any:
        looking.set()
        end.wait(60)
        return STATE

    where = serve(hang, patience=0.05)
    first = threading.Thread(target=get, args=(where, "/v1/state"))
    first.start()
    try:
        assert looking.wait(60)
        response, body = ask(where, "/v1/state")
        assert (response.status, json.loads(body)["error"]["code"]) == (503, 503)
        assert get(where, "/health") == {"status": "ok"}
    finally:
        end.set()
        first.join()


def test_a_look_that_fails_is_an_error_and_not_silence(serve: Serve) -> None:
    def broken() -> t.Any:
        raise PermissionError(13, "Permission denied", "/opt/rbee")

    response, body = ask(serve(broken), "/v1/state")
    assert response.status == 500
    assert "/opt/rbee" in json.loads(body)["error"]["message"]


def test_silent_clients_keep_nobody_from_an_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 4
    monkeypatch.setattr(_agent_http, "CONNECTIONS", most)
    where = serve()
    idle = threading.active_count()
    clients: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(20):
            clients.append(stack.enter_context(socket.create_connection(where, timeout=30)))
            clients[-1].sendall(b"GET /health HT")
            if number >= most:
                assert clients[number - most].recv(1) == b""  # the oldest was ended for it
                wait_until(lambda: threading.active_count() <= idle + most)
        assert get(where, "/health") == {"status": "ok"}


def test_a_client_that_drips_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_connection(serve(), timeout=30) as client:
        client.sendall(b"GET /hea")
        monkeypatch.setattr(_agent_http, "DEADLINE", 0.2)
        assert client.recv(1) == b""


def test_a_client_that_reads_nothing_is_ended(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = {**STATE, "components": [{"kind": "worker", "name": "x" * 20_000_000}]}
    where = serve(lambda: endless)
    known = set(threading.enumerate())
    with socket.create_connection(where, timeout=30) as client:
        client.sendall(b"GET /v1/state HTTP/1.0\r\n\r\n")
        assert client.recv(1)
        monkeypatch.setattr(_agent_http, "DEADLINE", 0.2)
        wait_until(lambda: set(threading.enumerate()) <= known)
