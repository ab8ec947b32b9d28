# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names made from content."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._digest import SHORT, canonical, digest
from hypothesis import given
from hypothesis import strategies as st

DATA: st.SearchStrategy[t.Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_the_form_is_fixed() -> None:
    """Every release and generation on every host is named by it: a change would install all of them anew."""
    assert canonical({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()[:SHORT] == "44136fa355b3"


@given(DATA)
def test_the_form_keeps_all_of_the_data(data: t.Any) -> None:
    assert json.loads(canonical(data)) == data


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=5))
def test_the_order_of_keys_does_not_matter(data: dict[str, int]) -> None:
    assert digest(dict(reversed(list(data.items())))) == digest(data)
