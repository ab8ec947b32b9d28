# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data as TOML: the inverse of the parser, for files that no person has written. Pure."""

from __future__ import annotations

import json
import re
import typing as t

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LITERAL = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*", re.DOTALL)  # of a literal of several lines
_WIDTH = 120

Table = t.Mapping[str, t.Any]


def dumps(data: Table) -> str:
    """The text of a document: strings, integers, booleans, arrays of them, and tables and arrays of tables."""
    return "\n".join(_table((), data)).strip("\n") + "\n"


def _table(path: tuple[str, ...], data: Table) -> t.Iterator[str]:
    inner = {key: value for key, value in data.items() if isinstance(value, t.Mapping) or _is_tables(value)}
    yield from (f"{_key(key)} = {_value(value)}" for key, value in data.items() if key not in inner)
    for key, value in inner.items():
        below = (*path, key)
        name = ".".join(map(_key, below))
        if isinstance(value, t.Mapping):
            # A table that only holds tables needs no header of its own.
            plain = not value or any(
                not isinstance(item, t.Mapping) and not _is_tables(item) for item in value.values()
            )
            yield from ("", f"[{name}]") if plain else ()
            yield from _table(below, value)
        for item in value if _is_tables(value) else ():
            yield from ("", f"[[{name}]]")
            yield from _table(below, item)


def _is_tables(value: t.Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, t.Mapping) for item in value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _lines(value) if "\n" in value else _text(value)
    items = [_value(item) for item in value]
    short = f"[{', '.join(items)}]"
    return short if len(short) < _WIDTH - 30 else "[\n" + "".join(f"  {item},\n" for item in items) + "]"


def _lines(value: str) -> str:
    """As it is where TOML allows that: a literal takes no escapes, and ends at three quotes."""
    if _LITERAL.fullmatch(value) and "'''" not in value and not value.endswith("'"):
        return f"'''\n{value}'''"
    return _text(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
