#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Write what was chosen for a fleet into rbee.lock
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Pins what a fleet takes from outside its configuration, in C(rbee.lock) beside it. Those are the versions that
    V(latest) stands for, with all digests, the tools, and the commits of Hugging Face models.
  - What is locked and still used stays. What is new in the configuration is added, what has left it is dropped.
  - Of a model that is new, the hub is asked for the commit, from the controller. Where that cannot be, hives can be
    asked with M(rbee.fleet.hub_info), and a second task locks what the first of them was told. Of what nobody can find
    out there is a warning, and the model is not locked.
  - Runs on the controller and connects to no host. Use it with C(run_once), and have the inventory read anew after it.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: full
    details:
      - In check mode the file is not written, and the rest of the run goes by what would be in it.
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
  update:
    description: Choose all of it anew.
    type: bool
    default: false
  frozen:
    description: Change nothing, and fail where something would have to be changed.
    type: bool
    default: false
  unpinned:
    description: In a second task, what the first returned as RV(unpinned).
    type: dict
    default: {}
  told:
    description:
      - In a second task, the name of the variable that M(rbee.fleet.hub_info) was registered under on the hives of the
        play. Of several hives that were told, the first by name counts.
    type: str
    default: ""
notes:
  - For the hub, the token of C(rbee.conf) and the environment of the controller count, C(HF_TOKEN), C(HF_ENDPOINT),
    C(HF_HUB_OFFLINE) and proxies.
  - Where the folder cannot be written to, what was chosen counts for the run at hand, with a warning.
seealso:
  - plugin: rbee.fleet.hives
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Lock what is new in the configuration
  rbee.fleet.lock:
    folder: "{{ rbee_fleet.folder }}"
  run_once: true

  register: rbee_locked

- name: Ask hives what the hub does not tell the controller
  rbee.fleet.hub_info:
    models: "{{ rbee_locked.ask[inventory_hostname] }}"
    secrets: "{{ rbee_secrets }}"
  register: rbee_told
  when: inventory_hostname in rbee_locked.ask

- name: Lock what they were told
  rbee.fleet.lock:
    folder: "{{ rbee_fleet.folder }}"
    unpinned: "{{ rbee_locked.unpinned }}"
    told: rbee_told
  run_once: true
  when: rbee_locked.ask | length > 0

- name: Go by it
  ansible.builtin.meta: refresh_inventory
"""

RETURN = r"""
changes:
  description: What is locked otherwise than before.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: A type of the catalog, or a model.
      type: str
    before:
      description: The version or the commit that was locked, empty where there was none.
      type: str
    after:
      description: The one that is locked now, empty where there is none.
      type: str
  sample: [{name: llama-cpp, before: "2026.10", after: "2027.01"}]
unpinned:
  description: The models of which the hub said nothing, each with the reason.
  returned: success
  type: dict
ask:
  description: The hives of the play that can be asked for some of these, each with revisions by model.
  returned: success, and O(told) is not given
  type: dict
  sample: {gpu-1: {organisation/model: main}}
"""
