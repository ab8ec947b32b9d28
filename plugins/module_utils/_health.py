# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness of a component over HTTP: GET until the status is 200, or until waiting can no longer help."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import threading
import time
import typing as t
import urllib.parse

from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ABSENT,
    EXITED,
    FAILED,
    RESTARTING,
    STOPPED,
    STOPPING,
    ServiceState,
)

# Seconds
_TRY = 5.0
_LAST_TRY = 2.0  # at least: what is slow to answer is heard even at the end of the time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5  # shorter than a service manager's pause before it starts what died anew
_BODY = 4096  # bytes
_DOWN = (ABSENT, EXITED, FAILED, RESTARTING, STOPPED, STOPPING)


@dataclasses.dataclass(frozen=True)
class HealthResult:
    """ok: answered 200. detail: what was seen last, in words. seconds: how long it took."""

    ok: bool
    detail: str
    seconds: float


def probe(url: str, timeout: float = _TRY) -> HealthResult:
    """One GET, without proxies and without following redirects. timeout: seconds for each step of it."""
    start = time.monotonic()
    ok, detail = _get(url, timeout)
    return HealthResult(ok, detail, time.monotonic() - start)


def wait_healthy(
    url: str,
    timeout: float,
    alive: t.Callable[[], ServiceState],
    stop: threading.Event,
    heard: t.Callable[[str, float], None] = lambda _answer, _seconds: None,
) -> HealthResult:
    """Wait until the URL answers 200; give up when the process dies or is replaced, on ``stop`` and after ``timeout``.

    timeout: seconds, beyond which the last try may go on for two. alive: reads the state of the service.
    stop: set by someone who no longer wants to wait.
    heard: told what was seen and after how many seconds, whenever the wait goes on.
    """
    start = time.monotonic()
    pause = _FIRST_PAUSE
    first = ServiceState()

    def result(ok: bool, detail: str) -> HealthResult:
        return HealthResult(ok, detail, time.monotonic() - start)

    while True:
        ok, detail = _get(url, min(_TRY, max(_LAST_TRY, start + timeout - time.monotonic())))
        # Asked after the answer, so that a process that died while another one holds its port is noticed.
        state = alive()
        first = state if first.pid == 0 else first
        dead = _ended(first, state)
        if dead:
            return result(False, dead)
        if ok and state.active:
            return result(True, detail)
        left = start + timeout - time.monotonic()
        if left <= 0:
            return result(False, f"not ready within {timeout:g} s: {detail}")
        heard(detail, time.monotonic() - start)
        if stop.wait(min(pause, left)):
            return result(False, f"interrupted: {detail}")
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _ended(first: ServiceState, now: ServiceState) -> str:
    """Why the process that was started first no longer runs, or nothing."""
    if now.sub in _DOWN:
        return f"process {now.result}" if now.result else f"process is {now.sub}"
    if now.restarts > first.restarts or (now.pid and now.pid != first.pid):
        return f"process was restarted ({now.result})" if now.result else "process was restarted"
    return ""


def _get(url: str, timeout: float) -> tuple[bool, str]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r}: expected an http URL")
    host, port = parts.hostname, parts.port or 80
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close", "User-Agent": "rbee.fleet"})
        response = connection.getresponse()
        if response.status == 200:
            return True, "answered 200"
        said = message_of(response.read(_BODY)) or response.reason
        return False, f"answered {response.status}: {said}" if said else f"answered {response.status}"
    except ConnectionRefusedError:
        return False, f"connection refused on {where}"
    except (TimeoutError, socket.timeout):  # two classes before Python 3.10
        return False, f"no answer on {where} within {timeout:g} s"
    except http.client.HTTPException as error:
        return False, f"{where} does not speak HTTP: {error!r}"
    except OSError as error:
        return False, f"{where}: {error.strerror or error}"
    finally:
        connection.close()


def message_of(body: bytes) -> str:
    """The error in a short answer: ``error.message`` or ``error`` of a JSON object, else its first line."""
    text = body.decode("utf-8", "replace").strip()
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        error = data.get("error", data)
        said = error.get("message") if isinstance(error, dict) else error
        if isinstance(said, str):
            text = said
    return text.splitlines()[0].strip()[:200] if text else ""
