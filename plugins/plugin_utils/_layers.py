# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hives, workers and models on top of those of the three files: what was declared as temporary. Pure.

Whatever reads the configuration reads one document; only its mistakes are still told by the file in which they are.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path

TEMPORARY = ".rbee/temporary.conf"
"""The file of the layer, beside the others. Tables as in hives.conf and models.conf; one of a hive that hives.conf has
only adds workers. What the other files declare under the same name wins."""

NAMES = {"hive": "alias", "model": "name"}


@dataclasses.dataclass(frozen=True)
class Layered(Document):
    """A document with another on top. moved: where the parts of the upper one are in the data, and where in it."""

    lower: Document = dataclasses.field(default_factory=lambda: Document("", {}, {}))
    upper: Document = dataclasses.field(default_factory=lambda: Document("", {}, {}))
    moved: t.Mapping[Path, Path] = dataclasses.field(default_factory=dict)

    def place(self, path: Path) -> tuple[str, int, Path]:
        for length in range(len(path), 0, -1):
            if path[:length] in self.moved:
                return self.upper.place(self.moved[path[:length]] + path[length:])
        return self.lower.place(path)


def layered(lower: Document, upper: Document, kind: str) -> Layered:
    """*lower* with the tables of a kind (``hive`` or ``model``) that *upper* adds."""
    tables = lower.data.get(kind, [])
    data, moved = dict(lower.data), dict[Path, Path]()
    if isinstance(tables, list):
        data[kind] = merged = list(tables)
        for index, table in _tables(upper, kind):
            at = _index(merged, kind, table)
            if at is None and upper.name == TEMPORARY and _only_adds(kind, table):
                continue  # which lost() tells
            if at is None:
                moved[kind, len(merged)] = (kind, index)
                merged.append(table)
            elif kind == "hive":
                merged[at] = _with_workers(merged[at], table, (kind, at), (kind, index), moved)
    return Layered(lower.name, data, lower.lines, lower=lower, upper=upper, moved=moved)


def lost(lower: Document, upper: Document) -> t.Iterator[Mistake]:
    """Workers of hives that are gone: tables that were written to add to a hive of the lower document."""
    for index, table in _tables(upper, "hive"):
        if _only_adds("hive", table) and _index(lower.data.get("hive", []), "hive", table) is None:
            message = f"{lower.name} has no hive {table.get('alias')!r} for these workers; delete this table"
            yield Mistake(upper.name, upper.line(("hive", index)), f"hive[{index}].alias", message)


def entry_name(entry: t.Any) -> str:
    """The name of a worker, which is its type's where it has none."""
    return str(entry.get("name") or entry.get("type") if isinstance(entry, dict) else entry)


def _only_adds(kind: str, table: t.Mapping[str, t.Any]) -> bool:
    return kind == "hive" and "hostname" not in table


def _tables(document: Document, kind: str) -> t.Iterator[tuple[int, dict[str, t.Any]]]:
    tables = document.data.get(kind, [])
    for index, table in enumerate(tables if isinstance(tables, list) else []):
        if isinstance(table, dict):
            yield index, table


def _index(tables: t.Any, kind: str, wanted: t.Mapping[str, t.Any]) -> int | None:
    name = wanted.get(NAMES[kind])
    known = tables if isinstance(tables, list) else []
    return next((at for at, one in enumerate(known) if isinstance(one, dict) and one.get(NAMES[kind]) == name), None)


def _with_workers(
    lower: dict[str, t.Any], upper: dict[str, t.Any], path: Path, of: Path, moved: dict[Path, Path]
) -> dict[str, t.Any]:
    old, new = lower.get("workers", []), upper.get("workers", [])
    if not isinstance(old, list) or not isinstance(new, list):
        return lower
    workers, names = list(old), {entry_name(worker) for worker in old}
    for index, worker in enumerate(new):
        if entry_name(worker) not in names:
            moved[(*path, "workers", len(workers))] = (*of, "workers", index)
            workers.append(worker)
    return {**lower, "workers": workers}
