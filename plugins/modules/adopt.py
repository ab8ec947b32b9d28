#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt
short_description: Declare what was found and is not declared
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Writes workers and models that M(rbee.fleet.components) found on the hosts of the play with
    O(rbee.fleet.components#module:extra=report), and hives that have left with all that is on them, into the
    configuration files, as M(rbee.fleet.config) does.
  - What cannot be declared, for example a worker of a type that the catalog has no more, is named and left out.
  - Runs on the controller and connects to no host. Use it with C(run_once).
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
  register:
    description: Name of the variable in which the hosts have their result.
    type: str
    required: true
  departed:
    description: The hives that have left, as the filter P(rbee.fleet.departed#filter) returns them.
    type: list
    elements: dict
    default: []
notes:
  - Needs the Python package C(tomlkit) on the controller, and files in TOML 1.0.
  - A file is replaced in one rename, keeps its mode and owner, and is edited where a link leads. An edit that is
    interrupted leaves the old file.
seealso:
  - module: rbee.fleet.config
"""

EXAMPLES = r"""
- name: Look
  rbee.fleet.components:
    components: "{{ rbee_components }}"
    extra: report
  register: found
  check_mode: true

- name: Declare what is there
  rbee.fleet.adopt:
    folder: "{{ rbee_fleet.folder }}"
    register: found
  run_once: true
"""

RETURN = r"""
files:
  description: The files that were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [hives.conf]
notes:
  description: What was not adopted, and why.
  returned: success
  type: list
  elements: str
"""
