# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions and version ranges of interpreters and programs, as far as PEP 440 numbers go. Pure.

A version is compared by its first three numbers: ``2.6.12-1+deb12u1`` is 2.6.12 and ``3.11`` is 3.11.0.
"""

from __future__ import annotations

import re

Version = tuple[int, int, int]

_NUMBERS = re.compile(r"\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_CLAUSE = re.compile(r"\s*(~=|==|!=|<=|>=|<|>)\s*(\d+(?:\.\d+){0,2})(\.\*)?\s*")


class VersionError(ValueError):
    """A version or a range that cannot be read."""


def parse_version(text: str) -> Version:
    """The first three numbers of a version; missing ones are 0. Raises VersionError when it does not start with one."""
    match = _NUMBERS.match(text)
    if not match:
        raise VersionError(f"{text!r} is not a version: expected numbers such as 3.11.2")
    return int(match[1]), int(match[2] or 0), int(match[3] or 0)


def find_version(text: str) -> str:
    """The first version-like word of a program's ``--version`` output, or an empty text."""
    match = re.search(r"(?<![\w.])v?(\d+\.\d+[\w.+~-]*)", text)
    return match[1] if match else ""


def at_least(version: str, minimum: str) -> bool:
    """Whether a version is not lower than the minimum; an empty minimum accepts any version."""
    return not minimum or parse_version(version) >= parse_version(minimum)


def is_older(version: str, than: str) -> bool:
    """Whether a version is the older one; of words such as ``bundled`` nobody knows."""
    try:
        return parse_version(version) < parse_version(than)
    except VersionError:
        return False


def in_range(version: str, requires: str) -> bool:
    """Whether a version lies in a PEP 440 range such as ``>=3.10,<3.14``; an empty range accepts any version.

    Raises VersionError for a clause that is none of ``~= == != <= >= < >`` with one to three numbers (``==`` and
    ``!=`` also with a trailing ``.*``).
    """
    have = parse_version(version)
    return all(_holds(have, clause) for clause in requires.split(",") if clause.strip())


def _holds(have: Version, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if not match or (match[3] and match[1] not in ("==", "!=")):
        raise VersionError(
            f"{clause.strip()!r} is not a version clause: expected one such as >=3.10, <3.14 or ==3.11.*"
        )
    operator, number = match[1], match[2]
    want, given = parse_version(number), number.count(".") + 1
    if operator == "~=":
        if given < 2:
            raise VersionError(f"{clause.strip()!r} needs at least two numbers after ~=")
        return have >= want and have[: given - 1] == want[: given - 1]
    if operator in ("==", "!="):
        size = given if match[3] else 3
        return (have[:size] == want[:size]) == (operator == "==")
    if operator == ">=":
        return have >= want
    if operator == "<=":
        return have <= want
    return have > want if operator == ">" else have < want
