# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a TOML document."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, parse
from hypothesis import given, settings
from hypothesis import strategies as st

HIVES = '''\
# a comment with [brackets] and = signs
[[hive]]
alias = "gpu-1"
workers = [
  "vllm",  # ] not the end
  { type = "llama-cpp", port = 8081 },
]
motd = """
[[hive]]
alias = "not a key"
"""

[[hive]]
alias = 'gpu-2'
limits.vram = 24
"quoted key" = 1
[hive.labels]
rack = 7
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("hive",), 2),
        (("hive", 0), 2),
        (("hive", 0, "alias"), 3),
        (("hive", 0, "workers"), 4),
        (("hive", 0, "workers", 0), 5),
        (("hive", 0, "workers", 1), 6),
        (("hive", 0, "workers", 1, "port"), 6),
        (("hive", 1), 13),
        (("hive", 1, "alias"), 14),
        (("hive", 1, "limits", "vram"), 15),
        (("hive", 1, "quoted key"), 16),
        (("hive", 1, "labels"), 17),
        (("hive", 1, "labels", "rack"), 18),
    ],
)
def test_every_key_has_the_line_it_stands_on(path: tuple[t.Any, ...], line: int) -> None:
    assert parse("hives.conf", HIVES).line(path) == line


def test_a_key_that_is_not_there_has_the_line_of_what_would_hold_it() -> None:
    document = parse("hives.conf", HIVES)
    assert document.line(("hive", 0, "workers", 1, "name")) == 6
    assert document.line(("hive", 1, "hostname")) == 13
    assert document.line(("queen", "port")) == 1


def test_windows_line_ends_count_as_one() -> None:
    assert parse("rbee.conf", "[queen]\r\nport = 1\r\nmode = 'x'\r\n").line(("queen", "mode")) == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[queen]\nport = \n", "rbee.conf:2: invalid TOML at column 8"),
        ("[queen]\nport = 1\nport = 2\n", "rbee.conf:3: invalid TOML at column"),
        ("[queen]\nmodes = [1,", "rbee.conf:2: invalid TOML at column 12, end of the file"),
        ("x = " + "[" * 100_000, "rbee.conf:1: invalid TOML: nested too deeply"),
        ("x = " + "1" * 5000, "rbee.conf:1: invalid TOML"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse("rbee.conf", text)
    assert str(refused.value).startswith(place)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_document_or_a_mistake_with_a_place(text: str) -> None:
    try:
        document = parse("any.conf", text)
    except ConfigError as error:
        (mistake,) = error.mistakes
        assert 1 <= mistake.line <= text.count("\n") + 1
    else:
        assert isinstance(document, Document)


FILLERS = [
    "# x = [",
    "",
    's = "a # ]"',
    "l = 'C:\\'",
    'm = """\n[[no]]\nx = 1\n"""',
    "n = '''\n]\n'''",
    "d = 1979-05-27 07:32:00",
]


class Sheet:
    """A document in which every integer is the number of the line it stands on."""

    def __init__(self) -> None:
        self.text = ""
        self.names = 0

    @property
    def number(self) -> int:
        return self.text.count("\n") + 1

    def name(self, prefix: str = "k") -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    def filler(self, filler: str) -> None:
        key, equals, value = filler.partition(" = ")
        self.text += f"{self.name(key)}{equals}{value}\n" if equals and key != "# x" else f"{filler}\n"

    def value(self, shape: t.Any) -> None:
        if shape is None:
            self.text += str(self.number)
        elif isinstance(shape, list):
            self.text += "["
            for item in shape:
                self.text += "\n  # ], [\n  "
                self.value(item)
                self.text += ","
            self.text += "\n]"
        else:
            self.text += "{ "
            for index, item in enumerate(shape):
                self.text += (", " if index else "") + self.name() + " = "
                self.value(item)
            self.text += " }"


SHAPES = st.recursive(
    st.none(), lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple), max_leaves=8
)
LINES = st.one_of(
    st.tuples(st.just("filler"), st.sampled_from(FILLERS)),
    st.tuples(st.just("pair"), SHAPES),
    st.tuples(st.just("dotted"), SHAPES),
    st.tuples(st.just("table"), st.none()),
    st.tuples(st.just("element"), st.none()),
    st.tuples(st.just("inside"), st.none()),
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=12))
def test_in_any_document_every_value_is_found_on_its_line(lines: list[tuple[str, t.Any]]) -> None:
    sheet = Sheet()
    elements = 0
    for kind, detail in lines:
        if kind == "filler":
            sheet.filler(detail)
        elif kind in ("pair", "dotted"):
            sheet.text += (f"{sheet.name()}.'quoted.key'." if kind == "dotted" else "") + f"{sheet.name()} = "
            sheet.value(detail)
            sheet.text += " # comment\n"
        elif kind == "element":
            elements += 1
            sheet.text += "[[ element ]]\n"
        else:
            inside = "element." if kind == "inside" and elements else ""
            sheet.text += f"[{inside}{sheet.name('table')}]\n"
    document = parse("any.conf", sheet.text)

    def walk(path: tuple[t.Any, ...], value: t.Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk((*path, key), item)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk((*path, index), item)
        elif isinstance(value, int):
            assert (path in document.lines, document.line(path)) == (True, value)

    walk((), document.data)
