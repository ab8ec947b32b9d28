#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drift
short_description: Show and record how a fleet differs from its configuration
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Collects the drift that M(rbee.fleet.components) returned on the hosts of the play, and what was found of hives that
    have left the configuration, shows it, and writes it to a result file on the controller.
  - Runs on the controller and connects to no host. Use it with C(run_once), after tasks with C(ignore_unreachable) and
    C(failed_when=false).
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - In check mode what differs counts as drift. Otherwise what the run repaired does not.
      - The result file is written in check mode too.
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
  departed:
    description:
      - The hives that have left, as the filter P(rbee.fleet.departed#filter) returns them.
      - Their hosts have what M(rbee.fleet.components) found in C(rbee_found), what its removal did in C(rbee_removed),
        and what was left after it in C(rbee_left).
    type: list
    elements: dict
    default: []
  notes:
    description: Sentences to show below the hosts.
    type: list
    elements: str
    default: []
  extra:
    description: What was to become of components that are not declared, C(report), C(remove) or C(adopt).
    type: str
    default: report
  fleet:
    description: Name of the fleet.
    type: str
    default: default
  path:
    description: The result file, JSON. Its folder is created. Empty writes none.
    type: str
    default: ""
seealso:
  - module: rbee.fleet.components
"""

EXAMPLES = r"""
- name: Look
  rbee.fleet.components:
    components: "{{ rbee_components }}"
    extra: report
  register: converged
  failed_when: false
  ignore_unreachable: true
  check_mode: true

- name: Say what differs
  rbee.fleet.drift:
    register: converged
    path: "{{ inventory_dir }}/.rbee/last-sync.json"
  run_once: true
  check_mode: true
"""

RETURN = r"""
result:
  description: C(failed) with any failure, else C(drift) with anything that differs by now, else C(clean).
  returned: always
  type: str
drift:
  description:
    - Each difference, with C(host), C(component) (empty for a host as a whole), C(kind), C(detail), and in C(now) what
      has become of it, C(differs), C(repaired) or C(failed).
    - The kinds are those of RV(rbee.fleet.components#module:components[].drift), and for a hive that has left the
      configuration C(departed), or C(unreachable) where it could not be looked at.
  returned: always
  type: list
  elements: dict
notes:
  description: What is told and does not count, with C(host), C(component), C(kind) and C(detail).
  returned: always
  type: list
  elements: dict
failures:
  description: What failed, with C(host), C(component) and C(reason).
  returned: always
  type: list
  elements: dict
forgotten:
  description: Hives that have left and of which nothing is left, so that the queen need not know them any more.
  returned: always
  type: list
  elements: str
lines:
  description: What was shown.
  returned: always
  type: list
  elements: str
path:
  description: The result file, empty when none was written.
  returned: always
  type: str
ansible_stats:
  description:
    - C(rbee_run) with the result, the fleet and the state of every host, as custom statistics of the run, like those of
      M(ansible.builtin.set_stats). AWX shows them as artifacts of the job.
  returned: always
  type: dict
"""
