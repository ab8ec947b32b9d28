#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: findings
short_description: Show and record what a validation found
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Collects what M(rbee.fleet.preflight) returned on the hosts of the play, shows each finding on one line with what to
    do, and writes them to a result file on the controller.
  - Runs on the controller and connects to no host. Use it with C(run_once), after a task with C(ignore_unreachable)
    and C(failed_when=false).
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - In check mode the result file is not written.
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
  fleet:
    description: Name of the fleet.
    type: str
    default: default
seealso:
  - module: rbee.fleet.preflight
"""

EXAMPLES = r"""
- name: Look at every host
  rbee.fleet.preflight:
    components: "{{ rbee_components }}"
    tools: "{{ rbee_tools }}"
    secrets: "{{ rbee_secrets }}"
  register: checked
  ignore_unreachable: true
  failed_when: false

- name: Say what was found
  rbee.fleet.findings:
    register: checked
  run_once: true
  register: said
"""

RETURN = r"""
lines:
  description: What was shown.
  returned: always
  type: list
  elements: str
findings:
  description: Every finding once.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host, or C(controller).
      type: str
      returned: always
      sample: gpu-2
    where:
      description: The component, or what of the host or of the way to it.
      type: str
      returned: always
      sample: ssh
    severity:
      description: C(error) when an installation would fail, else C(warning).
      type: str
      returned: always
      sample: error
    problem:
      description: What is wrong.
      type: str
      returned: always
      sample: nothing listens on gpu-2 port 22 (connection refused)
    fix:
      description: What to do.
      type: str
      returned: always
      sample: start sshd there or correct ssh_port
broken:
  description: The hosts on which an installation would fail.
  returned: always
  type: list
  elements: str
path:
  description: The result file, empty when none was written.
  returned: always
  type: str
"""
