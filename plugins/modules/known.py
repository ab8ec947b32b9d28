#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: known
short_description: Stop at a name that is not known, and say which is nearest
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Fails where a variable of the command line names something that is not there.
    Ansible itself takes a host that it does not know for success.
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
  variable:
    description: The variable that has the names, for the message.
    type: str
    required: true
  names:
    description: The names. There has to be at least one.
    type: list
    elements: str
    required: true
  valid:
    description: The names that are known.
    type: list
    elements: str
    required: true
  what:
    description: What they are names of, for the message.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Stop when there is no such hive
  rbee.fleet.known:
    variable: alias
    names: "{{ [alias] }}"
    valid: "{{ groups['rbee_hives'] }}"
    what: hive
  run_once: true
"""

RETURN = r"""
{}
"""
