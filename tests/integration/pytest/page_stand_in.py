# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a hive's agent, for states that a machine without GPUs cannot be brought into."""

from __future__ import annotations

import http.server
import json
import threading
import time
import typing as t

GIB = 1 << 30


def component(name: str, **changes: t.Any) -> dict[str, t.Any]:
    """A worker that runs, as ``ansible-doc rbee.fleet.components_info`` describes it."""
    known = {
        "name": name, "type": name, "kind": "worker", "fleet": "lab", "version": "1.2", "variant": "cuda",
        "release": "549eccd6711e", "generation": "0e4a4465c83e", "address": "127.0.0.1", "port": 8080, "model": "",
        "served_name": "", "state": "running", "reason": "", "healthy": True, "health": "answered 200", "pid": 4711,
        "since": time.time() - 7400, "restarts": 0, "auto_start": True, "held": False, "problems": [],
    }  # fmt: skip
    return {**known, **changes}


def device(index: int, used_gib: float, total_gib: float = 80, **changes: t.Any) -> dict[str, t.Any]:
    """A GPU as ``/v1/state`` tells of it."""
    known = {
        "index": index, "vendor": "nvidia", "name": "NVIDIA H100 80GB HBM3", "uuid": f"GPU-{index}",
        "memory_kind": "dedicated", "memory_total_bytes": int(total_gib * GIB),
        "memory_used_bytes": int(used_gib * GIB), "utilization_percent": 87, "temperature_celsius": 64,
        "power_watts": 412.3, "driver": "580.95", "reasons": {}, "processes": [],
    }  # fmt: skip
    return {**known, **changes}


def state(*components: dict[str, t.Any], devices: t.Sequence[dict[str, t.Any]] | None = None) -> dict[str, t.Any]:
    host = {
        "platform": "linux-x86_64", "python": "3.12.1", "interpreter": "/usr/bin/python3", "prefix": "/opt/rbee",
        "service_manager": "systemd", "device_kinds": ["nvidia"] if devices else [], "busy": False, "holder": None,
        "reasons": {},
    }  # fmt: skip
    return {"host": host, "components": list(components), **({} if devices is None else {"devices": list(devices)})}


class AgentStandIn:
    """Answers ``/health`` and ``/v1/state`` on a loopback port until it is closed.

    state: what it answers; a test may change it. hold: while it is cleared, ``/v1/state`` waits. seen: every path that
    was asked for but ``/health``.
    """

    def __init__(self, answer: dict[str, t.Any], port: int = 0) -> None:
        self.state = answer
        self.hold = threading.Event()
        self.hold.set()
        self.seen: list[str] = []
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.agent = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    agent: AgentStandIn
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Silence: clients that leave are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        agent = self.server.agent
        if self.path == "/health":
            self._answer(200, {"status": "ok"})
            return
        agent.seen.append(self.path)
        agent.hold.wait()
        if self.path == "/v1/state":
            self._answer(200, agent.state)
        else:
            self._answer(404, {"error": {"code": 404, "message": "there is /v1/state"}})

    do_HEAD = do_GET

    def _answer(self, status: int, value: t.Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
