# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status playbook prints."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_status
short_description: The status of a fleet as lines of text
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Makes a table of what M(rbee.fleet.components_info) found on several hosts, and below it what is wrong.
positional: _input
options:
  _input:
    description:
      - The variables of every host. V(rbee_found) is what the module returned there, V(rbee_components) what is
        declared for it.
    type: list
    elements: dict
    required: true
  tags:
    description: Only what these tags of the playbooks select. No such tag means everything.
    type: list
    elements: str
    default: []
seealso:
  - module: rbee.fleet.components_info
"""

EXAMPLES = r"""
- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | map('extract', hostvars) | rbee.fleet.fleet_status }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._agent_text import HEAD, notes, row, table
from ansible_collections.rbee.fleet.plugins.module_utils._spec import KINDS
from ansible_collections.rbee.fleet.plugins.plugin_utils._tags import kinds_of


def fleet_status(hosts: t.Iterable[t.Mapping[str, t.Any]], tags: t.Iterable[str] = ()) -> list[str]:
    kinds = kinds_of(tags) or set(KINDS)
    rows: list[tuple[str, ...]] = []
    below: list[str] = []
    for host in hosts:
        name, found = host["inventory_hostname"], host["rbee_found"]
        if "components" not in found:
            what = "unreachable" if found.get("unreachable") else "failed"
            below.append(f"{name}: {what}: {found.get('msg', 'no reason was given')}")
            continue
        there = [component for component in found["components"] if component["kind"] in (*kinds, "")]
        there.sort(key=lambda component: (_rank(component["kind"]), component["name"]))
        known = {component["name"] for component in found["components"]}
        declared = [spec["name"] for spec in host.get("rbee_components", ()) if spec["kind"] in kinds]
        missing = [component for component in declared if component not in known]
        if not there and not missing:
            below.append(f"{name}: nothing is installed")
        rows += [(name, *row(component)) for component in there]
        rows += [(name, component, "not installed", "-", "-", "-", "-") for component in missing]
        below += [f"{name}: {component['name']}: {note}" for component in there for note in notes(component)]
        if found.get("devices_reason"):
            below.append(f"{name}: {found['devices_reason']}")
        if found["host"]["holder"]:
            below.append(f"{name}: a run of {found['host']['holder'].get('controller')} is changing this host")
    return (table([("HOST", *HEAD), *rows]) if rows else []) + below


def _rank(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"fleet_status": fleet_status}
