#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: components
short_description: Converge all components of a host to their specifications
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Takes the resolved specifications of all components of one host, the queen, the hive agent, workers and models,
    and makes the host match, all components at once.
  - Looks first. When nothing differs, nothing is written, restarted or downloaded.
  - Otherwise a process of its own does the work, which a lost connection does not end. The task follows its journal,
    and a later task with the same arguments attaches to it while it runs.
  - Releases are fetched into a staging folder, verified, and named by their content. Release, arguments, environment
    and files are switched with one rename, and back again when the component does not become healthy.
  - A component that fails does not stop the others.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.action
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
  components:
    description:
      - The specifications, as the inventory plugin P(rbee.fleet.hives#inventory) makes them (C(rbee_components)).
      - Required unless O(state=absent).
    type: list
    elements: dict
    default: []
  tools:
    description: Specifications of the tools a host may need, C(python), C(uv), C(supervisor) and C(huggingface)
      (C(rbee_tools)).
    type: list
    elements: dict
    default: []
  fleet:
    description: Name of the fleet. Components of another fleet are never touched.
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
  state:
    description:
      - V(present) installs, updates and starts what is declared.
      - V(absent) removes what the receipts on the host list for this fleet. Models and data stay unless O(purge=true).
        A model that something serves which is not removed with it stays, and is a failure. Of the models among
        O(components), what an unfinished download has left goes too.
      - V(started) and V(stopped) start and stop. A stop holds until the next start, also over a reboot.
    type: str
    choices: [present, absent, started, stopped]
    default: present
  names:
    description: The components that O(state) applies to. Empty means all.
    type: list
    elements: str
    default: []
  only:
    description:
      - The components that the task is about, as O(names). Unlike there, a host without any has nothing to do,
        and is not connected to.
    type: list
    elements: str
    default: []
  kinds:
    description: The kinds of components that O(state=present) and O(state=absent) apply to. Empty means all.
    type: list
    elements: str
    choices: [queen, hive, pull, worker, model]
    default: []
  extra:
    description:
      - With O(state=present), what becomes of components of this fleet that are on the host and not among
        O(components), for example a worker that was installed by hand, or one that has left the configuration.
      - What was installed as temporary from elsewhere is none of these, but for O(temporary=true).
      - With V(ignore) the result does not mention them, with V(report) it has them in the state C(extra).
      - With V(remove) they are removed, after the requests that they are working on. Models stay unless O(purge=true).
    type: str
    choices: [ignore, report, remove]
    default: ignore
  temporary:
    description: With O(extra=remove), remove what was installed as temporary, too.
    type: bool
    default: false
  forget:
    description:
      - Hives that the queen's register is to lose. Those that are declared stay in it.
      - Only where the queen is among O(components).
    type: list
    elements: str
    default: []
  stage:
    description:
      - Where a worker that serves a model has to be restarted, bring to the host what it needs, and change nothing that
        runs. The result then has RV(ignore:staged=true), and a task without this option does the rest.
      - Everywhere else, and in check mode, it makes no difference.
    type: bool
    default: false
  after:
    description:
      - The earlier waves of an upgrade.
      - When one of their hosts failed, the task fails without connecting to this host.
    type: dict
    suboptions:
      hosts:
        description: All hosts of these waves.
        type: list
        elements: str
        required: true
      register:
        description: Name of the variable in which they have their result.
        type: str
        required: true
  purge:
    description:
      - With O(state=absent), remove models, data, and packages that were installed for the fleet, too.
      - With O(extra=remove), the data of what is removed, and models that are not declared and that nothing serves.
    type: bool
    default: false
  force:
    description: Fetch and install again what is already there.
    type: bool
    default: false
  downgrade:
    description:
      - Replace a component by an older version, too. Without it such a component fails and stays as it is, since an
        older configuration or catalog is more often a mistake than a wish.
    type: bool
    default: false
  deep:
    description: Compare the digests of installed files, not only their sizes and modification times.
    type: bool
    default: false
  retry_from:
    description:
      - A result file of M(rbee.fleet.summary) on the controller. Only what failed there is taken up again;
        a host that did not fail is skipped without connecting to it.
    type: str
    default: ""
  secrets:
    description:
      - Secrets by name. V(env:NAME) and V(file:PATH) are read on the controller; anything else is the value itself.
    type: dict
    default: {}
  lock_timeout:
    description: Seconds to wait for another run that is at work on the host.
    type: int
    default: 600
  controller:
    description: Who asks, for the receipts and for those who wait. Set by the action plugin.
    type: str
    default: ""
  program:
    description: Digest of the program that the host keeps for the next task. Set by the action plugin.
    type: str
    default: ""
  fetch:
    description:
      - Who fetches what the host lacks. With V(host) every host does so by itself.
      - With V(controller) the controller fetches it, once for all hosts, and copies it to the host; nothing that the
        host has is fetched or copied again. The host needs no internet. System packages that it lacks are then not
        installed; the component that needs them fails, and says which.
      - The controller keeps what it fetched in C(~/.cache/rbee), or in the folder that its environment variable
        E(RBEE_CACHE) names. It may be deleted at any time between two runs.
    type: str
    choices: [host, controller]
    default: host
  supplies:
    description: What the controller has brought. Set by the action plugin.
    type: dict
    default: {}
  take:
    description: What was copied to the host and is to be taken in. Set by the action plugin.
    type: dict
    suboptions:
      prefix:
        description: Folder of the installation.
        type: path
        required: true
      files:
        description: SHA-256 by path; an empty one for a tar archive of files named by theirs.
        type: dict
        required: true
  follow:
    description: The journal to follow. Set by the action plugin.
    type: dict
    suboptions:
      journal:
        description: Path of the journal.
        type: path
        required: true
      offset:
        description: Bytes of it that are known.
        type: int
        required: true
notes:
  - With Ansible's pipelining the host keeps what this module consists of below O(prefix), as a program that the next
    task calls instead of sending and compiling it again. See C(docs/decisions/kept-program.md).
  - A task with all of the tags C(queen), C(hives) and C(workers) is narrowed to those of them that C(--tags) names.
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - What the controller brings lies in Ansible's C(remote_tmp) on its way, at most 256 MiB or one larger file at a time.
    Where that folder has no room for a large model, set C(ansible_remote_tmp) to one that has.
seealso:
  - module: rbee.fleet.components_info
"""

EXAMPLES = r"""
- name: Make a host match the configuration that the inventory plugin has read
  rbee.fleet.components:
    components: "{{ rbee_components }}"
    tools: "{{ rbee_tools }}"
    secrets: "{{ rbee_secrets }}"
    fleet: "{{ rbee_fleet.name }}"
  become: true

- name: Remove the workers of a host, and their data
  rbee.fleet.components:
    fleet: production
    state: absent
    kinds: [worker]
    purge: true
"""

RETURN = r"""
components:
  description: What became of each component.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The component; its service is C(rbee-) and this name.
      type: str
      returned: always
      sample: llama-cpp
    kind:
      description: One of C(queen), C(hive), C(pull), C(worker), C(model).
      type: str
      returned: always
    state:
      description:
        - One of C(ok), C(installed), C(updated), C(removed), C(started), C(stopped), C(extra), C(rolled-back),
          C(failed).
      type: str
      returned: always
    changed:
      description: Whether anything was, or would be, done to it.
      type: bool
      returned: always
    steps:
      description: What was done, or in check mode what would be.
      type: list
      elements: str
      returned: always
    reason:
      description: Why it failed, was rolled back or is idle; of the queen, which workers leave her map.
      type: str
      returned: always
    logs:
      description: The last lines of a service that did not become healthy.
      type: list
      elements: str
      returned: always
    version:
      description: The version.
      type: str
      returned: always
    variant:
      description: The variant that the host's devices led to.
      type: str
      returned: always
    release:
      description: Name of the installed tree, made from the digest of what is in it.
      type: str
      returned: always
    generation:
      description: Name of the release with its rendered arguments, environment and files.
      type: str
      returned: always
    address:
      description: Where it listens.
      type: str
      returned: always
    port:
      description: The port it listens on; 0 for none.
      type: int
      returned: always
    model:
      description: The model component that it serves.
      type: str
      returned: always
    kept:
      description: Paths that a removal left, since they were changed or added by hand, or hold data.
      type: list
      elements: str
      returned: always
    drift:
      description:
        - How it differed from what is declared before anything was done, with a C(kind) and a C(detail) each.
        - The kinds are C(missing), C(extra), C(version), C(modified), C(stopped), C(unhealthy), C(model), C(arguments),
          C(gateway), C(changed), and C(held), C(left) and C(temporary), which O(state=present) leaves as they are.
      type: list
      elements: dict
      returned: always
      sample: [{kind: version, detail: version 1.2 instead of 1.3}]
    declared:
      description: Of what is extra, the entry of the configuration that would declare it.
      type: dict
      returned: always
      sample: {type: comfyui}
    seconds:
      description: Time spent on it.
      type: float
      returned: always
host:
  description: The same for what the components of the host have in common, its folders, user and tools.
  returned: always
  type: dict
staged:
  description: Whether things were only brought, and nothing that runs was changed. See O(stage).
  returned: with O(stage=true)
  type: bool
standing:
  description: For M(rbee.fleet.waves), how many workers of the host serve each model, and how many have to leave.
  returned: with O(stage=true)
  type: dict
register:
  description:
    - The hives that the queen knows, by alias, with how they are reached and where the fleet is installed there. Those
      that have left the configuration are in it until O(forget) names them.
  returned: where the queen is among O(components)
  type: dict
attached:
  description: Whether the task followed a process that an earlier one had started.
  returned: when true
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> dict[str, t.Any]:
    return dict(
        components=dict(type="list", elements="dict", default=[]),
        tools=dict(type="list", elements="dict", default=[]),
        fleet=dict(type="str", default="default"),
        scope=dict(type="str", choices=["system", "user"], default="system"),
        prefix=dict(type="path", default="/opt/rbee"),
        state=dict(type="str", choices=["present", "absent", "started", "stopped"], default="present"),
        names=dict(type="list", elements="str", default=[]),
        only=dict(type="list", elements="str", default=[]),
        kinds=dict(type="list", elements="str", choices=["queen", "hive", "pull", "worker", "model"], default=[]),
        extra=dict(type="str", choices=["ignore", "report", "remove"], default="ignore"),
        temporary=dict(type="bool", default=False),
        forget=dict(type="list", elements="str", default=[]),
        stage=dict(type="bool", default=False),
        after=dict(
            type="dict",
            options=dict(
                hosts=dict(type="list", elements="str", required=True),
                register=dict(type="str", required=True),
            ),
        ),
        purge=dict(type="bool", default=False),
        force=dict(type="bool", default=False),
        downgrade=dict(type="bool", default=False),
        deep=dict(type="bool", default=False),
        retry_from=dict(type="str", default=""),
        secrets=dict(type="dict", default={}, no_log=True),
        lock_timeout=dict(type="int", default=600),
        controller=dict(type="str", default=""),
        program=dict(type="str", default=""),
        fetch=dict(type="str", choices=["host", "controller"], default="host"),
        supplies=dict(type="dict", default={}),
        take=dict(
            type="dict",
            options=dict(prefix=dict(type="path", required=True), files=dict(type="dict", required=True)),
        ),
        follow=dict(
            type="dict",
            options=dict(journal=dict(type="path", required=True), offset=dict(type="int", required=True)),
        ),
    )


def main() -> None:
    # Not at the top: the controller needs the argument_spec alone.
    from ansible_collections.rbee.fleet.plugins.module_utils import _node

    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.exit_json(**_node.answer(module.params, module.check_mode))


if __name__ == "__main__":
    main()
