# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sync playbook asks about hives that have left the configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
name: departed
short_description: The hives that the queen knows and the inventory does not
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Compares the register that M(rbee.fleet.components) returned on the queen's host with the hosts of the inventory.
positional: _input
options:
  _input:
    description: What the queen knows, RV(rbee.fleet.components#module:register).
    type: dict
    required: true
  hosts:
    description: The variables of every host of the fleet.
    type: list
    elements: dict
    required: true
  queen:
    description: The inventory host of the queen.
    type: str
    required: true
  forget:
    description: Hives that do not count.
    type: list
    elements: str
    default: []
  temporary:
    description: Whether hives that are temporary for whoever installed them are to be looked at, too.
    type: bool
    default: false
seealso:
  - module: rbee.fleet.drift
"""

EXAMPLES = r"""
- name: Name them
  ansible.builtin.debug:
    msg: "{{ converged.register | rbee.fleet.departed(groups.rbee | map('extract', hostvars), groups.rbee_queen.0) }}"
"""

RETURN = r"""
_value:
  description:
    - For each hive its C(alias), its C(entry) in the register, C(variables) for an inventory host, C(renamed), the host
      that its machine is by now, and C(reason), why it cannot be looked at. The last two are mostly empty.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _departed

# Of a host: what tells its machine apart
WANTED = ("inventory_hostname", "ansible_host", "ansible_port", "ansible_user", "ansible_connection", "rbee_fleet")


def departed(
    register: t.Mapping[str, t.Any],
    hosts: t.Iterable[t.Mapping[str, t.Any]],
    queen: str,
    forget: t.Collection[str] = (),
    temporary: bool = False,
) -> list[dict[str, t.Any]]:
    declared = {
        str(host["inventory_hostname"]): {name: host[name] for name in WANTED if name in host} for host in hosts
    }
    return _departed.departed(register, declared, queen, forget, temporary)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"departed": departed}
