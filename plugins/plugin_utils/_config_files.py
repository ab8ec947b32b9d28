# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes edits of the configuration files to disk: all of a file or nothing, and only what can be read again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import stat
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _temporary
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError, edited
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import catalog_of

# In this order what a file names is in another already, or still, if the next write never comes.
_ORDER = (_config.RBEE, _config.MODELS, _config.HIVES)
_ALL = (*_config.FILES, TEMPORARY)


def change(folder: str, wanted: Change, check: bool, temporary: t.Sequence[Change] = ()) -> list[dict[str, str]]:
    """Edit the files of a configuration folder. Returns before and after of each that changes, as Ansible shows them.

    temporary: what changes of what is temporary. Raises EditError or ConfigError, and then nothing was written.
    """
    place = pathlib.Path(folder).expanduser().absolute()
    with alone(place):
        old = {name: text for name in _ALL for text in [_read(place / name)] if text is not None}
        new = edited(old, wanted)
        for step in temporary:
            new[TEMPORARY] = _temporary.edited(new.get(TEMPORARY, old.get(TEMPORARY, "")), step)
        if new:
            texts = {name: text.removeprefix("\ufeff") for name, text in (old | new).items()}
            _config.parse(texts, catalog_of(place), str(place))
        if new and not check:
            names = [name for name in _ORDER if name in new]
            for name in names if wanted.present else reversed(names):
                write(place / name, new[name])
            if TEMPORARY in new:
                _put(place / TEMPORARY, new[TEMPORARY])
    return [
        {"before_header": name, "after_header": name, "before": old.get(name, ""), "after": text}
        for name, text in sorted(new.items())
    ]


@contextlib.contextmanager
def alone(place: pathlib.Path) -> t.Iterator[None]:
    """Keep other edits of the folder waiting, and remove what one that was killed left. Raises EditError."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise EditError(f"{place}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for name in _store.list_folder(str(place)):
            if name.startswith(_store.TEMPORARY):
                with contextlib.suppress(OSError):
                    os.unlink(place / name)
        yield
    finally:
        os.close(descriptor)


def _read(path: pathlib.Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EditError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise EditError(f"{path}: is not UTF-8, as TOML has to be") from None


def write(path: pathlib.Path, text: str) -> None:
    """The file that a link leads to is replaced, and keeps mode and owner. Raises EditError."""
    real = os.path.realpath(path)
    mode, owner = 0o644, None
    try:
        status = os.stat(real)
        mode = stat.S_IMODE(status.st_mode)
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
    except FileNotFoundError:
        pass
    try:
        _store.write_atomic(real, text.encode(), mode, owner)
    except OSError as error:
        raise EditError(f"{path}: cannot be written: {error.strerror}") from error


def _put(path: pathlib.Path, text: str) -> None:
    """What is temporary, readable by its owner alone; without anything the file goes."""
    try:
        if text:
            path.parent.mkdir(exist_ok=True)
            _store.write_atomic(str(path), text.encode(), 0o600, None)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise EditError(f"{path}: cannot be written: {error.strerror}") from error
