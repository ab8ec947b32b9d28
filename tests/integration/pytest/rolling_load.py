# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady stream of chat requests, of which every one is counted."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until

CLIENTS = 24


class Load:
    """Clients that ask one after the other until they are told to stop.

    failures: those that got no 200: when, in seconds since the epoch, and why.
    """

    def __init__(self, port: int, model: str) -> None:
        self.answers: collections.Counter[str] = collections.Counter()  # by the version that answered
        self.failures: list[str] = []
        self._port, self._body = port, json.dumps({"model": model, "messages": []})
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._clients = [threading.Thread(target=self._ask, daemon=True) for _number in range(CLIENTS)]

    @property
    def count(self) -> int:
        return sum(self.answers.values()) + len(self.failures)

    def __enter__(self) -> Load:
        """Begin when the queen has noticed that a worker is up, which is up to a second after it is."""
        wait_until(lambda: not self._request()[0])
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            failure, body = self._request()
            with self._guard:
                if failure:
                    self.failures.append(f"{time.time():.3f} {failure}")
                else:
                    self.answers[json.loads(body)["version"]] += 1

    def _request(self) -> tuple[str, bytes]:
        """Why it got no 200, if so, and the body of the answer."""
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
                connection.request("POST", "/v1/chat/completions", self._body)
                answer = connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return repr(error), b""
        return "" if answer.status == 200 else f"{answer.status} {body!r}", body
