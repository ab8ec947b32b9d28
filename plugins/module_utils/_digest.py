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


def digest(value: t.Any) -> str:
    """SHA-256 of the canonical form, shortened for use in names."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:SHORT]
