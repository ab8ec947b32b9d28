# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that somebody named, before it is a hive. Pure data."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet


@dataclasses.dataclass(frozen=True)
class Machine:
    """One machine to begin with.

    address: what the queen dials, empty for the hostname. user: empty for ssh's own. hive_port: of its agent.
    variables: what Ansible needs besides to reach it, and hives.conf has no key for.
    """

    alias: str
    hostname: str
    user: str = ""
    port: int = 22
    address: str = ""
    hive_port: int = _fleet.Hive.hive_port
    variables: t.Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def local(self) -> bool:
        """Whether it is the controller itself."""
        return self.hostname.lower() == "localhost"
