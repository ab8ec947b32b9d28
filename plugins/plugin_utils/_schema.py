# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading tables of a TOML document against a table of keys, noting every mistake. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Reader:
    """One document, and the mistakes found in it so far."""

    def __init__(self, document: Document, mistakes: list[Mistake]) -> None:
        self.document = document
        self.mistakes = mistakes

    def wrong(self, path: Path, message: str) -> None:
        file, line, there = self.document.place(path)
        self.mistakes.append(Mistake(file, line, dotted(there), message))

    def where(self, path: Path) -> str:
        """The place of one thing, for a sentence about another."""
        file, line, _there = self.document.place(path)
        return f"on line {line}" + (f" of {file}" if file != self.document.name else "")

    def scalar(self, value: t.Any, wanted: type) -> t.Any:
        """A value in the type that is wanted, where the format itself tells types apart less than TOML does."""
        return value

    def given(self, path: Path) -> dict[str, t.Any]:
        """The table at a path as it stands in the file; empty where there is none."""
        value: t.Any = self.document.data
        for part in path:
            inside = value.get(part) if isinstance(value, dict) and isinstance(part, str) else None
            if isinstance(value, list) and isinstance(part, int) and part < len(value):
                inside = value[part]
            value = inside
        return value if isinstance(value, dict) else {}

    def table(self, path: Path, value: t.Any, keys: t.Mapping[str, Key]) -> dict[str, t.Any]:
        """The value of every key; where it is missing or wrong, the key's default."""
        found: dict[str, t.Any] = {name: key.default for name, key in keys.items()}
        if not isinstance(value, dict):
            self.wrong(path, f"expected a table, not {kind(value)}")
            return found
        for name, item in value.items():
            if name not in keys:
                self.wrong(path + (name,), f"unknown key; {suggestion(name, keys)}")
                continue
            checked = keys[name].check(self, path + (name,), item)
            if checked is not None:
                found[name] = checked
        for name, key in keys.items():
            if key.required and name not in value:
                self.wrong(path + (name,), "missing; it is required")
        return found


Check = t.Callable[[Reader, Path, t.Any], t.Any]
"""Returns the value in the form the fleet keeps it, or None after noting what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a table. The default of a required key only serves to go on looking for further mistakes."""

    check: Check
    default: t.Any = ""
    required: bool = False


def dotted(path: Path) -> str:
    """A path as people read it: ``hive[0].workers[1].port``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _PLAIN_KEY.fullmatch(part) else "'" + part.encode("unicode_escape").decode() + "'"
            text += f".{name}" if text else name
    return text


def kind(value: t.Any) -> str:
    """What a TOML value is, in TOML's own words."""
    if value is None:
        return "nothing"
    names = ((bool, "a boolean"), (int, "an integer"), (float, "a float"), (str, "a string"), (list, "an array"))
    for python_type, name in names + ((dict, "a table"),):
        if isinstance(value, python_type):
            return name
    return "a date or time"


def suggestion(name: str, valid: t.Iterable[str]) -> str:
    """The nearest valid name, or all of them when none is near."""
    names = {candidate.lower(): candidate for candidate in sorted(valid)}
    near = difflib.get_close_matches(name.lower(), names, n=1)
    if near:
        return f"did you mean '{names[near[0]]}'?"
    return "expected one of: " + ", ".join(names.values()) if names else "there is none"


def text(pattern: str = r"[^\x00-\x1f\x7f]+", expected: str = "text on one line") -> Check:
    """A string that the whole of ``pattern`` matches; ``expected`` says so in words."""
    compiled = re.compile(pattern)

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        if not isinstance(value, str):
            reader.wrong(path, f"expected a string ({expected}), not {kind(value)}")
        elif not compiled.fullmatch(value):
            reader.wrong(path, f"expected {expected}")
        else:
            return value
        return None

    return check


def integer(low: int, high: int) -> Check:
    """An integer from ``low`` to ``high``, both included."""

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        value = reader.scalar(value, int)
        if not isinstance(value, int) or isinstance(value, bool):
            reader.wrong(path, f"expected an integer from {low} to {high}, not {kind(value)}")
        elif not low <= value <= high:
            reader.wrong(path, f"expected an integer from {low} to {high}")
        else:
            return value
        return None

    return check


def boolean(reader: Reader, path: Path, value: t.Any) -> t.Any:
    value = reader.scalar(value, bool)
    if isinstance(value, bool):
        return value
    reader.wrong(path, f"expected true or false, not {kind(value)}")
    return None


def choice(*valid: str) -> Check:
    """One of a few words."""

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        if not isinstance(value, str):
            reader.wrong(path, f"expected one of {', '.join(valid)}, not {kind(value)}")
        elif value not in valid:
            reader.wrong(path, f"unknown value; {suggestion(value, valid)}")
        else:
            return value
        return None

    return check


def array(item: Check) -> Check:
    """An array, as a tuple; a wrong element becomes None, so that indexes stay those of the file."""

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        if not isinstance(value, list):
            reader.wrong(path, f"expected an array, not {kind(value)}")
            return None
        return tuple(item(reader, path + (index,), element) for index, element in enumerate(value))

    return check


def table(keys: t.Mapping[str, Key]) -> Key:
    """A key whose value is a table of these keys."""
    defaults = {name: key.default for name, key in keys.items()}
    return Key(lambda reader, path, value: reader.table(path, value, keys), defaults)


def tables(keys: t.Mapping[str, Key]) -> Key:
    """A key whose value is an array of tables of these keys."""

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        if isinstance(value, dict):
            reader.wrong(path, f"expected an array of tables; write [[{dotted(path)}]]")
            return None
        return array(lambda _reader, where, item: reader.table(where, item, keys))(reader, path, value)

    return Key(check, ())


def mapping(name_pattern: str, expected: str, item: Check) -> Check:
    """A table whose keys are names the user chooses."""
    compiled = re.compile(name_pattern)

    def check(reader: Reader, path: Path, value: t.Any) -> t.Any:
        if not isinstance(value, dict):
            reader.wrong(path, f"expected a table, not {kind(value)}")
            return None
        found = {}
        for name, element in value.items():
            if not compiled.fullmatch(name):
                reader.wrong(path + (name,), f"expected a name like {expected}")
                continue
            checked = item(reader, path + (name,), element)
            if checked is not None:
                found[name] = checked
        return found

    return check
