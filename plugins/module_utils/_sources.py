# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What getting a release onto a host has in common: errors, limits and how work reports itself.

Pure. ``_fetch``, ``_unpack``, ``_pyenv`` and ``_packages`` do the work.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

Progress = t.Callable[[str, int, int], None]
"""Called with what is being done, how much is done and the total (0: unknown), both in one unit."""

MIB = 1024 * 1024
RESERVE = 32 * MIB
"""Bytes that no download or unpacking may take from a file system: what already runs there needs room to write."""


class SourceError(Exception):
    """A source that could not be brought to the host; the message holds the cause and the remedy."""


class Stopped(SourceError):
    """The caller asked for the work to stop."""


class NoSpace(SourceError):
    """A file system without room.

    path: a folder on it. needed: bytes, 0 when unknown. free: bytes that are available.
    """

    def __init__(self, path: str, needed: int, free: int) -> None:
        self.path, self.needed, self.free = path, needed, free
        wanted = f"{human(needed)} needed, " if needed else ""
        super().__init__(
            f"not enough space in {path}: {wanted}{human(free)} free ({human(RESERVE)} stay reserved); "
            "free some space or choose another prefix"
        )


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of one download or one unpacking; beyond them it is refused.

    max_bytes: of the download, or of everything unpacked. max_files: archive members. seconds: for all of it.
    min_rate: bytes per second that a server must deliver over ``window`` seconds. connect: seconds for one connection.
    attempts: failed tries in a row. backoff: seconds before the second try, doubled for each one after that.
    """

    max_bytes: int = 1024 * 1024 * MIB
    max_files: int = 500_000
    seconds: float = 6 * 3600
    min_rate: int = 1024
    window: float = 60
    connect: float = 30
    attempts: int = 5
    backoff: float = 1


def quiet(what: str, done: int, total: int) -> None:
    """A ``Progress`` that reports nothing."""


def human(count: int) -> str:
    """A number of bytes for people: ``98.4 MiB``."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def without_secrets(text: str) -> str:
    """Text whose URLs show neither user and password nor their query, which may be a signature."""
    text = re.sub(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#]*@", r"\1***@", text)
    return re.sub(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s?#'\"<>)]*)\?[^\s#'\"<>)]*", r"\1?***", text)
