# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data as TOML: the inverse of the parser. Pure."""

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


def pairs(table: Table) -> str:
    """The keys of a table, one a line."""
    return "".join(f"{key(name)} = {value(item)}\n" for name, item in table.items())


def value(given: t.Any) -> str:
    """A value on one line, with the spaces that people write."""
    if isinstance(given, t.Mapping):
        inside = ", ".join(f"{key(name)} = {value(item)}" for name, item in given.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(map(value, given))}]"
    return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    return name if _BARE.fullmatch(name) else value(name)


def _table(path: tuple[str, ...], data: Table) -> t.Iterator[str]:
    inner = {name: given for name, given in data.items() if isinstance(given, t.Mapping) or _is_tables(given)}
    yield from (f"{key(name)} = {_spread(given)}" for name, given in data.items() if name not in inner)
    for name, given in inner.items():
        below = (*path, name)
        header = ".".join(map(key, below))
        if isinstance(given, t.Mapping):
            # A table that only holds tables needs no header of its own.
            plain = not given or any(
                not isinstance(item, t.Mapping) and not _is_tables(item) for item in given.values()
            )
            yield from ("", f"[{header}]") if plain else ()
            yield from _table(below, given)
        for item in given if _is_tables(given) else ():
            yield from ("", f"[[{header}]]")
            yield from _table(below, item)


def _is_tables(given: t.Any) -> bool:
    return isinstance(given, (list, tuple)) and bool(given) and all(isinstance(item, t.Mapping) for item in given)


def _spread(given: t.Any) -> str:
    """A value over several lines where that is easier to read."""
    if isinstance(given, str) and "\n" in given and _is_literal(given):
        return f"'''\n{given}'''"
    if isinstance(given, (list, tuple)):
        items = [_spread(item) for item in given]
        short = f"[{', '.join(items)}]"
        return short if len(short) < _WIDTH - 30 else "[\n" + "".join(f"  {item},\n" for item in items) + "]"
    return value(given)


def _is_literal(text: str) -> bool:
    """Whether it can stand as it is: a literal takes no escapes, and ends at three quotes."""
    return bool(_LITERAL.fullmatch(text)) and "'''" not in text and not text.endswith("'")
