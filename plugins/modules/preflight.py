#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find what an installation would stumble over on a host
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Looks at one host for everything that M(rbee.fleet.components) would reject or fail at, all of it at once,
    and changes nothing.
  - First on the controller, the references to secrets, files that are to be copied, and the way to the host. Its name,
    the port, the ssh server, the host key and the login are told apart.
  - Then, where the host was reached, on the host, with the rights of the task. Python, platform, file system, free
    space, memory, service manager, ports, GPUs, packages and clock are compared with what is declared.
  - No secret leaves the controller.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.action
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
  components:
    description:
      - The specifications, as the inventory plugin P(rbee.fleet.hives#inventory) makes them (C(rbee_components)).
    type: list
    elements: dict
    default: []
  tools:
    description: Specifications of the tools a host may need (C(rbee_tools)).
    type: list
    elements: dict
    default: []
  secrets:
    description: References to secrets by name. They are checked on the controller and do not get to the host.
    type: dict
    default: {}
  fleet:
    description: Name of the fleet.
    type: str
    default: default
  scope:
    description: Whether services belong to the system, or to the user the task runs as.
    type: str
    choices: [system, user]
    default: system
  prefix:
    description: Folder of the installation, an absolute path.
    type: path
    default: /opt/rbee
  fetch:
    description: Who fetches what the host lacks.
    type: str
    choices: [host, controller]
    default: host
  sizes:
    description: Bytes of files of the controller, by path. Set by the action plugin.
    type: dict
    default: {}
  now:
    description: The controller's clock, in seconds since the epoch. Set by the action plugin.
    type: float
    default: 0
notes:
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - With C(paramiko) on the controller, which is optional, more causes of a refused login are told apart.
  - The login is tried with the C(ssh) that Ansible uses and its options, in batch mode.
    With a password, Ansible's own connection is the try.
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.findings
"""

EXAMPLES = r"""
- name: Look at every host
  rbee.fleet.preflight:
    components: "{{ rbee_components }}"
    tools: "{{ rbee_tools }}"
    secrets: "{{ rbee_secrets }}"
  register: checked
  ignore_unreachable: true
  failed_when: false
"""

RETURN = r"""
findings:
  description: What was found, empty when nothing is in the way.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The component, or what of the host or of the way to it, such as C(ssh), C(sudo), C(disk).
      type: str
      returned: always
      sample: ssh
    problem:
      description: What is wrong.
      type: str
      returned: always
      sample: nothing listens on gpu-1 port 22 (connection refused)
    fix:
      description: What to do. Empty where the problem says it.
      type: str
      returned: always
      sample: start sshd there or correct ssh_port
    severity:
      description: C(error) when an installation would fail, else C(warning).
      type: str
      returned: always
      sample: error
    host:
      description: C(controller) for what is wrong there. Absent for what is wrong with this host.
      type: str
      returned: for what concerns the controller
      sample: controller
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rbee.fleet.plugins.module_utils import _preflight, _request, _spec

# As for rbee.fleet.components: the digest of rbee-hive is that of files which Ansible has to ship for it.
if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.module_utils import _agent

    SHIPPED = _agent


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            components=dict(type="list", elements="dict", default=[]),
            tools=dict(type="list", elements="dict", default=[]),
            secrets=dict(type="dict", default={}, no_log=True),
            fleet=dict(type="str", default="default"),
            scope=dict(type="str", choices=["system", "user"], default="system"),
            prefix=dict(type="path", default="/opt/rbee"),
            fetch=dict(type="str", choices=["host", "controller"], default="host"),
            sizes=dict(type="dict", default={}),
            now=dict(type="float", default=0),
        ),
        supports_check_mode=True,
    )
    asked = module.params
    try:
        found, there = _preflight.preflight(_request.parse(asked), asked["sizes"], asked["now"])
    except _spec.SpecError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, findings=[dataclasses.asdict(one) for one in found], there=there)


if __name__ == "__main__":
    main()
