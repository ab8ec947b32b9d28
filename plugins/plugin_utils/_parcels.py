# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs files for the way to a host: small ones together, since every transfer costs a round trip. Pure."""

from __future__ import annotations

import typing as t

LIMIT = 256 * 1024 * 1024
"""Bytes of several files in one parcel. So much, or one larger file, is on a host's remote_tmp at a time."""


def pack(sizes: t.Mapping[str, int], limit: int = LIMIT) -> list[list[str]]:
    """Groups names so that no group of several exceeds the limit, small ones first. sizes: bytes by name."""
    parcels: list[list[str]] = []
    room = 0
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        if not parcels or sizes[name] > room:
            parcels.append([])
            room = limit
        parcels[-1].append(name)
        room -= sizes[name]
    return parcels
