# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML with places: the data of a file, and the line on which each of its keys stands. Pure.

The standard parsers keep no positions, so a small scanner follows the same grammar (https://toml.io/en/v1.1.0)
over text that the parser has already accepted, and notes lines only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake

try:
    import tomli as toml  # reads TOML 1.1; the standard library reads 1.0
except ImportError:
    import tomllib as toml  # type: ignore[no-redef]

Path = tuple[str | int, ...]

_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s=.\[\]{},#\"']+")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL)
_BARE = re.compile(r"[^,\]}\n#]+")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_SPACE = re.compile(r"[ \t]*")


@dataclasses.dataclass(frozen=True)
class Document:
    """A parsed file.

    lines: 1-based line by path, for example ``("hive", 0, "workers", 1, "port")``. spans: where the pair of a key
    begins and ends, in letters of the text with line feeds as line ends.
    """

    name: str
    data: dict[str, t.Any]
    lines: dict[Path, int]
    spans: dict[Path, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def place(self, path: Path) -> tuple[str, int, Path]:
        """What people are told of where a path is: the file, its line, and the path there."""
        return self.name, self.line(path), path


def parse(name: str, text: str) -> Document:
    """The document in ``text``; ``name`` is the file name used in errors.

    Raises ConfigError with line and column when the text is not TOML.
    """
    try:
        data = toml.loads(text)
    except RecursionError:
        raise ConfigError([Mistake(name, 1, "", "invalid TOML: nested too deeply")]) from None
    except ValueError as error:  # TOMLDecodeError, and what int() says to a number of thousands of digits
        raise ConfigError([_invalid(name, text, str(error))]) from None
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with contextlib.suppress(_Lost, RecursionError):  # the places found so far still serve
        scanner.document()
    return Document(name, data, scanner.lines, scanner.spans)


def _invalid(name: str, text: str, message: str) -> Mistake:
    found = _POSITION.search(message)
    message = _POSITION.sub("", message)
    if found and found[1]:
        return Mistake(name, int(found[1]), "", f"invalid TOML at column {found[2]}: {message}")
    if found:
        lines = text.split("\n")
        return Mistake(name, len(lines), "", f"invalid TOML at column {len(lines[-1]) + 1}, end of the file: {message}")
    return Mistake(name, 1, "", f"invalid TOML: {message}")


class _Lost(Exception):
    """The scanner met something it does not know."""


class _Scanner:
    """Walks through valid TOML and notes the line of every key, table and array element."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.spans: dict[Path, tuple[int, int]] = {}
        self._tables: dict[Path, int] = {}  # how many elements each array of tables has so far
        self._newlines = 0
        self._counted = 0

    def document(self) -> None:
        table: Path = ()
        self._take(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._take(_BLANK)

    def _header(self) -> Path:
        line = self._line()
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        keys = self._keys()
        self.at += 2 if array else 1
        path = self._through(keys[:-1], line) + (keys[-1],)
        if array:
            self.lines.setdefault(path, line)
            self._tables[path] = self._tables.get(path, 0) + 1
            path += (self._tables[path] - 1,)
        self.lines.setdefault(path, line)
        return path

    def _through(self, keys: list[str], line: int) -> Path:
        """The path of a table, through the last element of each array of tables on the way."""
        path: Path = ()
        for key in keys:
            path += (key,)
            self.lines.setdefault(path, line)
            if path in self._tables:
                path += (self._tables[path] - 1,)
        return path

    def _pair(self, table: Path) -> None:
        line, start = self._line(), self.at
        for key in self._keys():
            table += (key,)
            self.lines.setdefault(table, line)
        self._expect("=")
        self._take(_SPACE)
        self._value(table)
        self.spans[table] = (start, self.at)

    def _value(self, path: Path) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline(path)
        elif not self._take(_STRING if first in ("'", '"') else _BARE):
            raise _Lost

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._more("]"):
            self.lines[path + (index,)] = self._line()
            self._value(path + (index,))
            index += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._more("}"):
            self._pair(path)

    def _more(self, end: str) -> bool:
        """Steps over blanks and commas; false, and past it, at the closing bracket."""
        self._take(_BLANK)
        while self.text.startswith(",", self.at):
            self.at += 1
            self._take(_BLANK)
        if self.text.startswith(end, self.at):
            self.at += 1
            return False
        return True

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._take(_SPACE)
            raw = self._take(_KEY)
            if not raw:
                raise _Lost
            keys.append(next(iter(toml.loads(f"{raw} = 0"))) if raw[0] in "'\"" else raw)
            self._take(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _expect(self, character: str) -> None:
        if not self.text.startswith(character, self.at):
            raise _Lost
        self.at += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            return ""
        self.at = found.end()
        return found[0]

    def _line(self) -> int:
        self._newlines += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._newlines + 1
