#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: components_info
short_description: What a host really has
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Checks the receipts of a host against its files, services and ports, and asks every running component for its
    health, all at once. The hive agent answers C(/v1/state) with the same.
  - What cannot be found out is null with a reason. One broken component never hides the others, and a host where
    nothing is installed has no components.
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
  fleet:
    description: Only components of this fleet. Empty means all.
    type: str
    default: ""
  scope:
    description: Whether services belong to the system, or to the user the task runs as.
    type: str
    choices: [system, user]
    default: system
  prefix:
    description: Folder of the installation, an absolute path.
    type: path
    default: /opt/rbee
  deep:
    description: Compare the digests of installed files, not only their sizes and modification times.
    type: bool
    default: false
notes:
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - Without the rights of the services' owner some of the answer is null.
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.gpu_info
"""

EXAMPLES = r"""
- name: Look at the hosts of a fleet
  hosts: rbee
  gather_facts: false
  become: true
  tasks:
    - name: Look
      rbee.fleet.components_info:
        prefix: "{{ rbee_fleet.prefix }}"
      register: found

    - name: Fail where a worker does not answer
      ansible.builtin.assert:
        that: found.components | selectattr('healthy', 'false') | length == 0
"""

RETURN = r"""
components:
  description: Every component that has a folder on the host.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The component; its service is C(rbee-) and this name.
      type: str
      returned: always
      sample: llama-cpp
    type:
      description: The catalog's name for what it is.
      type: str
      returned: always
      sample: llama-cpp
    kind:
      description: One of C(queen), C(hive), C(pull), C(worker), C(model).
      type: str
      returned: always
      sample: worker
    fleet:
      description: Whose it is.
      type: str
      returned: always
      sample: default
    version:
      description: The version.
      type: str
      returned: always
      sample: "2026.10"
    variant:
      description: The variant that the host's devices led to.
      type: str
      returned: always
      sample: cuda
    release:
      description: Name of the installed tree, made from the digest of what is in it.
      type: str
      returned: always
      sample: 549eccd6711e
    generation:
      description: Name of the release with its rendered arguments, environment and files; empty for a model.
      type: str
      returned: always
      sample: 0e4a4465c83e
    address:
      description: Where it listens.
      type: str
      returned: always
      sample: 10.0.0.11
    port:
      description: The port it listens on; 0 for none.
      type: int
      returned: always
      sample: 8080
    model:
      description: The model component that it serves.
      type: str
      returned: always
      sample: model-smollm2
    models:
      description: The names that clients use for the models it serves, alone or on demand.
      type: list
      elements: str
      returned: when it could be read
      sample: [smollm2]
    served_name:
      description: The name clients use for the model; for a worker that serves several on demand empty.
      type: str
      returned: always
      sample: smollm2
    state:
      description:
        - C(running); C(starting), when it runs and may still become ready; C(restarting), after it failed;
          C(failed), of a pull also when its last run failed; C(stopped); C(held), stopped on request; C(idle), with
          nothing to serve; C(installed), a model.
        - Null when it cannot be found out; RV(components[].reason) says why.
      type: str
      returned: always
      sample: running
    reason:
      description: Why it is in that state, where there is something to say.
      type: str
      returned: always
      sample: exited with 1
    healthy:
      description: Whether it answered that it is ready. Null when it does not run or cannot be asked.
      type: bool
      returned: always
      sample: true
    health:
      description: What it answered, in words.
      type: str
      returned: always
      sample: answered 200
    pid:
      description: Its main process. Null when it has none or it cannot be found out.
      type: int
      returned: always
      sample: 4711
    since:
      description: When it was started, in seconds since the epoch. Null when it does not run.
      type: float
      returned: always
      sample: 1795417028.0
    restarts:
      description: Restarts by the service manager since the last start. Null where it does not count them.
      type: int
      returned: always
      sample: 0
    auto_start:
      description: Whether it is to run, and to be started at boot.
      type: bool
      returned: always
      sample: true
    held:
      description: Whether it was stopped on request, which holds until it is started.
      type: bool
      returned: always
      sample: false
    temporary:
      description: Whether it is in the configuration of whoever installed it, and not in the files that others have.
      type: bool
      returned: always
      sample: false
    problems:
      description: Where files, service definition or model are not as installed.
      type: list
      elements: str
      returned: always
      sample: ["release 549eccd6711e: modified: bin/python"]
    last_run:
      description: Of a pull, how its last run ended. Null of everything else, and when there was none.
      type: dict
      returned: always
      contains:
        time:
          description: When it ended, ISO 8601, UTC.
          type: str
          returned: always
          sample: "2026-11-25T22:47:12Z"
        seconds:
          description: How long it took.
          type: float
          returned: always
          sample: 6.2
        rc:
          description: Its exit status; 0 when all went well.
          type: int
          returned: always
          sample: 0
        commit:
          description: The commit of the repository that it had; empty when it got none.
          type: str
          returned: always
          sample: 0f3b1de4c31f5cd10a0a6b0d2b9eb5e5a3c3f1aa
        reason:
          description: Why it failed; empty when it did not.
          type: str
          returned: always
          sample: ""
    bytes:
      description: Bytes of a model on the disk. Null where its record is gone.
      type: int
      returned: for a model
      sample: 102760448
    source:
      description: Where a model comes from, with C(kind), and C(url) and C(sha256) or C(repository) and C(revision).
      type: dict
      returned: for a model
    used_by:
      description: The workers that serve a model.
      type: list
      elements: str
      returned: for a model
      sample: [llama-cpp]
downloads:
  description:
    - Downloads that were begun and not ended; the next run goes on with them, and C(state=absent) discards them.
    - With the C(bytes) that are there, and either C(sha256) of the whole file, or C(repository) and C(revision) of a
      model of Hugging Face, in the letters that a folder's name may have.
  returned: always
  type: list
  elements: dict
  sample: [{bytes: 4096, sha256: "", repository: org--model, revision: main}]
devices:
  description: The GPUs, as M(rbee.fleet.gpu_info) returns them. Null when they cannot be found out.
  returned: always
  type: list
  elements: dict
devices_reason:
  description: What could not be found out of the GPUs, and why; empty when all is well.
  returned: always
  type: str
  sample: ""
host:
  description: What the components have in common.
  returned: always
  type: dict
  contains:
    free_bytes:
      description: Bytes that are free where the fleet is installed.
      type: int
      returned: always
    memory_total_bytes:
      description: Memory of the host, not of its GPUs; null where it cannot be read.
      type: int
      returned: always
    memory_available_bytes:
      description: What of it a new program could have.
      type: int
      returned: always
    platform:
      description: System and architecture.
      type: str
      returned: always
      sample: linux-x86_64
    python:
      description: Version of the Python that answered.
      type: str
      returned: always
      sample: 3.12.1
    interpreter:
      description: Its path.
      type: str
      returned: always
      sample: /usr/bin/python3
    prefix:
      description: Folder of the installation.
      type: str
      returned: always
      sample: /opt/rbee
    service_manager:
      description: C(systemd) or C(supervisor); null when there is none that could be used.
      type: str
      returned: always
      sample: systemd
    device_kinds:
      description: The kinds of GPU whose driver is loaded, of C(nvidia), C(amd), C(intel), C(vulkan).
      type: list
      elements: str
      returned: always
      sample: [nvidia]
    busy:
      description: Whether a run is changing the host right now; null when that cannot be found out.
      type: bool
      returned: always
      sample: false
    holder:
      description: Who does, with C(pid), C(controller) and C(since); null when nobody does.
      type: dict
      returned: always
    reasons:
      description: Why something of these is null, by its name.
      type: dict
      returned: always
      sample: {}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rbee.fleet.plugins.module_utils import _observed


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            fleet=dict(type="str", default=""),
            scope=dict(type="str", choices=["system", "user"], default="system"),
            prefix=dict(type="path", default="/opt/rbee"),
            deep=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    asked = module.params
    if not asked["prefix"].startswith("/"):
        module.fail_json(msg=f"prefix is {asked['prefix']!r}, expected an absolute path")
    try:
        found = _observed.observe(asked["prefix"], asked["scope"], asked["fleet"], _observed.Trees(deep=asked["deep"]))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or asked['prefix']} cannot be looked at: {error.strerror}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
