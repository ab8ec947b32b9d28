#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: models
short_description: Have models on a host, or not
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Downloads models to a host, all at once, or removes them. For inventories of your own; with C(models.conf) the
    playbooks C(rbee.fleet.models) and C(rbee.fleet.install) do the same.
  - The work is that of M(rbee.fleet.components), for these models alone. Downloads go on where they were cut off, are
    verified, and are not begun where the disk has no room for them; a lost connection does not end them.
  - A model that a worker serves is not removed; the task fails and names the worker.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.action
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
  models:
    description:
      - The models. Each is the name of a Hugging Face repository, or a dictionary with the keys that a C([[model]]) of
        C(models.conf) has, except C(hives) and C(pre_download).
      - C(source) may be left out where there is a C(url) or a C(path). A relative C(path) starts at the folder of the
        playbook.
    type: list
    elements: raw
    required: true
  state:
    description:
      - V(present) downloads those that are not there.
      - V(absent) removes them and what an unfinished download has left. The name is all that counts then, and for an
        unfinished download also where the model comes from.
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Download again what is there, for example a branch that has moved.
    type: bool
    default: false
  fetch:
    description: Who downloads, as in M(rbee.fleet.components). The key C(fetch) of a model comes before it.
    type: str
    choices: [host, controller]
    default: host
  hf_token:
    description:
      - Token for Hugging Face. V(env:NAME) and V(file:PATH) are read on the controller; anything else is the value
        itself.
    type: str
    default: ""
  fleet:
    description: Name of the fleet, for the receipts. Models of another fleet are never touched.
    type: str
    default: default
  scope:
    description: Whether the installation belongs to the system, or to the user the task runs as.
    type: str
    choices: [system, user]
    default: system
  prefix:
    description: Folder of the installation, an absolute path.
    type: path
    default: /opt/rbee
  tools:
    description:
      - Specifications of the tools that fetch models (C(rbee_tools)). Without them, those of the collection's catalog.
    type: list
    elements: dict
    default: []
  lock_timeout:
    description: Seconds to wait for another run that is at work on the host.
    type: int
    default: 600
notes:
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - M(rbee.fleet.components_info) tells which models a host has, their size, and what serves them.
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.components_info
"""

EXAMPLES = r"""
- name: Have two models
  rbee.fleet.models:
    hf_token: env:HF_TOKEN
    models:
      - HuggingFaceTB/SmolLM2-135M-Instruct
      - name: qwen-small
        url: https://example.com/qwen.gguf
        sha256: 4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865
  become: true

- name: Remove one
  rbee.fleet.models:
    models: [qwen-small]
    state: absent
  become: true
"""

RETURN = r"""
components:
  description: What became of each model, as M(rbee.fleet.components) returns it.
  returned: always
  type: list
  elements: dict
  sample: [{name: model-qwen-small, kind: model, state: installed, changed: true}]
host:
  description: The same for what was done to the host itself, its folders and tools; null where there was nothing to do.
  returned: always
  type: dict
"""
