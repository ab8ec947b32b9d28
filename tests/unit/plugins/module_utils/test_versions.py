# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and ranges of interpreters and programs."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._versions import (
    VersionError,
    at_least,
    find_version,
    in_range,
    is_older,
    parse_version,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [("3.11.2", (3, 11, 2)), ("3.11", (3, 11, 0)), ("2.6.12-1+deb12u1", (2, 6, 12)), ("v9", (9, 0, 0))],
)
def test_three_numbers_count(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "requires", "expected"),
    [
        ("3.11.2", "", True),
        ("3.11.2", ">=3.10,<3.14", True),
        ("3.14.0", ">=3.10,<3.14", False),
        ("3.9.18", ">=3.10", False),
        ("3.10.0", ">3.10", False),
        ("3.10.1", ">3.10", True),
        ("3.10.0", "<=3.10", True),
        ("3.11.2", "==3.11.*", True),
        ("3.11.2", "==3.11", False),
        ("3.11.2", "!=3.11.*", False),
        ("3.12.2", "!=3.11.*", True),
        ("3.11.2", "~=3.9", True),
        ("4.0.0", "~=3.9", False),
        ("3.9.7", "~=3.9.1", True),
        ("3.10.0", "~=3.9.1", False),
        ("3.10.0", " >= 3.9 , < 4 ", True),
    ],
)
def test_a_range_holds_what_pep_440_says(version: str, requires: str, expected: bool) -> None:
    assert in_range(version, requires) is expected


@pytest.mark.parametrize("requires", ["3.10", "=>3.10", ">=3.10.*", "~=3", ">=three", ">=3.1.2.3"])
def test_a_range_that_cannot_be_read_is_an_error(requires: str) -> None:
    with pytest.raises(VersionError, match=r"version clause|at least two"):
        in_range("3.11.2", requires)


def test_a_text_without_numbers_is_no_version() -> None:
    with pytest.raises(VersionError, match="not a version"):
        parse_version("unknown")


@pytest.mark.parametrize(
    ("version", "minimum", "expected"),
    [("2.6.12-1+deb12u4", "2.6", True), ("2.4.22", "2.6", False), ("2.10.1", "2.9", True), ("anything", "", True)],
)
def test_a_minimum_is_compared_by_numbers(version: str, minimum: str, expected: bool) -> None:
    assert at_least(version, minimum) is expected


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
        ("llama-server v1.2 (gcc 12)", "1.2"),
        ("no version here", ""),
    ],
)
def test_a_programs_version_is_found_in_what_it_says(output: str, version: str) -> None:
    assert find_version(output) == version


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("2026.9", "2026.10", True),
        ("2026.10", "2026.10", False),
        ("0.32.1", "0.32.0", False),
        ("bundled", "2026.10", False),
        ("1.0", "system", False),
    ],
)
def test_only_numbers_can_be_older(version: str, than: str, older: bool) -> None:
    assert is_older(version, than) is older
