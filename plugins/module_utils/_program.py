# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one program to its end: never longer than allowed, never left behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import tempfile
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, Stopped, without_secrets

_GRACE = 5.0
_TICK = 0.1
_KEEP = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Finished:
    """A program that ended: its exit status (negative: the signal) and the last 8 MiB of each of its outputs."""

    status: int
    stdout: str
    stderr: str

    def last_lines(self, count: int = 8) -> str:
        """The end of what it said, for an error message, without credentials."""
        lines = [line.rstrip() for line in (self.stderr.strip() or self.stdout.strip()).splitlines() if line.strip()]
        return without_secrets("\n".join(lines[-count:]))


def run_program(
    argv: t.Sequence[str],
    timeout: float,
    stop: t.Optional[threading.Event] = None,
    env: t.Optional[t.Mapping[str, str]] = None,
    cwd: t.Optional[str] = None,
    watch: t.Callable[[], None] = lambda: None,
    hear: t.Optional[t.Callable[[str], None]] = None,
) -> Finished:
    """Runs a program in a process group of its own, without input; what it creates others may read. timeout: seconds.
    watch: called again and again while it runs. hear: called with each line of its standard error, when it is whole.

    Raises SourceError when it cannot be started or takes too long, Stopped when ``stop`` is set; then nothing of its
    process group is left. Outputs go to files, so that a grandchild that keeps them open blocks nobody.
    """
    name = os.path.basename(argv[0])
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            # AnsibleModule.run_command can neither be stopped nor used outside a module.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd,
                start_new_session=True, umask=0o022,
            )  # fmt: skip
        except OSError as error:
            raise SourceError(f"{argv[0]} cannot be started: {error.strerror}") from error
        known = 0
        try:
            while process.poll() is None:
                if stop is not None and stop.is_set():
                    raise Stopped(f"stopped while running {name}")
                if time.monotonic() > deadline:
                    raise SourceError(f"{name} took longer than {timeout:g} s, the limit, and was ended")
                watch()
                known += _tell(err, known, hear) if hear else 0
                _wait(process, _TICK)
            if hear:
                _tell(err, known, hear)
        except BaseException:
            _end_group(process)
            raise
        return Finished(process.returncode, _tail(out), _tail(err))


def _tell(file: t.IO[bytes], known: int, hear: t.Callable[[str], None]) -> int:
    """Reads on without moving the file's position, which the program shares. Returns the bytes of whole lines."""
    block = os.pread(file.fileno(), _KEEP, known)
    whole = block[: block.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").splitlines():
        hear(line.strip())
    return len(whole)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number, grace in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if grace is not None:
            _wait(process, grace)
    process.wait()


def _tail(file: t.IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _KEEP))
    return file.read().decode("utf-8", "replace")
