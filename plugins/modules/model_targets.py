#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: model_targets
short_description: Find out which models a run is about, and on which hives
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Reads the configuration, and says what M(rbee.fleet.components) is to be given on each hive so that a model is
    brought there, or removed. The playbook C(rbee.fleet.models) is made of the two.
  - A model of C(models.conf) goes to the hives that it is declared for. With O(limited=true) any model goes to all
    hives of the play. Otherwise the task fails for one that is declared for none of them, and says what to type.
  - Runs on the controller and connects to no host. Use it with C(run_once).
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  folder:
    description: The folder of the configuration.
    type: path
    required: true
  model:
    description:
      - Names of models, those of C(models.conf) or repositories of Hugging Face.
      - May be left out where there is a O(url), whose file then gives the name.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) to bring them. V(absent) to remove them, from all hives of the play that have them.
    type: str
    choices: [present, absent]
    default: present
  url:
    description:
      - Where a model comes from that is not in C(models.conf). This and the next ones are keys of a model there.
    type: str
    default: ""
  path:
    description: Its file on the controller.
    type: str
    default: ""
  sha256:
    description: Digest of the file.
    type: str
    default: ""
  file:
    description: The file in the repository or archive that is the model.
    type: str
    default: ""
  revision:
    description: Branch, tag or commit of the repository.
    type: str
    default: ""
  fetch:
    description: Who downloads it, V(host) or V(controller).
    type: str
    default: ""
  limited:
    description: Whether the hives of the play were chosen by whoever runs it, with C(--limit).
    type: bool
    default: false
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.models
"""

EXAMPLES = r"""
- name: Find out what is asked for
  rbee.fleet.model_targets:
    folder: "{{ rbee_fleet.folder }}"
    model: "{{ model }}"
    limited: "{{ ansible_limit is defined }}"
  run_once: true
  register: targets

- name: Bring it
  rbee.fleet.components:
    components: "{{ targets.hosts[inventory_hostname] }}"
    tools: "{{ rbee_tools }}"
    secrets: "{{ targets.secrets }}"
    fleet: "{{ rbee_fleet.name }}"
    prefix: "{{ rbee_fleet.prefix }}"
  become: true
  when: inventory_hostname in targets.hosts
"""

RETURN = r"""
hosts:
  description: Specifications for O(rbee.fleet.components#module:components), by hive.
  returned: success
  type: dict
secrets:
  description: References for O(rbee.fleet.components#module:secrets).
  returned: success
  type: dict
  sample: {hf_token: "env:HF_TOKEN"}
notes:
  description: What there is to know besides, such as that a model is not declared.
  returned: success
  type: list
  elements: str
"""
