# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves artefacts over HTTP, each host's downloads together no faster than told: the network of real machines."""

from __future__ import annotations

import functools
import http.server
import pathlib
import threading
import time
import typing as t

BLOCK = 64 * 1024


class Pace:
    """rate: bytes a second for each client address, 0 for no limit; may be changed at any time."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._free: dict[str, float] = {}  # when a client may have its next block
        self._lock = threading.Lock()

    def wait(self, client: str, size: int) -> None:
        if not self.rate:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free.get(client, 0.0))
            self._free[client] = start + size / self.rate
        time.sleep(start - now)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Folder listings included, which uv takes for an index."""

    def __init__(self, *arguments: t.Any, pace: Pace, **more: t.Any) -> None:
        self._pace = pace
        super().__init__(*arguments, **more)

    def copyfile(self, source: t.Any, outputfile: t.Any) -> None:
        while block := source.read(BLOCK):
            self._pace.wait(self.client_address[0], len(block))
            outputfile.write(block)

    def log_message(self, format: str, *args: t.Any) -> None:
        pass


def serve(folder: pathlib.Path, port: int) -> Pace:
    """Serve a folder until this process ends."""
    pace = Pace()
    server = http.server.ThreadingHTTPServer(("", port), functools.partial(Handler, directory=str(folder), pace=pace))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return pace
