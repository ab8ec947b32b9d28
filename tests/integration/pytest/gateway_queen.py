# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy that runs the rendered queen, and the few ways in which tests talk to it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway import render
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

KEY = "sk-test-4711"
TIMEOUT = 120  # seconds for what comes within one on a machine that has nothing else to do


class Answer(t.NamedTuple):
    """A response with its body read; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> t.Any:
        return json.loads(self.body)


def wait_until(condition: t.Callable[[], t.Any], what: str, timeout: float = TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out: {what}")
        time.sleep(0.02)


class Queen:
    """HAProxy under its master process, as the service manager starts it."""

    def __init__(self, folder: pathlib.Path, gateway: Gateway) -> None:
        self.files, self.log = folder / "files", folder / "log"
        self.gateway = dataclasses.replace(gateway, port=free_port())
        self.files.mkdir()
        self._write()
        with self.log.open("wb") as log:
            command = ["haproxy", "-W", "-db", "-f", str(self.files / "haproxy.cfg")]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Until it listens and knows which workers are up."""
        wait_until(self._ready, f"the queen to answer; her log:\n{self.log.read_text()}")

    def reload(self, gateway: Gateway) -> None:
        """Puts another fleet behind the same port, and waits until that is what answers."""
        self.gateway = dataclasses.replace(gateway, port=self.gateway.port)
        self._write()
        known, deadline = self._reloads(), time.monotonic() + TIMEOUT
        # HAProxy's master loses a signal that comes in the first milliseconds after its start or a reload.
        while self._reloads() == known and time.monotonic() < deadline:
            self.process.send_signal(signal.SIGUSR2)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: self._reloads() > known, "HAProxy to reload", timeout=0.2)
        expected = list(self.gateway.models)
        wait_until(lambda: self.get("/v1/info").json["models"] == expected, "the new fleet to be answered")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def get(self, path: str, key: str | None = KEY) -> Answer:
        return self.request("GET", path, key=key)

    def post(self, path: str, body: t.Any, key: str | None = KEY, headers: t.Mapping[str, str] | None = None) -> Answer:
        """``body``: bytes as they are, an iterator in chunks, anything else as JSON."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        return self.request("POST", path, body, key, headers)

    def request(
        self,
        method: str,
        path: str,
        body: t.Any = None,
        key: str | None = KEY,
        headers: t.Mapping[str, str] | None = None,
    ) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=TIMEOUT)) as client:
            # A refused body cannot be sent to its end; the answer is there all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.request(method, path, body, self.headers(key, headers))
            response = client.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def headers(self, key: str | None = KEY, more: t.Mapping[str, str] | None = None) -> dict[str, str]:
        own = {"Authorization": f"Bearer {key}"} if key else {}
        return {"Content-Type": "application/json", **own, **(more or {})}

    @contextlib.contextmanager
    def stream(
        self, body: dict[str, t.Any], path: str = "/v1/chat/completions"
    ) -> t.Iterator[http.client.HTTPResponse]:
        """The response as soon as its head is there; lines can be read as they come."""
        client = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=TIMEOUT)
        with contextlib.closing(client):
            client.request("POST", path, json.dumps(body), self.headers(more={"X-Stub": "stream"}))
            with client.getresponse() as response:
                yield response

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.gateway.port), timeout=TIMEOUT)

    def peak_memory(self) -> int:
        """Bytes of memory that the worker processes had at most, from ``/proc``."""
        return sum(_kilobytes(pid, "VmHWM") << 10 for pid in self._workers())

    def _write(self) -> None:
        for file in render(self.gateway):
            path = self.files / file.path
            path.touch(mode=0o600)
            path.write_text(f"{KEY}\n" if file.secret else file.content)

    def _reloads(self) -> int:
        return self.log.read_text().count("Reloading HAProxy")

    def _workers(self) -> set[int]:
        pid = self.process.pid
        return {int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"HAProxy ended:\n{self.log.read_text()}")
        try:
            return self.get("/health").status == 200
        except OSError:
            return False


def _kilobytes(pid: int, field: str) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])


def check(folder: pathlib.Path, gateway: Gateway) -> str:
    """What ``haproxy -c`` complains about in the rendered files; empty when nothing."""
    for file in render(gateway):
        (folder / file.path).write_text(f"{KEY}\n" if file.secret else file.content)
    result = subprocess.run(
        ["haproxy", "-c", "-q", "-f", str(folder / "haproxy.cfg")],
        capture_output=True,
        text=True,
        cwd=os.sep,
        check=False,
    )
    return result.stdout + result.stderr if result.returncode or result.stderr else ""
