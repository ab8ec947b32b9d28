# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent over HTTP: small, read-only answers about this host.

One request a connection, a bounded number of connections, and a bounded time for each: a client that is slow, silent
or too many cannot keep others from an answer. Nothing of a request is logged.
"""

from __future__ import annotations

import contextlib
import http
import http.server
import json
import signal
import socket
import socketserver
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _metrics
from ansible_collections.rbee.fleet.plugins.module_utils._drain import Questions

CONNECTIONS = 64  # at once; for one more, the oldest is ended
DEADLINE = 15.0  # seconds for one connection, from its first byte to its last
FRESH = 1.0  # seconds for which one look at the host serves every request
PATIENCE = 8.0  # seconds that a request waits for a look; less than DEADLINE

JSON = "application/json"

State = t.Mapping[str, t.Any]


class Unavailable(Exception):
    """The state of the host cannot be had now."""


class Cached:
    """One look at a time, whose result is good for a moment."""

    def __init__(self, look: t.Callable[[], State], fresh: float = FRESH, patience: float = PATIENCE):
        self._look, self._fresh, self._patience = look, fresh, patience
        self._guard = threading.Lock()
        self._state: t.Optional[State] = None
        self._when = 0.0

    def get(self) -> State:
        """Raises Unavailable when another request's look takes too long."""
        if not self._guard.acquire(timeout=self._patience):
            raise Unavailable("this host does not answer in time: its service manager or its disks are stuck")
        try:
            if self._state is None or time.monotonic() - self._when > self._fresh:
                self._state = self._look()
                self._when = time.monotonic()
            return self._state
        finally:
            self._guard.release()


def capabilities(state: State) -> dict[str, t.Any]:
    host = state["host"]
    return {
        "platform": host["platform"],
        "device_kinds": host["device_kinds"],
        "devices": state["devices"],
        "devices_reason": state["devices_reason"],
    }


def workers(state: State) -> dict[str, t.Any]:
    return {"workers": [component for component in state["components"] if component["kind"] == "worker"]}


VIEWS: t.Mapping[str, t.Callable[[State], t.Any]] = {
    "/v1/capabilities": capabilities,
    "/v1/workers": workers,
    "/v1/state": lambda state: state,
}


def _json(value: t.Any) -> bytes:
    return (json.dumps(value, sort_keys=True) + "\n").encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: AgentServer
    raw_requestline: bytes
    default_request_version = "HTTP/1.0"  # also for a request that cannot be read

    def do_GET(self) -> None:
        path = self.path.split("?")[0].split("#")[0]
        try:
            if path == "/metrics":
                body, content_type = _metrics.render(self.server.state.get()).encode(), _metrics.CONTENT_TYPE
            elif path == "/health":
                body, content_type = _json({"status": "ok"}), JSON
            elif path == "/v1/drain" and self.server.questions:
                body, content_type = _json(self.server.questions.state()), JSON
            elif path in VIEWS:
                body, content_type = _json(VIEWS[path](self.server.state.get())), JSON
            else:
                self.send_error(404, f"there is /health, /metrics, {', '.join(VIEWS)}")
                return
        except Unavailable as error:
            self.send_error(503, str(error))
        except Exception as error:  # pylint: disable=broad-except  # an answer that says so is better than none
            self.send_error(500, f"unexpected {type(error).__name__}: {error}")
        else:
            self._send(200, body, content_type)

    do_HEAD = do_GET

    def parse_request(self) -> bool:
        """HAProxy's agent-check sends no HTTP but the name of a component alone, and takes one line."""
        questions, line = self.server.questions, self.raw_requestline
        answer = questions.answer(line) if questions and len(line.split()) == 1 else None
        if questions is None or answer is None:
            return super().parse_request()
        self.close_connection = True
        self.wfile.write(answer)
        questions.answered(line)
        return False

    def version_string(self) -> str:
        return "rbee-hive"

    def send_error(self, code: int, message: t.Optional[str] = None, explain: t.Optional[str] = None) -> None:
        """Also called by the base class, with 501 for a method that has no function here."""
        headers = {}
        if code == 501:
            code, message, headers = 405, "there is only GET and HEAD", {"Allow": "GET, HEAD"}
        error = {"code": int(code), "message": message or http.HTTPStatus(code).phrase}
        self._send(code, _json({"error": error}), JSON, headers)

    def _send(self, code: int, body: bytes, content_type: str, headers: t.Optional[t.Mapping[str, str]] = None) -> None:
        self.send_response(code)
        for key, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:  # pylint: disable=redefined-builtin
        """Nothing: a query may hold what does not belong in a log."""


class AgentServer(socketserver.ThreadingTCPServer):
    """Not http.server's own server class, which asks the name service about its address before it listens."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: str, port: int, state: Cached, questions: t.Optional[Questions] = None):
        family, _kind, _protocol, _name, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        self.state, self.questions = state, questions
        self._guard = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__(t.cast("tuple[str, int]", where), Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and self.server_address[0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def verify_request(self, request: t.Any, client_address: t.Any) -> bool:
        """Make room for a new connection by ending the oldest, which is the slowest."""
        with self._guard:
            if len(self._open) >= CONNECTIONS:
                self._end(min(self._open, key=self._open.__getitem__))
            if len(self._open) >= 2 * CONNECTIONS:
                return False  # those that were ended still wait for a look at the host
            self._open[request] = time.monotonic()
        return True

    def shutdown_request(self, request: t.Any) -> None:
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called about twice a second: end what takes too long, in whatever it hangs."""
        late = time.monotonic() - DEADLINE
        with self._guard:
            for request in [request for request, since in self._open.items() if since < late]:
                self._end(request)

    def _end(self, request: socket.socket) -> None:
        """Wake whoever reads from it or writes to it; its thread then closes it."""
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
        self._open[request] = float("inf")  # not again

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Nothing: what remains are clients that went away."""


def serve(address: str, port: int, look: t.Callable[[], State], questions: Questions) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when it cannot listen."""
    with AgentServer(address, port, Cached(look), questions) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown() waits for serve_forever(), which this very thread runs.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
        server.serve_forever()
