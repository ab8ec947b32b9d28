# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a host and says what a request would change there. Changes nothing, so a dry run is this and no more."""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _bundle,
    _health,
    _host,
    _interpreter,
    _links,
    _manager,
    _models_here,
    _placing,
    _ports,
    _pythons,
    _store,
    _stored,
)
from ansible_collections.rbee.fleet.plugins.module_utils._drift import Drift, drift_of, drift_of_extra, drift_of_host
from ansible_collections.rbee.fleet.plugins.module_utils._extra import Extra, observed
from ansible_collections.rbee.fleet.plugins.module_utils._host_plan import PYTHON, SUPERVISOR, plan_of_host
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import Need, is_brought
from ansible_collections.rbee.fleet.plugins.module_utils._plan import (
    FETCH,
    SWITCH,
    TEARDOWN,
    Observed,
    Plan,
    Step,
    plan_absent,
    plan_present,
    plan_running,
    staged,
    standing,
)
from ansible_collections.rbee.fleet.plugins.module_utils._receipts import (
    receipt_of,
    receipts_on,
    users_of,
    with_register,
)
from ansible_collections.rbee.fleet.plugins.module_utils._request import (
    ABSENT,
    HOST,
    IGNORE,
    PRESENT,
    REMOVE,
    STARTED,
    Request,
)
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager, ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, QUEEN, WORKERS_FILE, Spec, models_of
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._supply import Supply
from ansible_collections.rbee.fleet.plugins.module_utils._target import (
    DESCRIPTION,
    Build,
    HostFacts,
    Target,
    TargetError,
    account_of,
    build_of,
    choose,
    recorded,
    target_of,
)
from ansible_collections.rbee.fleet.plugins.module_utils._unit import MARK
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import health_url
from ansible_collections.rbee.fleet.plugins.module_utils._versions import is_older

PROBE_TIMEOUT = 2.0  # seconds for one look at a component that is running
PATIENCE = 10.0  # seconds for a second look at one that should be ready by now, before it counts as hanging


@dataclasses.dataclass
class Survey:
    """One look at a host.

    targets, seen, plans: by component name. faults: components that cannot be as declared here, and why.
    tools: those that may be needed, resolved. receipts: what shall be recorded of each component. host_plan: steps
    before any component's. standing: of a request that may stage. staged: the plans bring things and switch nothing.
    drift: how each component differs from what is declared. What is extra has a receipt and a plan, and no target.
    python: what the tool of that name is, or will be, where environments may be built on it.
    unmapped: the workers, as ``hive/name``, that the queen's map has and will not have.
    """

    layout: Layout
    facts: HostFacts
    manager: ServiceManager
    tools: t.Mapping[str, Build]
    targets: t.Mapping[str, Target]
    seen: t.Mapping[str, Observed]
    plans: t.Mapping[str, Plan]
    faults: t.Mapping[str, str]
    receipts: t.Mapping[str, t.Mapping[str, t.Any]]
    host_plan: Plan
    standing: t.Optional[t.Mapping[str, t.Any]] = None
    staged: bool = False
    drift: t.Mapping[str, tuple[Drift, ...]] = dataclasses.field(default_factory=dict)
    python: t.Optional[_interpreter.Interpreter] = None
    unmapped: t.Sequence[str] = ()

    @property
    def changes(self) -> bool:
        return self.host_plan.changes or any(plan.changes for plan in self.plans.values())

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, not even to wait for."""
        return not self.host_plan.steps and not any(plan.steps for plan in self.plans.values())


def survey(request: Request) -> Survey:
    """Raises ServiceError or HostError when the host cannot be looked at as a whole."""
    layout = Layout(request.prefix)
    facts = _host.facts(request.scope, _pythons.own(request.scope), _bundle.digests())
    python = _pythons.brought(request.tools, facts, layout)
    own = python[1] if python else None
    tools = {PYTHON: python[0]} if python else {}
    for name, tool in request.tools.items():
        if name not in (HUGGINGFACE, PYTHON):
            tools[name] = _resolve(tool, facts, layout, None, own)
    environment = tools[SUPERVISOR].path if SUPERVISOR in tools else ""
    manager = _manager.detect(request.scope, request.prefix, environment)
    if request.state == ABSENT:
        return _survey_absent(request, layout, facts, manager, tools)

    faults: dict[str, str] = {}
    extra = Extra(request, layout, manager, receipts_on(layout) if request.extra != IGNORE else {})
    if request.state == PRESENT:
        leaving = [name for name, plan in extra.plans.items() if plan.steps]
        targets = _targets(request, layout, facts, manager, tools, faults, leaving, own)
    else:
        targets = _recorded_targets(request, layout, faults)
    states = manager.states([name for name, target in targets.items() if target.has_service])
    trees: dict[str, str] = {}
    seen: dict[str, Observed] = {}
    plans: dict[str, Plan] = {}
    receipts: dict[str, t.Mapping[str, t.Any]] = {}
    drift: dict[str, tuple[Drift, ...]] = {}
    brought: set[str] = set()  # releases that a component before this one fetches
    for name, target in targets.items():
        path = target.build.path
        if path not in trees:
            trees[path] = _store.tree_fault(path, request.deep)
        found = _observe(target, layout, manager, states.get(name, ServiceState()), trees[path], request, extra)
        lacks = next((model for model in models_of(target.spec) if model in faults), "")
        if lacks:
            found = Observed(fault=f"its model {lacks}: {faults[lacks]}")
        if found.fault:
            faults[name] = found.fault
        else:
            seen[name] = found
    if request.state == PRESENT:
        faults.update(_placing.kept(targets, faults, layout))
        seen = {name: found for name, found in seen.items() if name not in faults}
    for name, found in seen.items():
        target, path = targets[name], targets[name].build.path
        # Starting and stopping installs nothing: what is recorded stays what it was.
        known = found.receipt or {}
        receipts[name] = receipt_of(target, manager) if request.state == PRESENT else known
        if target.spec.kind == QUEEN and request.state == PRESENT:
            receipts[name] = with_register(receipts[name], target.spec.register, known, request.forget)
        if not request.asks_for(name, target.spec.kind):
            plans[name] = Plan(name)
        elif request.state == PRESENT:
            plans[name] = plan_present(target, found, receipts[name], request.force, path in brought)
            drift[name] = drift_of(target, found, plans[name], receipts[name])
            if plans[name].has(FETCH):
                brought.add(path)
        else:
            plans[name] = plan_running(target, found, request.state == STARTED)
    stands = standing(seen, plans, receipts) if request.stage else None
    is_staged = bool(stands and stands["leaving"])
    if stands is not None and is_staged:
        stands["queen"] = any(targets[name].spec.kind == QUEEN and plan.steps for name, plan in plans.items())
        plans = {name: staged(plan, targets[name], seen[name], request.force) for name, plan in plans.items()}
    sources = [targets[name].build.source for name, plan in plans.items() if plan.has(FETCH)]
    serves = any(plans[name].steps for name in plans if targets[name].has_service)
    host_plan = Plan(HOST)
    if plans:
        asked_for = [
            target
            for name, target in targets.items()
            if name in plans and request.state == PRESENT and request.asks_for(name, target.spec.kind)
        ]
        below = {target.build.interpreter for target in asked_for}
        accounts = {account_of(target.spec, facts.account) for target in asked_for if target.has_service} - {""}
        host_plan = plan_of_host(request, layout, facts, manager, tools, sources, serves, below, accounts)
    kinds = {spec.name: spec.kind for spec in request.specs}
    asked = {name: fault for name, fault in faults.items() if request.asks_for(name, kinds.get(name, ""))}
    coming = {name: receipt for name, receipt in receipts.items() if plans[name].steps}
    there = {**receipts_on(layout), **coming} if extra.receipts else {}
    stay = {name: receipt for name, receipt in there.items() if name not in extra.plans or not extra.plans[name].steps}
    for name, receipt in extra.receipts.items():
        seen[name], receipts[name] = extra.seen[name], receipt
        users = users_of(name, stay)
        plans[name] = Plan(name) if is_staged or users else extra.plans[name]
        drift[name] = (drift_of_extra(receipt, request.purge, users, request.temporary),)
    if request.state == PRESENT:
        drift[HOST] = drift_of_host(host_plan, drift.values())
    unmapped = [name for target in targets.values() for name in _unmapped(target, layout, plans)]
    return Survey(
        layout,
        facts,
        manager,
        tools,
        targets,
        seen,
        plans,
        asked,
        receipts,
        host_plan,
        stands,
        is_staged,
        drift,
        own,
        unmapped,
    )


def supply_of(found: Survey, request: Request) -> Supply:
    """What the controller brings for this."""
    return Supply(found.layout, request.fetch, found.facts.platform, request.supplies, found.python)


def needs_of(found: Survey, request: Request) -> list[Need]:
    """What the plans need that the controller has to bring and that is not here, each once. Raises SourceError."""
    builds = [found.targets[name].build for name, plan in found.plans.items() if plan.has(FETCH)]
    builds += [found.tools[step.detail.split()[1]] for step in found.host_plan.steps if step.name == FETCH]
    supply = supply_of(found, request)
    needs = [need for build in builds for need in supply.lacking(build.source, build.interpreter)]
    return list({need.id: need for need in needs}.values())


def _targets(
    request: Request,
    layout: Layout,
    facts: HostFacts,
    manager: ServiceManager,
    tools: dict[str, Build],
    faults: dict[str, str],
    leaving: t.Collection[str],
    python: t.Optional[_interpreter.Interpreter],
) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    places = _placing.Places(request, layout, leaving)
    # Models first: what serves one needs to know where it lies.
    for spec in sorted(request.specs, key=lambda spec: spec.kind != MODEL):
        try:
            build = _resolve(spec, facts, layout, _store.read_json(layout.receipt(spec.name)), python)
            by_host = build.source.kind == HUGGINGFACE and not is_brought(build.source, request.fetch)
            if by_host and HUGGINGFACE not in tools:
                # Not earlier: a host whose Python is too old for it lacks such models, and nothing else.
                tools[HUGGINGFACE] = _resolve(request.tools[HUGGINGFACE], facts, layout, None, python)
            lacks = next((model for model in models_of(spec) if model in faults), "")
            if lacks:
                raise TargetError(f"its model {lacks}: {faults[lacks]}")
            placed = places.placed(spec, build.variant)
            models = {name: target.build for name, target in targets.items() if target.spec.kind == MODEL}
            targets[spec.name] = target_of(placed, build, facts, layout, models, request.secrets, manager.render)
        except (TargetError, SourceError, _store.StoreError, ValueError) as error:
            faults[spec.name] = str(error)
    return targets


def _recorded_targets(request: Request, layout: Layout, faults: dict[str, str]) -> dict[str, Target]:
    """What is installed of what is to be started or stopped: what is declared by now may differ from it."""
    receipts = {name: receipt for name, receipt in receipts_on(layout).items() if receipt.get("fleet") == request.fleet}
    wanted = request.names or [spec.name for spec in request.specs] or sorted(receipts)
    targets = {}
    for name in wanted:
        receipt = receipts.get(name)
        if receipt and "release_path" in receipt and "interpreter" in receipt:
            targets[name] = recorded(receipt)
        elif request.state == STARTED or name in request.names:
            faults[name] = "is not installed; install it first"
    return {name: target for name, target in targets.items() if target.has_service}


def _resolve(
    spec: Spec,
    facts: HostFacts,
    layout: Layout,
    receipt: t.Optional[t.Mapping[str, t.Any]],
    python: t.Optional[_interpreter.Interpreter],
) -> Build:
    """python: for an environment that no Python of the host fits."""
    variant, source = choose(spec, facts)
    interpreter = ""
    if source.env:
        known = str((receipt or {}).get("interpreter", ""))
        interpreter = _pythons.for_environment(source.env.requires, known, facts, python)
    build = build_of(spec, variant, source, interpreter, facts, layout)
    return _models_here.kept(spec, build, receipt) if receipt and source.kind == HUGGINGFACE else build


def _observe(
    target: Target,
    layout: Layout,
    manager: ServiceManager,
    state: ServiceState,
    release_fault: str,
    request: Request,
    extra: Extra,
) -> Observed:
    spec = target.spec
    receipt = _store.read_json(layout.receipt(spec.name))
    if receipt and receipt.get("fleet") != request.fleet:
        return Observed(
            fault=f"there is a component {spec.name!r} of fleet {receipt.get('fleet')!r} on this host; "
            f"choose another name or another prefix"
        )
    if not target.has_service:
        return Observed(receipt=receipt, release_fault=release_fault)
    if receipt and request.state == PRESENT and not request.downgrade and is_older(spec.version, receipt["version"]):
        return Observed(
            fault=f"version {receipt['version']} is installed, and {spec.version} is older; to go back, add "
            f"-e rbee_downgrade=true (the option downgrade)"
        )
    unit = manager.installed(spec.name)
    if unit is not None and receipt is None and MARK not in unit:
        return Observed(fault=f"{manager.unit_path(spec.name)} exists and is not ours; rename it or the component")
    if unit is not None and not layout.is_run_by(spec.name, unit):
        return Observed(fault=f"{manager.unit_path(spec.name)} runs a component of another prefix; choose another name")
    fault = _links.fault(target.links) or _port_fault(target, layout, manager, state, receipt or {}, request, extra)
    if fault:
        return Observed(fault=fault)
    healthy, hung = None, False
    if state.active and spec.health.path and receipt:
        healthy = _health.probe(health_url(receipt), PROBE_TIMEOUT).ok
        if not healthy and time.time() - state.since > receipt.get("health_timeout", spec.health.timeout):
            healthy = _health.probe(health_url(receipt), PATIENCE).ok
            hung = not healthy
    return Observed(
        receipt=receipt,
        current=_store.link_target(layout.current(spec.name)),
        previous=_store.link_target(layout.previous(spec.name)),
        release_fault=release_fault,
        generation_fault=_generation_fault(target, layout, account_of(spec, _host.account_of(request.scope))),
        unit=unit,
        active=state.active,
        enabled=state.enabled,
        healthy=healthy,
        hung=hung,
        links=_links.to_change(target.links, (receipt or {}).get("links", ())),
    )


def _port_fault(
    target: Target,
    layout: Layout,
    manager: ServiceManager,
    state: ServiceState,
    receipt: t.Mapping[str, t.Any],
    request: Request,
    extra: Extra,
) -> str:
    """Why the component could not listen where it shall, or an empty string when it does or is not to be started."""
    spec = target.spec
    # A run that was killed before it wrote the receipt may have started the current generation.
    started = _store.read_json(os.path.join(layout.current(spec.name), DESCRIPTION)) or {}
    # Of the port alone: on another address of the same port it would be in its own way, and is restarted anyway.
    ours = spec.port in [known.get("port") for known in (receipt, started)]
    if not spec.port or not target.runs or (receipt.get("held") and request.state != STARTED):
        return ""
    if ours and (state.active or (isinstance(manager, SupervisorManager) and not manager.running())):
        return ""  # what a killed supervisord left may hold it, until the next one ends that
    if request.extra == REMOVE and extra.on_port(spec.port):
        return ""  # it goes first

    def holder() -> str:
        receipts = receipts_on(layout)
        names = _ports.at_port(spec, receipts)
        states = manager.states(names)
        return _ports.holder([name for name in names if states[name].active], spec, receipts, request.specs)

    return _host.port_fault(spec.address, spec.port, holder)


def _unmapped(target: Target, layout: Layout, plans: t.Mapping[str, Plan]) -> list[str]:
    """The workers that leave the queen's map by a switch; none of any other component."""
    path = os.path.join("files", WORKERS_FILE)
    name = target.spec.name
    if path not in target.contents or name not in plans or not plans[name].has(SWITCH):
        return []
    before = _store.read_text(os.path.join(layout.current(name), path)) or ""
    after = set(target.contents[path].text.splitlines())
    return [line.split(" ")[0] for line in before.splitlines() if line not in after]


def _generation_fault(target: Target, layout: Layout, account: str) -> str:
    folder, data = layout.generation(target.spec.name, target.generation), layout.data(target.spec.name)
    if not os.path.isdir(folder):
        return "missing"
    for path, content in target.contents.items():
        if not content.is_text(_store.read_text(os.path.join(folder, path))):
            return f"modified: {path}"
    if not os.path.isdir(data):
        return "data folder missing"
    return "" if _host.may_write(account, data) else "data folder of another user"


def _survey_absent(
    request: Request, layout: Layout, facts: HostFacts, manager: ServiceManager, tools: t.Mapping[str, Build]
) -> Survey:
    receipts = receipts_on(layout)
    chosen = {
        name: receipt
        for name, receipt in receipts.items()
        if receipt.get("fleet") == request.fleet
        and request.asks_for(name, str(receipt.get("kind")))
        and (receipt.get("kind") != MODEL or request.purge)
    }
    stay = {name: receipt for name, receipt in receipts.items() if name not in chosen}
    faults = {name: fault for name in chosen for fault in [_in_use(name, stay)] if fault}
    gone = {name: receipt for name, receipt in chosen.items() if name not in faults}
    seen = observed(layout, manager, gone)
    begun = _begun(request, layout) - faults.keys()
    seen.update({name: Observed() for name in begun - seen.keys()})
    plans = {name: plan_absent(found, name, unfinished=name in begun) for name, found in seen.items()}
    left = [
        receipt
        for name, receipt in receipts.items()
        if name not in gone and (receipt["kind"] != MODEL or receipt.get("fleet") != request.fleet or request.purge)
    ]
    common = any(os.path.lexists(path) for path in (layout.staging, layout.cache, layout.host_receipt, layout.journals))
    ends = not left and not begun and (gone or common)
    host_plan = Plan(HOST, (Step(TEARDOWN, "tools, service user, empty folders"),) if ends else ())
    known = {**{name: {"kind": MODEL} for name in begun}, **chosen}
    return Survey(layout, facts, manager, tools, {}, seen, plans, faults, known, host_plan)


def _in_use(model: str, receipts: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
    """Why a model has to stay, or an empty string. receipts: of what stays."""
    users = users_of(model, receipts)
    return f"is served by {' and '.join(users)}; remove that, or give it another model, first" if users else ""


def _begun(request: Request, layout: Layout) -> set[str]:
    """The models to be removed, together with their data, whose download has begun and not ended."""
    models = (spec for spec in request.specs if spec.kind == MODEL and request.asks_for(spec.name, MODEL))
    return {
        spec.name
        for spec in models
        for variant in spec.variants
        for source in variant.sources.values()
        if request.purge and _stored.parts_of(layout, source)
    }
