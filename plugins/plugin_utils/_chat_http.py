# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the queen for a completion, and gives the text as it comes."""

from __future__ import annotations

import http.client
import json
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import CONNECT, Question, where
from ansible_collections.rbee.fleet.plugins.plugin_utils._completion import (
    Completion,
    CompletionError,
    code_in,
    error_in,
)

PATH = "/v1/chat/completions"
_LARGEST = 1024 * 1024  # bytes of an answer that is an error, and of one line
_PAUSE = 1.0  # seconds until a worker that is not up yet is asked for again
_LATER = ("no_worker_up", "model_not_found")  # what the queen says until she has seen a worker that was just installed


def complete(
    queen: Question, body: bytes, timeout: float, patience: float, show: t.Callable[[str], None]
) -> Completion:
    """The completion. show: gets the text as it comes.

    timeout: seconds of silence after which it is given up. patience: seconds in which a worker may still be coming up.
    Raises CompletionError.
    """
    end = time.monotonic() + patience
    while True:
        try:
            found = _once(queen, body, timeout, show, time.monotonic() < end)
        except (TimeoutError, ConnectionRefusedError) as error:
            said = "refused the connection" if isinstance(error, ConnectionRefusedError) else "said nothing in time"
            raise CompletionError(f"{where(queen.address, queen.port)} {said}") from None
        except (OSError, http.client.HTTPException) as error:
            raise CompletionError(
                f"{where(queen.address, queen.port)}: the connection broke: {error or 'closed'}"
            ) from None
        if found is not None:
            return found
        time.sleep(_PAUSE)


def _once(
    queen: Question, body: bytes, timeout: float, show: t.Callable[[str], None], may_wait: bool
) -> Completion | None:
    connection = http.client.HTTPConnection(queen.address, queen.port, timeout=CONNECT)
    headers = {"Content-Type": "application/json", "Connection": "close", "User-Agent": "rbee.fleet"}
    if queen.key:
        headers["Authorization"] = f"Bearer {queen.key}"
    try:
        connection.connect()
        connection.sock.settimeout(timeout)
        connection.request("POST", PATH, body=body, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            answer = _json(response.read(_LARGEST))
            if may_wait and code_in(answer) in _LATER:
                return None
            raise CompletionError(f"answered {response.status}: {error_in(answer)}")
        completion = Completion()
        if "event-stream" not in (response.getheader("Content-Type") or ""):
            show(completion.take_event(_json(response.read())))
            return completion
        while line := response.readline(_LARGEST):
            added = completion.take(line)
            if added:
                show(added)
        if not completion.reason:
            raise CompletionError("the answer broke off before its end")
        return completion
    finally:
        connection.close()


def _json(text: bytes) -> t.Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"error": {"message": text[:200].decode("utf-8", "replace").strip()}}
