#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: chat_target
short_description: Find who serves a model, or the hive it is to be brought to
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Asks the queen which models are served. Without O(model), the only one is taken.
  - For a model that nobody serves, asks every hive through the queen how it is, chooses the least loaded one that the
    model fits on, says so, and declares a temporary worker there. It has to be installed afterwards.
  - Where it fits nowhere, says why for each hive.
  - For the playbook C(rbee.fleet.chat). Runs on the controller and connects to the queen, and to where the model
    comes from, for its size.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
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
  folder:
    description: The folder of the configuration (C(rbee_fleet.folder)).
    type: path
    required: true
  model:
    description: The model. One that is not declared is a repository of Hugging Face.
    type: str
    default: ""
  file:
    description: The file of that repository that is the model.
    type: str
    default: ""
  serve:
    description: Whether a model that nobody serves is brought.
    type: bool
    default: true
  prompt:
    description: What is to be asked, for a look before anything is brought.
    type: str
    default: ""
  max_tokens:
    description: As for M(rbee.fleet.chat), likewise.
    type: raw
  temperature:
    description: As for M(rbee.fleet.chat), likewise.
    type: raw
seealso:
  - module: rbee.fleet.chat
  - module: rbee.fleet.one_off
"""

EXAMPLES = r"""
- name: Find who serves it
  rbee.fleet.chat_target:
    folder: "{{ rbee_fleet.folder }}"
    model: org/name
    prompt: What is a hive?
    serve: false
  run_once: true
  register: target
"""

RETURN = r"""
model:
  description: The model.
  returned: success
  type: str
brought:
  description: Whether its worker is to be installed first.
  returned: success
  type: bool
hosts:
  description: The components to install for that, by host.
  returned: success
  type: dict
pattern:
  description: A pattern of these hosts, or of none.
  returned: success
  type: str
hive:
  description: The hive it is brought to.
  returned: when it is served by nobody
  type: str
worker:
  description: The worker that is to serve it.
  returned: when it is served by nobody
  type: str
"""
