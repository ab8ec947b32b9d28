# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of plain data and of bytes. Pure."""

from __future__ import annotations

import hashlib
import json
import typing as t

SHORT = 12  # hexadecimal digits in names: 48 bits, ample for the few releases of one host


def canonical(value: t.Any) -> str:
    """JSON with sorted keys and no spaces (the subset of RFC 8785 that strings and integers need)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def blob_hash(size: int) -> t.Any:
    """A hash object for the name that git gives to a file of this size: update it with the content."""
    found = hashlib.new("sha1", usedforsecurity=False)
    found.update(b"blob %d\0" % size)
    return found


def digest(value: t.Any) -> str:
    """SHA-256 of the canonical form, shortened for use in names."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:SHORT]
