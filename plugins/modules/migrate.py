#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migrate
short_description: Write a configuration of what was found on machines
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Writes C(rbee.conf), C(hives.conf), C(models.conf) and what M(rbee.fleet.init) writes beside them, of what
    M(rbee.fleet.machine_info) returned. A fleet is declared as its receipts have it, and engines that nobody declared
    as workers. What cannot be declared stands in the files as a comment, with the reason, and in RV(notes).
  - A file that exists is kept as it is, so a second run changes nothing.
  - What will be in the folder is loaded first. When it has a mistake, or when a machine could not be looked at,
    nothing is written.
  - Runs on the controller and connects to no host.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  folder:
    description: The folder, an absolute path. It is created.
    type: path
    required: true
  machines:
    description: The machines, as M(rbee.fleet.machines) returns them. Each is a host of the inventory by its alias.
    type: list
    elements: dict
    required: true
  register:
    description: The variable with what M(rbee.fleet.machine_info) returned for each.
    type: str
    required: true
  fleet:
    description: The fleet to declare, where the machines have components of several.
    type: str
    default: ""
  without:
    description: Aliases of hives that the queen knows and that are left out. C(queen) where there is none.
    type: list
    elements: str
    default: []
  ssh_config:
    description: An ssh configuration that the new C(ansible.cfg) tells ssh to read.
    type: str
    default: ""
  notes:
    description: Notes to show with those of this module.
    type: list
    elements: str
    default: []
seealso:
  - module: rbee.fleet.machines
  - module: rbee.fleet.machine_info
  - module: rbee.fleet.adopt
"""

EXAMPLES = r"""
- name: Write what is not there yet
  rbee.fleet.migrate:
    folder: "{{ given.folder }}"
    machines: "{{ given.machines }}"
    register: found
"""

RETURN = r"""
folder:
  description: The folder, an absolute path.
  returned: success
  type: str
written:
  description: The files that were written, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [rbee.conf, hives.conf, models.conf]
kept:
  description: The files that were there.
  returned: success
  type: list
  elements: str
found:
  description: What was found, a line for each machine.
  returned: success
  type: list
  elements: str
  sample: ["gpu-1: hive, llama-cpp of fleet default; vllm on port 8001 (vllm.service)"]
notes:
  description: What the files do not say, and what to do before an installation.
  returned: success
  type: list
  elements: str
"""
