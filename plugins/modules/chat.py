#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: chat
short_description: Ask a model through the queen
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Sends a prompt to the queen's C(/v1/chat/completions) and shows the answer line by line, as it comes.
  - The API key is the one of the inventory (C(rbee_secrets)), read on the controller and never shown.
  - Runs on the controller and connects to the queen alone, over HTTP.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.controller
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - The same prompt may get another answer.
  platform:
    support: full
    platforms: posix
options:
  prompt:
    description: What to say.
    type: str
    required: true
  model:
    description: Which model to ask.
    type: str
    required: true
  system:
    description: What the model is told before, as the message of role C(system). Empty for none.
    type: str
    default: ""
  max_tokens:
    description: The most tokens of the answer. Without it the engine decides.
    type: int
  temperature:
    description: How much chance there is in the answer. Without it the engine decides.
    type: float
  timeout:
    description: Seconds of silence after which it is given up.
    type: int
    default: 600
  patience:
    description: Seconds in which the queen may not have seen yet that a worker is up.
    type: int
    default: 0
seealso:
  - module: rbee.fleet.chat_target
"""

EXAMPLES = r"""
- name: Ask
  rbee.fleet.chat:
    model: smollm2
    prompt: What is a hive?
    max_tokens: 100
  run_once: true
  register: said

- name: Show what it took
  ansible.builtin.debug:
    msg: "{{ said.usage }}"
"""

RETURN = r"""
answer:
  description: The whole answer.
  returned: success
  type: str
model:
  description: The model.
  returned: success
  type: str
usage:
  description: The tokens, as the engine counts them; empty where it does not.
  returned: success
  type: dict
  sample: {prompt_tokens: 12, completion_tokens: 25, total_tokens: 37}
finish_reason:
  description: Why the answer ended, for example C(stop), or C(length) at O(max_tokens).
  returned: success
  type: str
seconds:
  description: How long it took.
  returned: success
  type: float
"""
