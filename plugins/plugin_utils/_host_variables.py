# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory declares for a host, from its variables. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._agents import Reach


def specs_of(variables: t.Mapping[str, t.Any]) -> list[t.Mapping[str, t.Any]]:
    """The specifications of what is to be on the host."""
    return list(variables.get("rbee_components") or ())


def reach_of(variables: t.Mapping[str, t.Any]) -> Reach:
    """How Ansible reaches the host."""
    name = str(variables.get("ansible_host") or variables["inventory_hostname"])
    return Reach(name, str(variables.get("ansible_connection") or ""), int(variables.get("ansible_port") or 0))
