# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the configuration folder, its lock and the catalogs from disk."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import (
    _catalog,
    _collection,
    _config,
    _fleet,
    _lockfile,
    _lockfile_text,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY

CATALOG = pathlib.Path(__file__).resolve().parents[2] / "catalog"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a folder declares. catalog: what the fleet is made from. lock: as it is. wanted: as it should be, but for
    models of which nothing is known yet. newer: what the collection's catalog has that the lock keeps out.
    """

    fleet: _fleet.Fleet
    catalog: _catalog.Catalog
    lock: _lockfile.Lock
    wanted: _lockfile.Lock
    newer: tuple[_lockfile.Difference, ...]

    @property
    def unlocked(self) -> list[str]:
        """The names of what is missing in the lock, or in it for nothing."""
        missing = [model.name for model in _lockfile.unpinned(self.fleet, self.wanted)]
        return [found.name for found in _lockfile.differences(self.lock, self.wanted)] + missing


def load(folder: str) -> tuple[_fleet.Fleet, _catalog.Catalog]:
    """The fleet that a folder declares, and the catalog it is made from: the collection's and ``<folder>/catalog``.

    Raises ConfigError.
    """
    loaded = load_locked(folder)
    return loaded.fleet, loaded.catalog


def load_locked(folder: str, draft: str = "", update: bool = False) -> Loaded:
    """The same with the lock. draft: a file that stands for the lock where it exists. update: as if all were new.

    Raises ConfigError.
    """
    place = pathlib.Path(folder).absolute()
    shipped, own = read_catalog(CATALOG), read_catalog(place / "catalog")
    lock = read_lock(pathlib.Path(draft) if draft and pathlib.Path(draft).exists() else place / _lockfile.NAME)
    catalog = _lockfile.locked(shipped, lock, update).merged(own)
    fleet = _config.parse(read_texts(place), catalog, str(place))
    wanted = _lockfile.lock_of(fleet, catalog, own.types(), lock.models)
    newer = _lockfile.newer(lock, shipped, own.types())
    if fleet.pull is not None:  # after the lock, which has no collection in it
        catalog = catalog.bundling(_collection.BUNDLE, str(_collection.ROOT), _collection.digest())
    return Loaded(_lockfile.pinned(fleet, wanted), catalog, lock, wanted, tuple(newer))


def read_lock(path: pathlib.Path) -> _lockfile.Lock:
    """A lock; an empty one where there is no file. Raises ConfigError."""
    try:
        return _lockfile_text.read(_read(path, _lockfile.NAME))
    except FileNotFoundError:
        return _lockfile.Lock()


def catalog_of(place: pathlib.Path) -> _catalog.Catalog:
    """The catalog that a configuration folder is read with. Raises ConfigError."""
    lock = read_lock(place / _lockfile.NAME)
    return _lockfile.locked(read_catalog(CATALOG), lock).merged(read_catalog(place / "catalog"))


def merged_catalog(own: pathlib.Path | None = None) -> _catalog.Catalog:
    """The catalog of the collection, with what a folder of the user adds. Raises ConfigError."""
    shipped = read_catalog(CATALOG)
    return shipped.merged(read_catalog(own)) if own else shipped


def read_texts(folder: pathlib.Path) -> dict[str, str]:
    """The configuration files that are there, by name. Raises ConfigError."""
    texts: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for name in (*_config.FILES, TEMPORARY):
        try:
            texts[name] = _read(folder / name, name)
        except FileNotFoundError:
            continue
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return texts


def read_catalog(folder: pathlib.Path) -> _catalog.Catalog:
    """The catalog of a folder: one file a component type, named after it. No folder means no entries."""
    entries: dict[str, _catalog.Entry] = {}
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            text = _read(path, f"catalog/{path.name}")
            entries[path.stem] = _catalog.parse_entry(path.stem, text, f"catalog/{path.name}", _beside(folder))
        except ConfigError as error:
            mistakes.extend(error.mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    return _catalog.Catalog(entries)


def _beside(folder: pathlib.Path) -> t.Callable[[str], str]:
    return lambda name: (folder / name).read_text(encoding="utf-8")


def _read(path: pathlib.Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise ConfigError([Mistake(name, 1, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Mistake(name, line, "", "is not UTF-8, as TOML has to be")]) from None
