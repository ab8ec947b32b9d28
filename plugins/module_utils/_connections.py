# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of connections, ``/proc/net/tcp`` and ``/proc/net/tcp6`` of proc(5). Pure."""

from __future__ import annotations

_ESTABLISHED = "01"


def established(table: str, port: int) -> frozenset[str]:
    """The far ends, as the kernel writes them, of the connections that are open at a local port."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
            found.add(fields[2])
    return frozenset(found)
