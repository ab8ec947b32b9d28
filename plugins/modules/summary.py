#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: summary
short_description: Show and record what a run did on every host
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Collects what M(rbee.fleet.components) returned on the hosts of the play, shows a summary, and writes it to a result
    file on the controller.
  - Runs on the controller and connects to no host. Use it with C(run_once), after a task with C(ignore_unreachable)
    and C(failed_when=false), so that it comes out even when every host failed.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - In check mode the summary says what would change, and the result file is not written.
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
  path:
    description: The result file, JSON. Its folder is created. Empty writes none.
    type: str
    default: ""
  action:
    description: What was done, for the result file.
    type: str
    default: install
  fleet:
    description: Name of the fleet.
    type: str
    default: default
  order:
    description:
      - Where hosts wait to switch to what O(rbee.fleet.components#module:stage=true) has staged there, say in which
        waves, return them, and leave summary and result file to a later task, which follows the last wave.
      - So one task does the work of M(rbee.fleet.waves) and of this module for a play that mostly has no waves.
    type: bool
    default: false
  group:
    description: With O(order=true), the inventory group of all hosts of the fleet.
    type: str
    default: rbee
  notes:
    description: Sentences to show below the summary.
    type: list
    elements: str
    default: []
  on_failure:
    description: A sentence to show there when a host failed.
    type: str
    default: ""
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.waves
"""

EXAMPLES = r"""
- name: Converge
  rbee.fleet.components:
    components: "{{ rbee_components }}"
  register: converged
  failed_when: false
  ignore_unreachable: true

- name: Say what was done
  rbee.fleet.summary:
    register: converged
    path: "{{ inventory_dir }}/.rbee/last-run.json"
  run_once: true
"""

RETURN = r"""
lines:
  description: The summary.
  returned: always
  type: list
  elements: str
hosts:
  description: State (C(ok), C(changed), C(failed), C(unreachable), C(skipped)), reason and components of every host.
  returned: always
  type: dict
path:
  description: The result file, empty when none was written.
  returned: always
  type: str
ansible_stats:
  description:
    - C(rbee_run) with the action, the fleet, the state of every host and what failed, as custom statistics of the run,
      like those of M(ansible.builtin.set_stats). AWX shows them as artifacts of the job.
  returned: when the summary was shown
  type: dict
waves:
  description: Lists of the hosts that wait to switch, in order; empty when the summary was shown. See O(order).
  returned: always
  type: list
  elements: list
"""
