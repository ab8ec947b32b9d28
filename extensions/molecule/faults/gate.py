# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file server that stops in the middle of a file until it is told to go on, so that faults meet a run half-way."""

from __future__ import annotations

import contextlib
import functools
import http.server
import pathlib
import threading
import typing as t

DRIPS = 1024  # parts, one a second, of the half that is held back


class Gate:
    """Serves a folder, listings included. A client that is held gets the first half of whatever file it asks for."""

    def __init__(self, folder: pathlib.Path, address: str, port: int) -> None:
        self.half: set[tuple[str, str]] = set()  # clients and names that wait for their second half
        self._held: dict[str, threading.Event] = {}
        handler = functools.partial(Handler, gate=self, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer((address, port), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hold(self, client: str) -> None:
        """Stop in the middle of every file for a client, until release()."""
        self._held[client] = threading.Event()

    def release(self, *clients: str) -> None:
        for client in clients or tuple(self._held):
            self._held.pop(client).set()

    def drip(self, client: str, name: str, rest: bytes) -> t.Iterator[bytes]:
        """The second half of a file; while its client is held, so little of it that the client goes on waiting."""
        event, sent = self._held.get(client), 0
        if event:
            self.half.add((client, name))
            while not event.wait(1):
                yield rest[sent : sent + len(rest) // DRIPS]
                sent += len(rest) // DRIPS
            self.half.discard((client, name))
        yield rest[sent:]

    def waits(self, client: str, name: str) -> bool:
        """Whether a client has half of a file whose name begins so."""
        return any(who == client and what.startswith(name) for who, what in tuple(self.half))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends files in two halves."""

    def __init__(self, *args: t.Any, gate: Gate, **options: t.Any) -> None:
        self._gate = gate
        super().__init__(*args, **options)

    def copyfile(self, source: t.Any, outputfile: t.Any) -> None:
        content = source.read()
        if self.path.endswith("/"):  # a listing
            outputfile.write(content)
            return
        client, name = self.client_address[0], self.path.rpartition("/")[2]
        with contextlib.suppress(ConnectionError):  # who was killed meanwhile wants no more
            outputfile.write(content[: len(content) // 2])
            for part in self._gate.drip(client, name, content[len(content) // 2 :]):
                outputfile.write(part)

    def log_message(self, format: str, *args: t.Any) -> None:
        pass
