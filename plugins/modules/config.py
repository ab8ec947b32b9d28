#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config
short_description: Edit the configuration files of a fleet
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Adds hives, workers and models to C(hives.conf) and C(models.conf), or removes them. Everything else in the
    files stays as it is, byte for byte, with comments, order and formatting.
  - The configuration is checked as it will be, with all its rules. A mistake is reported as by the inventory plugin,
    and then nothing is written.
  - Runs on the controller and connects to no host.
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
  state:
    description:
      - With V(present), each entry is to be there as it is given. One of the same name that differs is an error.
      - With V(absent), it is not to be there. Only its name counts.
    type: str
    choices: [present, absent]
    default: present
  hives:
    description: Tables as in C(hives.conf), each with an C(alias).
    type: list
    elements: dict
    default: []
  workers:
    description: Entries of a hive's C(workers), a list by the hive's alias.
    type: dict
    default: {}
  models:
    description: Tables as in C(models.conf), each with a C(name).
    type: list
    elements: dict
    default: []
notes:
  - Needs the Python package C(tomlkit) on the controller, and files in TOML 1.0.
  - A file is replaced in one rename, keeps its mode and owner, and is edited where a link leads. An edit that is
    interrupted leaves the old file.
seealso:
  - plugin: rbee.fleet.hives
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Declare a hive with a worker, and a second worker of another hive
  rbee.fleet.config:
    folder: "{{ rbee_fleet.folder }}"
    hives:
      - alias: gpu-3
        hostname: 192.168.1.102
        workers: [comfyui]
    workers:
      gpu-1:
        - {type: llama-cpp, name: spare, port: 8090}
  run_once: true

- name: Take a worker out
  rbee.fleet.config:
    folder: "{{ rbee_fleet.folder }}"
    workers:
      gpu-1: [spare]
    state: absent
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [hives.conf]
"""
