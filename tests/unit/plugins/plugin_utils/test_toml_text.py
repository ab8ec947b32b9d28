# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data as TOML, and back."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import parse, toml
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import dumps
from hypothesis import given
from hypothesis import strategies as st

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = WORDS | st.booleans() | st.integers(-(2**63), 2**63 - 1)
TABLES = st.recursive(
    st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=3), max_size=4),
    lambda inner: st.dictionaries(WORDS, inner | st.lists(inner, min_size=1, max_size=3) | SCALARS, max_size=4),
    max_leaves=8,
)


@given(TABLES)
def test_what_is_written_is_read_again(data: dict[str, t.Any]) -> None:
    text = dumps(data)
    assert parse("x", text).data == toml.loads(text) == data


@pytest.mark.parametrize(
    "text", ["a\n'b'\n", "ends with a quote'\n'", "a'''b\n", "\r\n", "a\\b\n\tc\n", "\n", "\x7f\n"]
)
def test_text_of_several_lines_stays_what_it_is(text: str) -> None:
    assert toml.loads(dumps({"a": text, "b": 1})) == {"a": text, "b": 1}


def test_text_of_several_lines_stands_as_it_is_where_it_can() -> None:
    assert dumps({"lock": "a==1\nb==2\n"}) == "lock = '''\na==1\nb==2\n'''\n"
