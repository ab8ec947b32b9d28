# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs before any of its components: folders, account, tools, a service manager that runs. Reads only."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _host, _kept, _store
from ansible_collections.rbee.fleet.plugins.module_utils._digest import SHORT
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import is_brought
from ansible_collections.rbee.fleet.plugins.module_utils._plan import ACCOUNT, FETCH, FOLDERS, KEEP, START, Plan, Step
from ansible_collections.rbee.fleet.plugins.module_utils._request import HOST, PRESENT, Request
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, HostFacts

PYTHON, UV, SUPERVISOR = "python", "uv", "supervisor"


def plan_of_host(
    request: Request,
    layout: Layout,
    facts: HostFacts,
    manager: ServiceManager,
    tools: t.Mapping[str, Build],
    sources: t.Sequence[Source],
    serves: bool,
    interpreters: t.Collection[str],
    accounts: t.Collection[str],
) -> Plan:
    """sources: what is to be fetched. serves: whether anything is to be done to a service.

    interpreters: those that the environments of the components are built on. accounts: users that components run as.
    """
    steps = []
    if not all(os.path.isdir(path) for path in layout.folders):
        steps.append(Step(FOLDERS, layout.prefix))
    steps += [Step(ACCOUNT, name) for name in sorted(accounts) if not _host.account_exists(name)]
    # Before all that takes long, since the controller follows it with this.
    if request.program and request.state == PRESENT:
        fault = _kept.fault(layout, request.program, request.deep)
        steps += [Step(KEEP, f"program {_bundle.NODE} {request.program[:SHORT]} ({fault})")] if fault else []
    hub = any(source.kind == HUGGINGFACE and not is_brought(source, request.fetch) for source in sources)
    wanted = [HUGGINGFACE] if hub else []
    wanted += [SUPERVISOR] if isinstance(manager, SupervisorManager) and serves else []
    missing = sorted({*wanted, *([UV] if wanted or any(source.env for source in sources) else [])} - set(tools))
    if missing:
        raise _host.HostError(
            f"this host needs {' and '.join(missing)}: pass the tools that the inventory has (rbee_tools)"
        )
    lacking = [name for name in wanted if _store.tree_fault(tools[name].path)]
    builds = any(source.env for source in (*sources, *(tools[name].source for name in lacking)))
    if builds and _store.tree_fault(tools[UV].path):
        lacking.insert(0, UV)
    needed = {*interpreters, *(tools[name].interpreter for name in wanted)}
    if PYTHON in tools and any(path.startswith(tools[PYTHON].path + "/") for path in needed):
        lacking = ([PYTHON] if _store.tree_fault(tools[PYTHON].path) else []) + lacking
    steps += [Step(FETCH, f"tool {name} {tools[name].release}") for name in lacking]
    if isinstance(manager, SupervisorManager) and serves and not manager.running():
        steps.append(Step(START, SUPERVISOR))
    return Plan(HOST, tuple(steps))
