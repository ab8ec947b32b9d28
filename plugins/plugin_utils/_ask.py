# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many HTTP servers at once, in a bounded time whatever they do: slow, silent, endless or none there."""

from __future__ import annotations

import dataclasses
import http.client
import queue
import resource
import socket
import threading
import time
import typing as t

CONNECT = 2.0  # seconds until a connection is there
ANSWER = 10.0  # seconds for one question, from its name's resolution to the last byte
ALL = 20.0  # seconds for all questions together
LIMIT = 4 * 1024 * 1024  # bytes of one answer
AT_ONCE = 512  # questions
_SPARE = 64  # file descriptors that are left to others
_CHUNK = 65536


@dataclasses.dataclass(frozen=True)
class Question:
    """GET *path* from a server. address: a name, or an IPv4 or IPv6 address. key: for ``Authorization: Bearer``."""

    address: str
    port: int
    path: str
    key: str = dataclasses.field(default="", repr=False)

    @property
    def where(self) -> str:
        return where(self.address, self.port)


@dataclasses.dataclass(frozen=True)
class Answer:
    """status: of HTTP, 0 when there was none; then *reason* says in words what happened instead."""

    status: int = 0
    body: bytes = b""
    reason: str = ""


Name = t.TypeVar("Name", bound=t.Hashable)


def ask_all(questions: t.Mapping[Name, Question], seconds: float = ALL) -> dict[Name, Answer]:
    """The answer to each. After *seconds*, what has not been answered has no answer.

    Threads that hang, in a resolver for instance, are left behind: they end with the process.
    """
    pending: queue.SimpleQueue[tuple[Name, Question]] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[Name, Answer]] = queue.SimpleQueue()
    for item in questions.items():
        pending.put(item)

    def work() -> None:
        while True:
            try:
                name, question = pending.get_nowait()
            except queue.Empty:
                return
            answers.put((name, ask(question)))

    end = time.monotonic() + seconds
    for _thread in range(min(len(questions), _at_once())):
        threading.Thread(target=work, daemon=True).start()
    found: dict[Name, Answer] = {}
    while len(found) < len(questions):
        try:
            name, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    late = Answer(reason=f"no answer within {seconds:g} s")
    return {name: found.get(name, late) for name in questions}


def ask(question: Question) -> Answer:
    """One answer; it never raises. Nothing of the environment is used, so no proxy either."""
    end = time.monotonic() + ANSWER
    connection = http.client.HTTPConnection(question.address, question.port, timeout=CONNECT)
    headers = {"Connection": "close", "User-Agent": "rbee.fleet"}
    if question.key:
        headers["Authorization"] = f"Bearer {question.key}"
    try:
        connection.connect()
        sock: socket.socket = connection.sock  # which the connection forgets with its first answer
        _hurry(sock, end)
        connection.request("GET", question.path, headers=headers)
        return _whole(connection.getresponse(), sock, end)
    except ConnectionRefusedError:
        return Answer(reason=f"connection refused on {question.where}")
    except TimeoutError:
        return Answer(reason=f"no answer from {question.where} in time")
    except socket.gaierror:
        return Answer(reason=f"{question.address} is no known host name")
    except http.client.HTTPException:
        return Answer(reason=f"{question.where} does not speak HTTP")
    except OSError as error:
        return Answer(reason=f"{question.where}: {error.strerror or error}")
    except ValueError:  # in a name or a key, which must not be shown
        return Answer(
            reason=f"{question.where} cannot be asked: its name or the key has letters that HTTP cannot carry"
        )
    finally:
        connection.close()


def where(address: str, port: int) -> str:
    """Address and port as people and URLs write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _whole(response: http.client.HTTPResponse, sock: socket.socket, end: float) -> Answer:
    """The answer with its body, when that comes in time and is not too large."""
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > LIMIT:
            return Answer(reason=f"its answer is larger than {LIMIT // 1024 // 1024} MiB")
        _hurry(sock, end)
    return Answer(response.status, bytes(body))


def _hurry(sock: socket.socket, end: float) -> None:
    """Lets the next step on the socket take no longer than until *end*."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)


def _at_once() -> int:
    """As many as there may be sockets."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return AT_ONCE if soft == resource.RLIM_INFINITY else max(1, min(AT_ONCE, soft - _SPARE))
