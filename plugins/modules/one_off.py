#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_off
short_description: Declare a hive or a worker that the command line describes
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Reads the variables that C(-e) gives, checks them with the rules of the configuration files, and adds the entry to
    those files, or takes it out. Everything else in the files stays as it is, byte for byte.
  - With the variable C(temp) the files stay as they are, and the entry goes to C(.rbee/temporary.conf) beside them,
    which the inventory reads as well.
  - Every mistake is named by its variable, an unknown one with the nearest valid name, and then nothing is written.
  - For the playbooks C(rbee.fleet.install_hive), C(rbee.fleet.install_worker), C(rbee.fleet.remove_hive) and
    C(rbee.fleet.remove_worker). Runs on the controller and connects to no host.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  folder:
    description: The folder of the configuration (C(rbee_fleet.folder)).
    type: path
    required: true
  what:
    description: What the variables describe.
    type: str
    choices: [hive, worker]
    required: true
  state:
    description: Whether it is to be declared, or taken out.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Needs the Python package C(tomlkit) on the controller, and files in TOML 1.0.
seealso:
  - module: rbee.fleet.config
"""

EXAMPLES = r"""
# ansible-playbook … -e hive=gpu-1 -e type=llama-cpp -e name=spare -e port=8090
- name: Declare the worker of the command line
  rbee.fleet.one_off:
    folder: "{{ rbee_fleet.folder }}"
    what: worker
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [hives.conf]
hosts:
  description: The components that are concerned, by host.
  returned: success
  type: dict
  sample: {gpu-1: [hive, spare], queen: [queen]}
pattern:
  description: A pattern of these hosts; in check mode one of none.
  returned: success
  type: str
name:
  description: The hive or the worker.
  returned: success
  type: str
declared:
  description: Whether it stands in any of the files, or did before it was taken out.
  returned: success
  type: bool
file:
  description: The file in which it stands, or did; empty for none.
  returned: success
  type: str
"""
