# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of the configuration files: text in, text out. Pure.

Whatever is not edited stays as it is, byte for byte: comments, order, quotes, white space, line ends. Each edit is read
again, and refused where it would say anything but what was asked for.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _toml
from ansible_collections.rbee.fleet.plugins.plugin_utils._config import HIVES, MODELS
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import NAMES, entry_name
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import pairs, value

try:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    MISSING = ""
except ImportError:  # pragma: no cover
    MISSING = "the Python package tomlkit is missing on the controller"

Table = dict[str, t.Any]
FILES = {"hive": HIVES, "model": MODELS}


class EditError(Exception):
    """An edit that is not made; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to be in the files, or is not to be.

    hives, models: tables as in hives.conf and models.conf. workers: entries of a hive's ``workers`` by its alias.
    listed: names in a hive's ``models``, likewise.
    present: whether they are to be there. If not, alias or name are all that counts of an entry.
    """

    hives: tuple[Table, ...] = ()
    workers: t.Mapping[str, tuple[str | Table, ...]] = dataclasses.field(default_factory=dict)
    models: tuple[Table, ...] = ()
    listed: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    present: bool = True


class _Text:
    """A file's text on its way: body, whose lines end with a line feed, without a mark of its encoding."""

    def __init__(self, text: str) -> None:
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self.body = text[len(self._mark) :]
        self._as_on_windows = "\r\n" in self.body and "\n" not in self.body.replace("\r\n", "")
        if self._as_on_windows:
            self.body = self.body.replace("\r\n", "\n")

    def __str__(self) -> str:
        return self._mark + (self.body.replace("\n", "\r\n") if self._as_on_windows else self.body)


def edited(texts: t.Mapping[str, str], change: Change) -> dict[str, str]:
    """The new text of the files that change, by name. texts: of those that are there. Raises EditError, ConfigError."""
    if change == Change():
        return {}
    if MISSING:
        raise EditError(f"{MISSING}; install it: pip install tomlkit")
    new = {name: _Text(texts.get(name, "")) for name in FILES.values()}
    for kind, entries in (("model", change.models), ("hive", change.hives)):
        text = new[FILES[kind]]
        for entry in entries:
            text.body = (_with_table if change.present else _without_table)(text.body, kind, entry)
    for key, entries_of in (("workers", change.workers), ("models", change.listed)):
        for alias, inside in entries_of.items():
            for one in inside:
                new[HIVES].body = _inside(new[HIVES].body, alias, key, one, change.present)
    return {name: str(text) for name, text in new.items() if str(text) != texts.get(name, "")}


# Tables


def _with_table(text: str, kind: str, entry: Table) -> str:
    tables = _data(text, FILES[kind]).get(kind, [])
    for table in tables:
        if table.get(NAMES[kind]) == entry[NAMES[kind]]:
            if table == entry:
                return text
            raise EditError(
                f"{FILES[kind]}: there is already a {kind} {entry[NAMES[kind]]!r}, and it differs;"
                f" edit or remove it first"
            )
    if (kind,) in _parse(text, FILES[kind]).spans:  # all in one array
        document = _faithful(text, FILES[kind])
        document[kind].append(tomlkit.value(value(entry)))
        new = document.as_string()
    else:
        start = text if text.endswith("\n") or not text else text + "\n"
        new = f"{start}{chr(10) if start else ''}[[{kind}]]\n{pairs(entry)}"
    return _checked(new, kind, [*tables, entry])


def _without_table(text: str, kind: str, entry: Table) -> str:
    document = _parse(text, FILES[kind])
    tables = document.data.get(kind, [])
    index = next((at for at, table in enumerate(tables) if table.get(NAMES[kind]) == entry[NAMES[kind]]), None)
    if index is None:
        return text
    left = [table for at, table in enumerate(tables) if at != index]
    lines = text.splitlines(keepends=True)
    first = document.line((kind, index)) - 1
    if not lines[first].lstrip().startswith("["):
        parsed = _faithful(text, FILES[kind])
        del parsed[kind][index]
        return _checked(parsed.as_string(), kind, left)
    following = document.line((kind, index + 1)) - 1 if index + 1 < len(tables) else len(lines)
    last = following
    while last > first + 1 and _is_blank(lines[last - 1]):  # what stands before the next one is about that
        last -= 1
    if following == len(lines) and last == following and first and not lines[first - 1].strip():
        first -= 1
    while last < following and not lines[last].strip():
        last += 1
    return _checked("".join(lines[:first] + lines[last:]), kind, left)


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


# Arrays of a hive. A worker's type alone and a model's name are handled alike.


def _inside(text: str, alias: str, key: str, worker: str | Table, present: bool) -> str:
    document = _parse(text, HIVES)
    hives = document.data.get("hive", [])
    index = next((at for at, hive in enumerate(hives) if hive.get("alias") == alias), None)
    if index is None:
        raise EditError(f"{HIVES}: there is no hive {alias!r}")
    workers = hives[index].get(key, [])
    at = next((at for at, one in enumerate(workers) if entry_name(one) == entry_name(worker)), None)
    if at is not None and present:
        if _full(workers[at]) == _full(worker):
            return text
        raise EditError(
            f"{HIVES}: hive {alias} has a worker {entry_name(worker)!r} already, and it differs;"
            f" edit or remove it first"
        )
    if at is None and not present:
        return text
    wanted = workers[:at] + workers[at + 1 :] if at is not None else [*workers, _short(worker)]
    path: _toml.Path = ("hive", index, key)
    if path in document.spans:
        start, end = document.spans[path]
        new = text[:start] + _in_array(text[start:end], at, worker) + text[end:]
    elif key in hives[index] or ("hive",) in document.spans:  # tables, or all hives in one array
        new = _in_document(text, index, key, at, worker)
    else:
        own = [span[1] for known, span in document.spans.items() if known[:2] == path[:2] and len(known) == 3]
        where = text.find("\n", max(own)) + 1
        before = text[:where] if where else text + "\n"
        new = f"{before}{key} = {value([_short(worker)])}\n{text[where:] if where else ''}"
    return _checked(new, "hive", [*hives[:index], {**hives[index], key: wanted}, *hives[index + 1 :]])


def _in_array(pair: str, at: int | None, worker: str | Table) -> str:
    """The key with its array, without the element at *at*, or with another at the end."""
    document = _tomlkit(pair, HIVES)
    workers: t.Any = next(iter(document.values()))
    if at is None:
        workers.append(tomlkit.value(value(_short(worker))))
    else:
        del workers[at]
    return str(document.as_string())


def _in_document(text: str, index: int, key: str, at: int | None, worker: str | Table) -> str:
    """The same for files of other shapes, which are written anew as a whole."""
    document = _faithful(text, HIVES)
    hive: t.Any = document["hive"][index]
    if at is not None:
        del hive[key][at]
    elif key not in hive:
        hive[key] = tomlkit.value(value([_short(worker)]))
    elif isinstance(hive[key], tomlkit.items.AoT):
        hive[key].append(tomlkit.item(_full(worker)))
    else:
        hive[key].append(tomlkit.value(value(_short(worker))))
    return str(document.as_string())


def _full(worker: str | Table) -> Table:
    return {"type": worker} if isinstance(worker, str) else dict(worker)


def _short(worker: str | Table) -> str | Table:
    """As people write it: a type that needs nothing else stands alone."""
    table = _full(worker)
    return str(table["type"]) if set(table) == {"type"} else table


# TOML


def _parse(text: str, name: str) -> _toml.Document:
    document = _toml.parse(name, text)
    _tomlkit(text, name)
    if "\r" in text:
        raise EditError(f"{name}: its lines end in two ways; make them all alike")
    return document


def _tomlkit(text: str, name: str) -> t.Any:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise EditError(
            f"{name}: tomlkit, which is to edit it, cannot read it ({error}); for TOML 1.1 it has to be a newer one:"
            f" pip install --upgrade tomlkit"
        ) from None


def _faithful(text: str, name: str) -> t.Any:
    document = _tomlkit(text, name)
    if document.as_string() != text:
        raise EditError(f"{name}: it cannot be edited without changing more of it; edit it yourself")
    return document


def _data(text: str, name: str) -> dict[str, t.Any]:
    return _parse(text, name).data


def _checked(text: str, kind: str, wanted: list[t.Any]) -> str:
    """The text, when it says what it is to say."""
    if list(map(_alike, _data(text, FILES[kind]).get(kind, []))) != list(map(_alike, wanted)):
        raise EditError(f"{FILES[kind]}: this cannot be edited by a command; edit it yourself")
    return text


def _alike(table: Table) -> Table:
    """A table in which workers that mean the same look the same."""
    return {**table, "workers": list(map(_full, table["workers"]))} if "workers" in table else table
