# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a fleet and the catalog to what every host is to be: its specifications, in the order of installation. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _spec
from ansible_collections.rbee.fleet.plugins.module_utils._agent_request import CATALOG
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._agent_catalog import catalog_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway import render
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayHive, GatewayWorker
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import PAGE
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import (
    component,
    entry_of,
    filled,
    idle_reason,
    on_demand,
    values_of,
    worker_spec,
)

API_KEY = "api_key"
PULL_SETTINGS = "pull.json"
_OF_A_CONTROLLER = frozenset(
    {"api_key", "hf_token", "hostname", "ssh_user", "ssh_port", "connection", "max_concurrent_installs", "ssh_timeout"}
)


@dataclasses.dataclass(frozen=True)
class HostPlan:
    """What one inventory host is to be. specs: models first, so that workers find them. secrets: reference by name."""

    specs: tuple[_spec.Spec, ...] = ()
    secrets: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def resolve(fleet: _fleet.Fleet, catalog: Catalog) -> dict[str, HostPlan]:
    """The plan of every host. One machine is one host, so the queen's specification may stand in a hive's plan."""
    plans = _plans(fleet, catalog)
    if fleet.pull is None:
        return plans
    unknown = {hive.alias for hive in fleet.hives if hive.temporary}  # to the repository
    pulls = {host: (_pull(fleet, fleet.pull, host, catalog),) for host in plans if host not in unknown}
    return {host: dataclasses.replace(plan, specs=(*plan.specs, *pulls.get(host, ()))) for host, plan in plans.items()}


def _plans(fleet: _fleet.Fleet, catalog: Catalog) -> dict[str, HostPlan]:
    secrets = {API_KEY: fleet.queen.api_key} if fleet.queen.api_key else {}
    queen = queen_spec(fleet, catalog)
    plans = {}
    for hive in fleet.hives:
        token = hive_secrets(fleet, hive)
        if hive.alias == fleet.queen_host:
            plans[hive.alias] = HostPlan(hive_specs(fleet, hive, catalog, queen), secrets | token)
        else:
            plans[hive.alias] = HostPlan(hive_specs(fleet, hive, catalog), token)
    return plans if fleet.queen_host in plans else {fleet.queen_host: HostPlan((queen,), secrets)} | plans


def hive_specs(
    fleet: _fleet.Fleet, hive: _fleet.Hive, catalog: Catalog, queen: _spec.Spec | None = None
) -> tuple[_spec.Spec, ...]:
    """Everything on the host of a hive. queen: where she is on it too."""
    models = {model.name: model for model in fleet.models}
    specs = [model_spec(fleet, models[name]) for name in hive.models]
    specs += [queen] if queen else []
    specs.append(_agent(fleet, hive, catalog))
    for worker in hive.workers:
        entry = entry_of(catalog, worker.type, worker.version)
        specs.append(worker_spec(fleet, hive, worker, entry, on_demand(fleet, hive, worker, entry)))
    return tuple(specs)


def hive_secrets(fleet: _fleet.Fleet, hive: _fleet.Hive) -> dict[str, str]:
    """References to what the host of a hive needs, for Hugging Face where a model comes from there."""
    from_hub = {model.name for model in fleet.models if model.source == _keys.HUGGINGFACE}
    return {HUB_TOKEN: fleet.hf_token} if fleet.hf_token and from_hub & set(hive.models) else {}


def queen_spec(fleet: _fleet.Fleet, catalog: Catalog) -> _spec.Spec:
    """The gateway in front of all hives of the fleet, or the program that stands in its place."""
    queen, entry = fleet.queen, entry_of(catalog, _spec.QUEEN)
    spec = component(fleet, entry, _spec.QUEEN)
    page = next((file.content for file in spec.files if file.path == PAGE), "")
    if entry.is_gateway:
        gateway = _gateway(fleet, catalog, page)
        spec = dataclasses.replace(
            spec, files=tuple(file for file in spec.files if file.path != PAGE) + render(gateway)
        )
    return dataclasses.replace(
        spec,
        address=queen.bind,
        port=queen.port,
        auto_start=queen.auto_start,
        declared=json.dumps({**declared_general(fleet), **_temporary(fleet)}, sort_keys=True),
        register={hive.alias: _registered(fleet, hive) for hive in fleet.hives},
    )


def _gateway(fleet: _fleet.Fleet, catalog: Catalog, page: str) -> Gateway:
    queen, drains = fleet.queen, entry_of(catalog, _spec.HIVE).is_agent
    hives = sorted(fleet.hives, key=lambda hive: hive.alias)  # a table that moves within its file changes nothing
    return Gateway(
        fleet=fleet.name,
        bind=queen.bind,
        port=queen.port,
        api_key_secret=API_KEY if queen.api_key else "",
        max_request_bytes=queen.max_request_bytes,
        hives=tuple(GatewayHive(hive.alias, hive.address, hive.hive_port) for hive in hives),
        workers=tuple(
            _gateway_worker(hive, worker, entry, models, drains)
            for hive in hives
            for worker in sorted(hive.workers, key=lambda worker: worker.name)
            for entry in (entry_of(catalog, worker.type, worker.version),)
            for models in (_reachable(worker, entry, on_demand(fleet, hive, worker, entry)),)
            if models or not idle_reason(worker, entry)
        ),
        page=page,
    )


def _temporary(fleet: _fleet.Fleet) -> dict[str, list[str]]:
    """For her receipt, the workers that only this configuration knows."""
    found = [
        f"{hive.alias}/{worker.name}"
        for hive in fleet.hives
        for worker in hive.workers
        if hive.temporary or worker.temporary
    ]
    return {"temporary": sorted(found)} if found else {}


def declared_general(fleet: _fleet.Fleet) -> dict[str, dict[str, t.Any]]:
    """What rbee.conf says and is no default, by section, but for what only holds for one controller.

    That is: references to secrets, how the machine of the queen is reached, and how installations are made from there.
    """
    given: dict[str, tuple[t.Any, t.Mapping[str, t.Any]]] = {
        "fleet": (fleet, _keys.FLEET),
        "queen": (fleet.queen, _keys.QUEEN),
        "package": (fleet.package, _keys.PACKAGE),
        "pull": (fleet.pull or _fleet.Pull(), _keys.PULL),
    }
    usual = _fleet.Fleet(prefix=_fleet.PREFIXES[fleet.scope])
    plain = {"fleet": usual, "queen": usual.queen, "package": usual.package, "pull": _fleet.Pull()}
    sections = {
        section: {
            key: getattr(value, key)
            for key in keys
            if key not in _OF_A_CONTROLLER and getattr(value, key) != getattr(plain[section], key)
        }
        for section, (value, keys) in given.items()
    }
    return {section: table for section, table in sections.items() if table}


def _registered(fleet: _fleet.Fleet, hive: _fleet.Hive) -> _spec.Registered:
    return _spec.Registered(
        hostname=hive.hostname,
        prefix=fleet.prefix,
        scope=fleet.scope,
        connection=hive.connection,
        ssh_user=hive.ssh_user,
        ssh_port=hive.ssh_port,
        hive_port=hive.hive_port,
        address=hive.address,
        auto_start=hive.auto_start,
        temporary=hive.temporary,
    )


def _gateway_worker(
    hive: _fleet.Hive, worker: _fleet.Worker, entry: Entry, models: t.Sequence[str], drains: bool
) -> GatewayWorker:
    """drains: whether the agent of the hive can be asked for it."""
    return GatewayWorker(
        hive=hive.alias,
        name=worker.name,
        type=worker.type,
        address=hive.address,
        port=worker.port,
        models=tuple(models),
        perhaps=not worker.model and len(models) > 1,
        health_path=entry.health.path,
        agent_port=hive.hive_port if drains else 0,
    )


def _agent(fleet: _fleet.Fleet, hive: _fleet.Hive, catalog: Catalog) -> _spec.Spec:
    entry = entry_of(catalog, _spec.HIVE)
    spec = component(fleet, entry, _spec.HIVE)
    if entry.is_agent:
        known = json.dumps(catalog_of(fleet, hive, catalog), indent=1, sort_keys=True)
        spec = dataclasses.replace(spec, files=(*spec.files, _spec.File(path=CATALOG, content=known)))
    spec = dataclasses.replace(
        spec,
        address=hive.address,
        port=hive.hive_port,
        auto_start=hive.auto_start,
        declared=json.dumps({"alias": hive.alias}),
        temporary=hive.temporary,
    )
    return filled(spec, values_of(fleet, hive))


def _pull(fleet: _fleet.Fleet, pull: _fleet.Pull, host: str, catalog: Catalog) -> _spec.Spec:
    """What lets a host converge itself. host: its name in the inventory."""
    spec = component(fleet, entry_of(catalog, _spec.PULL), _spec.PULL)
    asked = {
        "repository": pull.repository,
        "version": pull.version,
        "folder": pull.folder,
        "key": pull.key,
        "host": host,
    }
    return dataclasses.replace(
        spec,
        files=(*spec.files, _spec.File(path=PULL_SETTINGS, content=json.dumps(asked, indent=1) + "\n")),
        service=dataclasses.replace(spec.service, schedule=pull.interval * 60, spread=pull.jitter * 60),
    )


def _reachable(worker: _fleet.Worker, entry: Entry, models: t.Mapping[str, str]) -> tuple[str, ...]:
    """The models that the queen may expect at a worker. Which build a hive chooses, only the hive knows."""
    if worker.model:
        return (worker.model,)
    builds = entry.models_commands(worker.version).items()
    able = len(models) == 1 or any(words for name, words in builds if worker.variant in ("", name))
    return tuple(models.values()) if able else ()
