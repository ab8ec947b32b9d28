# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ssh of this machine makes of its configuration. Reads files and runs ``ssh -G``; connects to nothing."""

from __future__ import annotations

import glob
import os
import pathlib
import subprocess
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._ssh_rules import Settings, parse_settings

TIMEOUT = 30  # seconds for a command that connects to nothing; a Match exec of the user may take its time


class SshError(Exception):
    """ssh cannot be asked; the message says why and what to do."""


def settings(arguments: t.Sequence[str], executable: str = "ssh") -> Settings:
    """What ssh would use with these arguments, the host among them. Raises SshError."""
    try:
        done = subprocess.run(
            [executable, "-G", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise SshError(f"there is no {executable} on this machine; install the client of OpenSSH") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SshError(f"{executable} cannot be run: {error}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SshError(f"ssh does not accept its configuration: {said[-1].strip()}")
    return parse_settings(done.stdout)


def read(path: str) -> str:
    """The text of an ssh configuration. Raises SshError."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SshError(f"{path} cannot be read: {error.strerror}") from None


def included(pattern: str) -> list[str]:
    """The texts that an ``Include`` stands for; relative ones lie in ``~/.ssh``. Files that cannot be read are none."""
    texts = []
    for path in sorted(glob.glob(os.path.join(os.path.expanduser("~/.ssh"), os.path.expanduser(pattern)))):
        try:
            texts.append(read(path))
        except SshError:
            continue
    return texts
