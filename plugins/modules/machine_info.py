#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: machine_info
short_description: What runs on a machine, whoever installed it
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Finds what any fleet has installed, by its receipts.
  - Finds inference engines that were installed otherwise, as a process or as a systemd service that does not run. These
    are vLLM, C(llama-server), ComfyUI and Ollama.
  - The playbook C(rbee.fleet.migrate) makes a configuration of it.
extends_documentation_fragment:
  - rbee.fleet.attributes
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
  prefixes:
    description:
      - Folders of installations to look into.
      - By default, C(/opt/rbee), C(~/.local/share/rbee) of the login user, and wherever an agent runs.
    type: list
    elements: path
    default: []
  engines:
    description: Whether to look for engines that no fleet has installed.
    type: bool
    default: true
notes:
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - Needs the rights of root to see environment, GPUs and sockets of other users' processes. RV(blind) says what is
    missing.
  - Options and variables that may hold a secret are left out on the host; RV(engines[].hidden) has their names.
seealso:
  - module: rbee.fleet.components_info
  - module: rbee.fleet.gpu_info
"""

EXAMPLES = r"""
- name: Look
  rbee.fleet.machine_info:
  register: found
  become: true

- name: Say which engines nobody declared
  ansible.builtin.debug:
    msg: "{{ item.type }} on port {{ item.port }}, process {{ item.pid }}"
  loop: "{{ found.engines }}"
"""

RETURN = r"""
installations:
  description: One for each prefix in which there is something.
  returned: always
  type: list
  elements: dict
  contains:
    prefix:
      description: The folder.
      type: str
      returned: always
      sample: /opt/rbee
    scope:
      description: C(system) or C(user).
      type: str
      returned: always
      sample: system
    has_key:
      description: Whether its queen asks clients for a key.
      type: bool
      returned: always
      sample: false
    receipts:
      description: The record of each component, of whatever fleet.
      type: list
      elements: dict
      returned: always
engines:
  description: Engines that no fleet has installed.
  returned: always
  type: list
  elements: dict
  contains:
    type:
      description: C(vllm), C(llama-cpp), C(comfyui) or C(ollama).
      type: str
      returned: always
      sample: vllm
    state:
      description: C(running), or C(stopped) for a service that does not run.
      type: str
      returned: always
      sample: running
    pid:
      description: Its process; 0 when it does not run.
      type: int
      returned: always
      sample: 4711
    port:
      description: Where it listens, or would.
      type: int
      returned: always
      sample: 8000
    unit:
      description: The systemd service that runs it; empty when there is none, or in a container.
      type: str
      returned: always
      sample: vllm.service
    of_user:
      description: Whether that service is one of a user's own.
      type: bool
      returned: always
      sample: false
    container:
      description: The container that it runs in.
      type: str
      returned: always
      sample: docker 3f2a9c1b7d44
    model:
      description:
        - Where its model is from, a C(repository) with C(revision) and C(file), a C(path), or a C(url).
        - Null without one.
      type: dict
      returned: always
    names:
      description: What clients may call its model, where that was told.
      type: list
      elements: str
      returned: always
      sample: [llama]
    folder:
      description: The folder of its data or models, where it has one.
      type: str
      returned: always
      sample: /srv/ComfyUI
    gpus:
      description:
        - The GPUs that it may use, numbered as by M(rbee.fleet.gpu_info).
        - Null when nobody told it, empty when it is to use none.
      type: list
      elements: int
      returned: always
      sample: [0, 1]
    gpus_reason:
      description: What is uncertain about the GPUs.
      type: str
      returned: always
      sample: ""
    arguments:
      description: The rest of its command line.
      type: list
      elements: str
      returned: always
      sample: ["--max-model-len", "8192"]
    env:
      description: Variables of its environment that are meant for it.
      type: dict
      returned: always
      sample: {"VLLM_LOGGING_LEVEL": "INFO"}
    hidden:
      description: Names of options and variables that may hold a secret.
      type: list
      elements: str
      returned: always
      sample: ["--api-key"]
problems:
  description: Installations that cannot be read, and why.
  returned: always
  type: list
  elements: str
  sample: []
blind:
  description: What cannot be seen for lack of a right; empty when all can.
  returned: always
  type: str
  sample: ""
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rbee.fleet.plugins.module_utils import _machine


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            prefixes=dict(type="list", elements="path", default=[]),
            engines=dict(type="bool", default=True),
        ),
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **_machine.look(module.params["prefixes"], module.params["engines"]))


if __name__ == "__main__":
    main()
