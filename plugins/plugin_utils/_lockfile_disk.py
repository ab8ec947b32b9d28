# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the lock to disk, and reads back what was written."""

from __future__ import annotations

import hashlib
import os
import pathlib

from ansible import constants
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config_files, _lockfile_text
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import NAME, Lock


def draft_path(folder: str) -> str:
    """A file that stands for the lock of a folder while one Ansible process runs, and goes with it.

    So a dry run resolves as the run itself would, and writes nothing into the folder.
    """
    name = hashlib.sha256(os.path.abspath(folder).encode()).hexdigest()[:16]
    return os.path.join(str(constants.DEFAULT_LOCAL_TMP), f"rbee-{name}.lock")


def write_draft(folder: str, lock: Lock) -> None:
    """Raises OSError."""
    pathlib.Path(draft_path(folder)).write_text(text_of(lock), encoding="utf-8")


def write(folder: str, lock: Lock) -> None:
    """All of it or nothing. Raises EditError."""
    place, text = pathlib.Path(folder).absolute(), text_of(lock)
    with _config_files.alone(place):
        _config_files.write(place / NAME, text)


def text_of(lock: Lock) -> str:
    """The text, after it was read again. Raises EditError when that is not the same."""
    text = _lockfile_text.write(lock)
    if _lockfile_text.read(text) != lock:
        raise EditError(f"{NAME}: what is to be locked cannot be written as TOML; please report it")
    return text
