# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand in for engines: called like the real ones, they listen on a port and have a child."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import typing as t

PROGRAM = """#!{python}
import os, signal, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["STAND_IN_PORT"])))
os.fork()
print("ready", flush=True)
signal.pause()
"""


class Engines:
    """Those that were started. folder: of their programs, and their home."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def start(self, port: int, program: str, *words: str, **environ: str) -> int:
        """Starts one, which listens there, whatever its words say. Returns its process id."""
        path = self.folder / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM.format(python=sys.executable))
        path.chmod(0o755)
        ours = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "STAND_IN_PORT": str(port)}
        command = [sys.executable, path] if path.suffix == ".py" else [path]
        running = subprocess.Popen(
            [*command, *words], cwd=self.folder, env={**ours, **environ}, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._running.append(running)
        assert t.cast(t.IO[str], running.stdout).readline() == "ready\n"
        return running.pid

    def stop(self) -> None:
        for running in self._running:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
