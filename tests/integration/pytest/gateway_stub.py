# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a worker: an HTTP server that says what reached it and whose behaviour a test can choose."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import socket
import threading
import typing as t

EVENTS = ("first", "second", "last")
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class StubWorker:
    """Listens on a free loopback port until it is closed.

    hold: while it is cleared, answers wait after the head of the request, and streams wait after their first event.
    loading: POST is answered with 503. broken: the connection is closed once the request was read.
    seen: head of every request but health checks, in order. hung_up: set when a client left a stream.
    """

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.hold = threading.Event()
        self.hold.set()
        self.hung_up = threading.Event()
        self.loading = self.broken = False
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.changed = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.stub = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def wait_for_requests(self, count: int) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.seen) >= count, timeout=120):
                raise AssertionError(f"{self.name} saw {len(self.seen)} requests, not {count}")

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    stub: StubWorker
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Silence: clients that leave are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer({"status": "ok"})
            return
        self._note()
        if self.headers.get("Upgrade") == "websocket":
            self._echo_after_upgrade()
        else:
            self._answer(self._about(b""))

    def do_POST(self) -> None:
        stub = self.server.stub
        self._note()
        stream = self.headers.get("X-Stub") == "stream"
        if not stream:
            stub.hold.wait()
        body = self._body()
        if stub.broken:
            self.close_connection = True
        elif stub.loading:
            self._answer({"error": "loading"}, status=503)
        elif stream:
            self._stream()
        else:
            self._answer(self._about(body))

    def _note(self) -> None:
        stub = self.server.stub
        with stub.changed:
            stub.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            stub.changed.notify_all()

    def _about(self, body: bytes) -> dict[str, t.Any]:
        return {"worker": self.server.stub.name, "path": self.path, "sha256": hashlib.sha256(body).hexdigest()}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, value: t.Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        stub = self.server.stub
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(EVENTS[0])
        while not stub.hold.wait(0.02):
            if self._client_left():
                stub.hung_up.set()
                self.close_connection = True
                return
        for event in EVENTS[1:]:
            self._event(event)
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _client_left(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def _event(self, name: str) -> None:
        data = f"data: {name}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _echo_after_upgrade(self) -> None:
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        while data := self.connection.recv(65536):
            self.connection.sendall(data)
        self.close_connection = True
