#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: Show what was found on the hosts of a fleet
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Puts together what M(rbee.fleet.agents_info) and M(rbee.fleet.components_info) found on the hosts of the play,
    compares it with what is declared for them, shows it, and writes it to a JSON file if asked to.
  - Runs on the controller and connects to no host. Use it with C(run_once), after a task with C(ignore_unreachable)
    and C(failed_when=false), so that it comes out even when no host could be looked at.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - In check mode the file is not written.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  register:
    description: Name of the variable that has the result of M(rbee.fleet.components_info) on hosts where it ran.
    type: str
    required: true
  agents:
    description: Name of the variable that has the result of M(rbee.fleet.agents_info). Empty when it did not run.
    type: str
    default: ""
  fleet:
    description: Name of the fleet.
    type: str
    default: default
  path:
    description: The file for the JSON document. Its folder is created. Empty writes none.
    type: str
    default: ""
seealso:
  - module: rbee.fleet.agents_info
  - module: rbee.fleet.components_info
"""

EXAMPLES = r"""
- name: Look at every host
  rbee.fleet.components_info:
    prefix: "{{ rbee_fleet.prefix }}"
  register: found
  failed_when: false
  ignore_unreachable: true

- name: Show it
  rbee.fleet.status:
    register: found
    path: /var/lib/monitoring/fleet.json
  run_once: true
"""

RETURN = r"""
lines:
  description: What was shown.
  returned: always
  type: list
  elements: str
status:
  description: The document; C(docs/status.md) of the collection describes it.
  returned: always
  type: dict
not_looked_at:
  description: By host, why it could not be looked at.
  returned: always
  type: dict
  sample:
    gpu-3: "Failed to connect to the host via ssh: No route to host"
path:
  description: The file, empty when none was written.
  returned: always
  type: str
"""
