#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: agents_info
short_description: What the agents of a fleet's hives and its queen answer
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Asks the agent of every host of the play for its state, and the queen for hers, over HTTP and all at once.
    However many hosts there are and whatever they do, it takes 20 seconds at most.
  - Runs on the controller and connects to nothing else. Use it with C(run_once), and M(rbee.fleet.components_info) on
    the hosts in RV(silent).
  - Reads the host variables C(rbee_components) and C(rbee_secrets), which the inventory plugin
    P(rbee.fleet.hives#inventory) sets, and how Ansible reaches each host. No proxy of the environment is used.
  - An answer that is not of the expected shape, or of an agent of another fleet or prefix, counts as none.
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
  fleet:
    description: Only components of this fleet.
    type: str
    default: default
  prefix:
    description:
      - Folder of the installation. An agent of another one is not listened to.
      - One that does not begin with C(/) differs by user, and is not compared.
    type: str
    default: /opt/rbee
  deep:
    description: Whether digests of installed files matter. Agents do not compare them, so that none is asked then.
    type: bool
    default: false
notes:
  - An agent sees what its own account may see, and looks at installed files once a minute.
  - The queen is asked with the key that C(rbee_secrets) refers to, where she has one. It is never shown.
seealso:
  - module: rbee.fleet.components_info
  - module: rbee.fleet.status
"""

EXAMPLES = r"""
- name: Ask all agents at once
  rbee.fleet.agents_info:
    fleet: "{{ rbee_fleet.name }}"
    prefix: "{{ rbee_fleet.prefix }}"
  run_once: true
  register: agents

- name: Name the hosts whose agent gave no answer
  ansible.builtin.debug:
    var: agents.silent
  run_once: true
"""

RETURN = r"""
hosts:
  description: By host, what its agent answered, as M(rbee.fleet.components_info) returns it.
  returned: always
  type: dict
silent:
  description: By host, why there is no answer.
  returned: always
  type: dict
  sample:
    gpu-2: connection refused on 10.0.0.12:8600
queen:
  description: What the queen answered; empty when no host of the play is hers.
  returned: always
  type: dict
  contains:
    host:
      description: Her host.
      type: str
      returned: with a queen
      sample: queen
    url:
      description: Where she was asked; empty when she cannot be reached from the controller.
      type: str
      returned: with a queen
      sample: http://10.0.0.10:8500
    answers:
      description: Whether she answered C(/health).
      type: bool
      returned: with a queen
      sample: true
    reason:
      description: Why she did not.
      type: str
      returned: with a queen
      sample: ""
    info:
      description: Her C(/v1/info), null when there is none.
      type: dict
      returned: with a queen
      sample: {service: rbee-queen, fleet: default, hives: 2, workers: 3, models: [smollm2], max_request_bytes: 8388608}
    info_reason:
      description: Why there is none.
      type: str
      returned: with a queen
      sample: ""
"""
