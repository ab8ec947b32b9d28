#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: waves
short_description: Order the hosts that wait to switch to what is staged
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Collects what M(rbee.fleet.components) with O(rbee.fleet.components#module:stage=true) returned on the hosts of the
    play, and divides those that wait into waves, so that every model with more than one replica keeps being served.
  - Says which models nobody serves for a while, since they have one replica.
  - Of hosts that the play leaves out it is assumed that they serve what is declared for them.
  - Runs on the controller and connects to no host. Use it with C(run_once).
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
  register:
    description: Name of the variable in which the hosts have their result.
    type: str
    required: true
  group:
    description: The inventory group of all hosts of the fleet.
    type: str
    default: rbee
seealso:
  - module: rbee.fleet.components
"""

EXAMPLES = r"""
- name: Bring what is needed, and change what takes no worker from its users
  rbee.fleet.components:
    components: "{{ rbee_components }}"
    stage: true
  register: converged
  failed_when: false
  ignore_unreachable: true

- name: Order the rest
  rbee.fleet.waves:
    register: converged
  run_once: true
  register: order

# In wave.yml, include a file with a task for those of which "inventory_hostname in wave" is true.
- name: Switch, one wave after the other
  ansible.builtin.include_tasks: wave.yml
  loop: "{{ order.waves }}"
  loop_control:
    loop_var: wave
"""

RETURN = r"""
waves:
  description: Lists of hosts, in order.
  returned: always
  type: list
  elements: list
downtime:
  description: The host of its only replica, by model, for the models that are not served for a while.
  returned: always
  type: dict
"""
