# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at a host before an installation may find. Pure."""

from __future__ import annotations

import dataclasses

ERROR, WARNING = "error", "warning"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that an installation would stumble over.

    where: component, or what of the host: ``ssh``, ``sudo``, ``disk``. severity: ``error`` when an installation would
    fail, else ``warning``. fix: what to do, empty where the problem says it.
    """

    where: str
    problem: str
    fix: str = ""
    severity: str = ERROR


def finding_of(where: str, reason: str, severity: str = ERROR) -> Finding:
    """From a reason as this library words it: the problem, a semicolon and the remedy, on one line or more."""
    text = "; ".join(line.strip() for line in reason.splitlines() if line.strip())
    problem, _semicolon, fix = text.rpartition("; ")
    return Finding(where, problem or fix, fix if problem else "", severity)
