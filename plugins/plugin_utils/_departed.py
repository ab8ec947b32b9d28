# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hives that the queen's register knows and the configuration does not: which, and how to reach them. Pure.

An entry of the register is that of ``_spec.Registered``.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import LOCAL, SSH, USER, is_loopback

Variables = t.Mapping[str, t.Any]

RENAMED = "its machine is in the configuration under the name {}"
TEMPORARY = "temporary for whoever installed it"
ELSEWHERE = "it is the machine of whoever installed it, and can only be reached from there"


def departed(
    register: t.Mapping[str, Variables],
    declared: t.Mapping[str, Variables],
    queen: str,
    forget: t.Collection[str],
    temporary: bool = False,
) -> list[dict[str, t.Any]]:
    """Every hive that has left, in the order of its alias.

    declared: the inventory's variables of every host of the fleet. queen: her host. forget: aliases that do not count.
    temporary: whether hives that are temporary for whoever installed them are to be looked at, too.
    Each has ``alias``, ``entry`` of the register, ``variables`` for an inventory host, ``renamed``, the host that its
    machine is by now, or empty, and ``reason``, why it is not to be looked at, or empty.
    """
    machines = {_machine_of_host(variables): name for name, variables in declared.items()}
    local = declared.get(queen, {}).get("ansible_connection") == LOCAL
    found = []
    for alias, entry in sorted(register.items()):
        if alias in declared or alias in forget:
            continue
        renamed = machines.get(_machine(entry), "")
        reason = RENAMED.format(renamed) if renamed else ""
        if not renamed and entry["connection"] == LOCAL and not local:
            reason = ELSEWHERE
        if not reason and entry.get("temporary") and not temporary:
            reason = TEMPORARY
        found.append(
            {
                "alias": alias,
                "entry": dict(entry),
                "variables": _reached(entry),
                "renamed": renamed,
                "reason": reason,
            }
        )
    return found


def _reached(entry: Variables) -> dict[str, t.Any]:
    if entry["connection"] == LOCAL:
        return {"ansible_connection": LOCAL, "ansible_host": entry["hostname"]}
    found = {"ansible_connection": SSH, "ansible_host": entry["hostname"], "ansible_port": entry["ssh_port"]}
    return found | ({"ansible_user": entry["ssh_user"]} if entry["ssh_user"] else {})


def _machine(entry: Variables) -> tuple[str, int, str]:
    """As ``_fleet.machine`` tells them apart, for an entry of the register."""
    if entry["connection"] == LOCAL:
        return ("localhost", 22, "")
    hostname = "localhost" if is_loopback(entry["hostname"]) else entry["hostname"].lower()
    return (hostname, entry["ssh_port"], entry["ssh_user"] if entry["scope"] == USER else "")


def _machine_of_host(variables: Variables) -> tuple[str, int, str]:
    return _machine(
        {
            "connection": variables.get("ansible_connection", SSH),
            "hostname": str(variables.get("ansible_host", variables.get("inventory_hostname", ""))),
            "ssh_port": int(variables.get("ansible_port", 22)),
            "ssh_user": str(variables.get("ansible_user", "")),
            "scope": variables.get("rbee_fleet", {}).get("scope", ""),
        }
    )
