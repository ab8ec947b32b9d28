#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: init
short_description: Write the files of a new fleet
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Writes C(rbee.conf), C(hives.conf), C(models.conf), C(rbee.yml), C(ansible.cfg), C(.gitignore) and an API key into a
    folder. Every key of the configuration stands there, with its default and what it is for.
  - A file that exists is kept as it is, so a second run changes nothing.
  - Without hosts, this machine becomes the first hive.
  - What will be in the folder is loaded first. When it has a mistake, nothing is written.
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
  config:
    description: The folder. It is created. A relative path starts at the folder you are in.
    type: str
    default: ~/.config/rbee
  hosts:
    description:
      - Machines that become hives, as C([alias=][user@]host[:port]), a list or separated by commas.
      - An IPv6 address stands in brackets.
    type: raw
    default: []
  ssh_config:
    description:
      - An ssh configuration. Each of its C(Host) entries that is no pattern becomes a hive, reached by that name.
      - When it is not C(~/.ssh/config), the new C(ansible.cfg) tells ssh to read it.
    type: str
    default: ""
  from_inventory:
    description: An Ansible inventory. Its hosts become hives, with their address, user and port.
    type: str
    default: ""
  group:
    description: The group of that inventory whose hosts are taken.
    type: str
    default: all
notes:
  - C(-e hosts=…) makes Ansible warn of a reserved name. It does no harm here.
seealso:
  - plugin: rbee.fleet.hives
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Begin with this machine
  rbee.fleet.init:
    config: ~/.config/rbee

- name: Begin with three machines
  rbee.fleet.init:
    config: fleet
    hosts: [gpu-1, ops@10.0.0.5, "gpu-3=ops@10.0.0.6:2222"]

- name: Take the machines of an inventory
  rbee.fleet.init:
    config: fleet
    from_inventory: inventory/production.yml
    group: gpus
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
  sample: [hives.conf, api_key]
kept:
  description: The files that were there.
  returned: success
  type: list
  elements: str
notes:
  description: What there is to know besides, such as a machine that was given twice.
  returned: success
  type: list
  elements: str
"""
