# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room and failures of the host's own file systems."""

from __future__ import annotations

import errno
import os
import shutil

from ansible_collections.rbee.fleet.plugins.module_utils._sources import RESERVE, NoSpace, SourceError

FULL = (errno.ENOSPC, errno.EDQUOT)


def local_error(error: OSError, path: str, needed: int = 0) -> SourceError:
    """A failure of the host's own file system as the error that says what to do; ``needed`` in bytes, 0 if unknown."""
    if error.errno in FULL:
        return NoSpace(path, needed, free_space(path))
    where = error.filename or path
    remedy = "mount it writable" if error.errno == errno.EROFS else "check the folder, its owner and its file system"
    return SourceError(f"{where}: {error.strerror or error}; {remedy}")


def free_space(path: str) -> int:
    """Bytes that are available on the file system of a path that may not exist yet."""
    path = os.path.abspath(path)
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def need_space(path: str, needed: int) -> None:
    """Raises NoSpace unless ``needed`` bytes and the reserve are available on the file system of a path."""
    free = free_space(path)
    if free < needed + RESERVE:
        raise NoSpace(path, needed, free)
