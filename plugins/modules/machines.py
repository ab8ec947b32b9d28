#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machines
short_description: Read the machines that a user names
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Reads machines from a list, an ssh configuration, a C(hives.conf) of rbee in its older format or an Ansible
    inventory. The playbook C(rbee.fleet.migrate) then looks at them.
  - Without any, it is this machine.
  - Runs on the controller and connects to no host.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing.
  diff_mode:
    support: N/A
    details:
      - Changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  config:
    description:
      - The folder that M(rbee.fleet.migrate) is to write into.
      - A C(hives.conf) there in the older format is refused.
    type: str
    default: ~/.config/rbee
  hosts:
    description: Machines, as for M(rbee.fleet.init).
    type: raw
    default: []
  ssh_config:
    description:
      - An ssh configuration. Each of its C(Host) entries that is no pattern is a machine, reached by that name.
    type: str
    default: ""
  hives_conf:
    description: A C(hives.conf) in the older format of rbee, which is like an ssh configuration.
    type: str
    default: ""
  from_inventory:
    description: An Ansible inventory. Its hosts are machines.
    type: str
    default: ""
  group:
    description: The group of that inventory whose hosts are taken.
    type: str
    default: all
  without:
    description: Aliases of machines to leave out.
    type: list
    elements: str
    default: []
seealso:
  - module: rbee.fleet.migrate
  - module: rbee.fleet.machine_info
"""

EXAMPLES = r"""
- name: Take the machines of an older file
  rbee.fleet.machines:
    config: fleet
    hives_conf: ~/.config/rbee/hives.conf
  register: given
"""

RETURN = r"""
machines:
  description: For each, C(machine), as M(rbee.fleet.migrate) takes it, and the connection variables of a host.
  returned: success
  type: list
  elements: dict
folder:
  description: O(config) as an absolute path.
  returned: success
  type: str
notes:
  description: What there is to know besides, such as a machine that was given twice.
  returned: success
  type: list
  elements: str
ssh_config:
  description: The ssh configuration that the machines are aliases of, when it is not C(~/.ssh/config).
  returned: success
  type: str
"""
