#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: models_info
short_description: Show the models of the hosts of a fleet
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Compares what M(rbee.fleet.components_info) found on the hosts of the play with what is declared for them, and shows
    it, also as JSON.
  - Runs on the controller and connects to no host. Use it with C(run_once).
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing. In check mode the file is not written.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  register:
    description: Name of the variable that has the result of M(rbee.fleet.components_info).
    type: str
    required: true
  fleet:
    description: Name of the fleet.
    type: str
    default: default
  path:
    description: The file for the JSON document. Its folder is created. Empty writes none.
    type: str
    default: ""
seealso:
  - module: rbee.fleet.components_info
  - module: rbee.fleet.models
"""

EXAMPLES = r"""
- name: Look at every host
  rbee.fleet.components_info:
    prefix: "{{ rbee_fleet.prefix }}"
  register: found
  failed_when: false
  ignore_unreachable: true
  become: true

- name: Show their models
  rbee.fleet.models_info:
    register: found
  run_once: true
"""

RETURN = r"""
lines:
  description: What was shown.
  returned: always
  type: list
  elements: str
models:
  description: The same as a document; C(docs/models.md) has its format.
  returned: always
  type: dict
not_looked_at:
  description: Hosts that could not be looked at, and why.
  returned: always
  type: dict
path:
  description: The file, empty when none was written.
  returned: always
  type: str
"""
