# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hives the sync playbook asks about."""

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.filter.departed import departed

ENTRY = {"hostname": "h2", "prefix": "/p/q", "scope": "system", "connection": "ssh", "ssh_user": "", "ssh_port": 22}


def test_hosts_are_told_apart_by_how_the_inventory_reaches_them() -> None:
    queen = {"inventory_hostname": "queen", "ansible_host": "h0", "rbee_components": ["much"]}
    hive = {"inventory_hostname": "gpu-1", "ansible_host": "H2", "ansible_port": 22, "ansible_connection": "ssh"}
    assert [item["alias"] for item in departed({"old": ENTRY}, [queen], "queen")] == ["old"]
    assert [item["renamed"] for item in departed({"old": ENTRY}, [queen, hive], "queen")] == ["gpu-1"]
    assert departed({"old": ENTRY}, [queen], "queen", ["old"]) == departed({}, [queen], "queen") == []
