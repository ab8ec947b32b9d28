# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How files are packed for the way to a host."""

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.plugin_utils._parcels import pack
from hypothesis import given
from hypothesis import strategies as st

SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(0, 30), max_size=12)


def test_small_files_go_together_and_large_ones_alone() -> None:
    assert pack({"c": 6, "a": 1, "huge": 50, "b": 3}, limit=10) == [["a", "b", "c"], ["huge"]]


def test_nothing_needs_no_parcel() -> None:
    assert pack({}) == []


@given(SIZES)
def test_every_file_goes_once(sizes: dict[str, int]) -> None:
    assert sorted(name for parcel in pack(sizes, 10) for name in parcel) == sorted(sizes)


@given(SIZES)
def test_no_parcel_of_several_is_larger_than_the_limit(sizes: dict[str, int]) -> None:
    assert all(len(parcel) == 1 or sum(sizes[name] for name in parcel) <= 10 for parcel in pack(sizes, 10))
