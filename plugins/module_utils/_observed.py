# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host really has: receipts checked against files, services and health. Reads only.

The answer is the same for the module, the agent and the command line. What cannot be found out, for lack of a right or
because it is broken, is None with a reason beside it; one broken component never hides the others.
"""

from __future__ import annotations

import concurrent.futures
import os
import platform
import sys
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _gpu_kinds,
    _gpu_owners,
    _gpu_probe,
    _gpu_sysfs,
    _health,
    _host,
    _lock,
    _manager,
    _store,
    _stored,
    _supervised,
)
from ansible_collections.rbee.fleet.plugins.module_utils._disk import free_space
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Found, to_json, with_owners
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._receipts import users_of
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceError, ServiceManager, ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, PULL
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._target import UNIT
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import Evidence, component_of, health_url

PROBE_TIMEOUT = 2.0  # seconds for each step of one look
PROBES = 16  # at once
LAST_PULL = "last-pull.json"  # in the data folder of a pull, written by catalog/pull.py


class Trees:
    """Whether installed trees are what their manifests say, each looked at once in *lifetime* seconds."""

    def __init__(self, lifetime: float = float("inf"), deep: bool = False):
        self._lifetime, self._deep = lifetime, deep
        self._known: dict[str, tuple[float, str]] = {}

    def fault(self, path: str) -> str:
        when, fault = self._known.get(path, (0.0, ""))
        if path not in self._known or time.monotonic() - when > self._lifetime:
            fault = _store.tree_fault(path, self._deep)
            self._known[path] = (time.monotonic(), fault)
        return fault


def observe(
    prefix: str,
    scope: str,
    fleet: str = "",
    trees: t.Optional[Trees] = None,
    gpus: t.Callable[[], Found] = _gpu_probe.probe,
) -> dict[str, t.Any]:
    """The host, its components and its GPUs, as JSON data. fleet: only components of this one; empty for all."""
    layout, trees = Layout(prefix), trees or Trees()
    names = _store.list_folder(layout.components)
    receipts, faults = _receipts(layout, names)
    everyone = receipts
    if fleet:
        receipts = {name: receipt for name, receipt in receipts.items() if receipt.get("fleet") == fleet}
    served = [name for name, receipt in receipts.items() if "generation" in receipt]
    manager, manager_fault = _manager_of(scope, prefix)
    states, why = _states(manager, prefix, served) if manager else ({}, manager_fault)
    evidence = {
        name: Evidence(
            receipt=receipt,
            state=states.get(name),
            counted=not isinstance(manager, SupervisorManager),
            unknown=why,
            problems=tuple(_problems(layout, receipt, manager, trees, receipts)),
            last_run=_last_run(layout, receipt),
        )
        for name, receipt in receipts.items()
    }
    health = _probe({name: found for name, found in evidence.items() if found.asks})
    now = time.time()
    components = [component_of(found, health.get(name), now) for name, found in sorted(evidence.items())]
    for component in components:
        if component["kind"] == MODEL:
            component.update(_model(component["name"], everyone))
    for name, fault in sorted(faults.items()):
        components.append(component_of(Evidence({"name": name}, None, unknown=fault), None, now))
    services = {state.pid: name for name, state in states.items() if state.pid}
    devices = with_owners(gpus(), lambda pid: _gpu_owners.owner(pid, services))
    return {
        "host": _host_state(layout, manager, manager_fault),
        "components": components,
        "downloads": _stored.downloads(layout),
        **to_json(devices),
    }


def _model(name: str, receipts: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What only a model has. receipts: those of all fleets, since any of them may serve it."""
    receipt = receipts[name]
    declared = receipt.get("declared")
    return {
        "served_name": str(declared.get("name", "")) if isinstance(declared, dict) else "",
        "bytes": _stored.size_of(str(receipt.get("release_path", ""))),
        "source": receipt["source"] if isinstance(receipt.get("source"), dict) else {},
        "used_by": users_of(name, receipts),
    }


def _receipts(layout: Layout, names: t.Iterable[str]) -> tuple[dict[str, dict[str, t.Any]], dict[str, str]]:
    """The receipts by component, and why a component's folder has none that can be read."""
    receipts, faults = {}, {}
    for name in names:
        try:
            receipt = _store.read_json(os.path.join(layout.components, name, "receipt.json"))
        except _store.StoreError as error:
            faults[name] = str(error)
            continue
        if receipt is None:
            faults[name] = "has no receipt: its installation was not completed; install again"
        else:
            found = str(receipt.get("name", name))
            receipts[found] = {**receipt, "name": found}
    return receipts, faults


def _manager_of(scope: str, prefix: str) -> tuple[t.Optional[ServiceManager], str]:
    try:
        return _manager.detect(scope, prefix, ""), ""
    except ServiceError as error:
        return None, str(error)


def _states(manager: ServiceManager, prefix: str, names: t.Sequence[str]) -> tuple[t.Mapping[str, ServiceState], str]:
    """The states that are known, and why others are not."""
    try:
        return manager.states(names), ""
    except ServiceError as error:
        if isinstance(manager, SupervisorManager) and isinstance(error.__cause__, PermissionError):
            return _supervised.states(prefix, names), "only root may ask supervisor"
        return {}, str(error)


def _problems(
    layout: Layout,
    receipt: t.Mapping[str, t.Any],
    manager: t.Optional[ServiceManager],
    trees: Trees,
    receipts: t.Mapping[str, t.Any],
) -> t.Iterator[str]:
    """Where a component's files are not what its receipt says."""
    try:
        fault = trees.fault(str(receipt["release_path"]))
        if fault:
            yield f"release {receipt['release']}: {fault}"
        if "generation" not in receipt:
            return
        name, generation = receipt["name"], receipt["generation"]
        current = _store.link_target(layout.current(name))
        if current != generation:
            yield f"generation {current or 'none'} is current, installed was {generation}; install again"
        fault = trees.fault(layout.generation(name, generation))
        if fault:
            yield f"generation {generation}: {fault}"
        if manager:
            unit = manager.installed(name)
            if unit is None:
                yield f"{manager.unit_path(name)} is gone"
            elif unit != _store.read_text(os.path.join(layout.generation(name, generation), UNIT)):
                yield f"{manager.unit_path(name)} was changed by hand"
        for path in receipt.get("links", ()):
            if not os.path.lexists(path):
                yield f"{path} is gone"
        for model in (receipt.get("model"), *receipt.get("models", ())):
            if model and model not in receipts:
                yield f"its model {model} is not installed"
    except (_store.StoreError, OSError) as error:
        yield f"cannot be looked at: {error}"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        yield f"its receipt is damaged ({type(error).__name__}: {error}); install again"


def _last_run(layout: Layout, receipt: t.Mapping[str, t.Any]) -> t.Optional[dict[str, t.Any]]:
    """What a pull has recorded of its last run, as far as it can be read."""
    if receipt.get("kind") != PULL:
        return None
    try:
        return _store.read_json(os.path.join(layout.data(receipt["name"]), LAST_PULL))
    except (_store.StoreError, OSError):
        return None


def _probe(asked: t.Mapping[str, Evidence]) -> dict[str, _health.HealthResult]:
    """Ask all of them at once."""
    if not asked:
        return {}

    def look(found: Evidence) -> _health.HealthResult:
        if found.state and found.state.pid == os.getpid():
            return _health.HealthResult(True, "it answers this", 0.0)
        try:
            return _health.probe(health_url(found.receipt), PROBE_TIMEOUT)
        except ValueError as error:
            return _health.HealthResult(False, str(error), 0.0)

    with concurrent.futures.ThreadPoolExecutor(min(PROBES, len(asked))) as pool:
        return dict(zip(asked, pool.map(look, asked.values())))


def _host_state(layout: Layout, manager: t.Optional[ServiceManager], fault: str) -> dict[str, t.Any]:
    busy: t.Optional[dict[str, t.Any]] = None
    busy_fault = ""
    try:
        busy = _lock.holder(layout.lock)
    except OSError as error:
        busy_fault = f"{layout.lock}: {error.strerror}"
    total, available = _gpu_sysfs.memory()
    state: dict[str, t.Any] = {
        "platform": _host.platform_name(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "prefix": layout.prefix,
        "free_bytes": free_space(layout.prefix),
        "memory_total_bytes": total,
        "memory_available_bytes": available,
        "service_manager": manager.name if manager else None,
        "device_kinds": sorted(_gpu_kinds.kinds()),
        "busy": None if busy_fault else busy is not None,
        "holder": {key: busy.get(key) for key in ("pid", "controller", "since")} if busy else None,
        "reasons": {},
    }
    if fault:
        state["reasons"]["service_manager"] = fault
    if busy_fault:
        state["reasons"]["busy"] = busy_fault
    return state
