# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts new files into a folder, and never one over another. Reads and writes the controller's disk."""

from __future__ import annotations

import os
import pathlib
import secrets
import typing as t

SECRET, OPEN = 0o600, 0o644


class PlaceError(Exception):
    """A folder in which nothing can be read or written; the message says which and why."""


def there(folder: str, names: t.Iterable[str]) -> list[str]:
    """Which of these files exist already. Raises PlaceError."""
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise PlaceError(f"{folder} is not a folder; name another one with -e config=FOLDER")
    return [name for name in names if os.path.lexists(os.path.join(folder, name))]


def texts(folder: str, names: t.Iterable[str]) -> dict[str, str]:
    """The text of these files. Raises PlaceError."""
    found = {}
    for name in names:
        path = pathlib.Path(folder, name)
        try:
            found[name] = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise PlaceError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PlaceError(f"{path} is not UTF-8, as TOML has to be") from None
    return found


def put(folder: str, name: str, text: str, mode: int = OPEN) -> bool:
    """Write one file, whole or not at all, unless there is one of this name. Returns whether it did.

    The folder is made where it is missing. Raises PlaceError.
    """
    path = os.path.join(folder, name)
    draft = f"{path}.{os.getpid()}.new"
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)  # in contrast to a rename, it fails where there is something
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
    except OSError as error:
        raise PlaceError(f"{error.filename or path} cannot be written: {error.strerror}") from None
    return True


def new_key() -> str:
    """An API key nobody can guess: 256 bits."""
    return secrets.token_hex(32) + "\n"
