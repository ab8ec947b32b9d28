# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the configuration folder and the catalogs from disk."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _catalog, _config, _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY

CATALOG = pathlib.Path(__file__).resolve().parents[2] / "catalog"


def load(folder: str) -> tuple[_fleet.Fleet, _catalog.Catalog]:
    """The fleet that a folder declares, and the catalog it is made from: the collection's and ``<folder>/catalog``.

    Raises ConfigError.
    """
    place = pathlib.Path(folder).absolute()
    catalog = merged_catalog(place / "catalog")
    return _config.parse(read_texts(place), catalog, str(place)), catalog


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
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError([Mistake(name, 1, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Mistake(name, line, "", "is not UTF-8, as TOML has to be")]) from None
