# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a fleet and the catalog to what every host is to be: its specifications, in the order of installation. Pure."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _spec
from ansible_collections.rbee.fleet.plugins.module_utils._agent_request import CATALOG
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN, HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._target import fill
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import ALIAS, QUEEN_URL, Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway import render
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayHive, GatewayWorker
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import PAGE
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import file_name, fits

API_KEY = "api_key"
MODEL_PREFIX = "model-"
PULL_SETTINGS = "pull.json"
TOOLS = ("python", "uv", "supervisor", HUGGINGFACE)
_OF_A_CONTROLLER = frozenset(
    {"api_key", "hf_token", "hostname", "ssh_user", "ssh_port", "connection", "max_concurrent_installs", "ssh_timeout"}
)

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".whl")


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
        entry = _entry(catalog, worker.type, worker.version)
        specs.append(_worker(fleet, hive, worker, entry, on_demand(fleet, hive, worker, entry)))
    return tuple(specs)


def _values(fleet: _fleet.Fleet, hive: _fleet.Hive) -> dict[str, str]:
    """What stands for the placeholders of hives and workers that a host cannot fill in."""
    return {ALIAS: hive.alias, QUEEN_URL: _fleet.queen_url(fleet, hive)}


def _filled(spec: _spec.Spec, values: t.Mapping[str, str]) -> _spec.Spec:
    """With these placeholders filled in, wherever a host fills in its own."""

    def words(given: t.Iterable[str]) -> tuple[str, ...]:
        return tuple(fill(word, values) for word in given)

    def env(given: t.Mapping[str, str]) -> dict[str, str]:
        return {name: fill(value, values) for name, value in given.items()}

    return dataclasses.replace(
        spec,
        command=words(spec.command),
        check=words(spec.check),
        env=env(spec.env),
        programs={name: words(command) for name, command in spec.programs.items()},
        files=tuple(
            dataclasses.replace(file, content=fill(file.content, values)) if file.template or file.each_model else file
            for file in spec.files
        ),
        health=dataclasses.replace(spec.health, path=fill(spec.health.path, values)),
        variants=tuple(
            dataclasses.replace(variant, command=words(variant.command), env=env(variant.env))
            for variant in spec.variants
        ),
    )


def hive_secrets(fleet: _fleet.Fleet, hive: _fleet.Hive) -> dict[str, str]:
    """References to what the host of a hive needs, for Hugging Face where a model comes from there."""
    from_hub = {model.name for model in fleet.models if model.source == _keys.HUGGINGFACE}
    return {HUB_TOKEN: fleet.hf_token} if fleet.hf_token and from_hub & set(hive.models) else {}


def tools(fleet: _fleet.Fleet, catalog: Catalog) -> tuple[_spec.Spec, ...]:
    """What a host may need for an installation itself; the host decides whether it does."""
    return tuple(_component(fleet, _entry(catalog, name), name) for name in TOOLS if catalog.get(name))


def _entry(catalog: Catalog, name: str, version: str = "") -> Entry:
    entry = catalog.get(name, version)
    if entry is None:
        raise KeyError(f"the catalog has no '{name}'")
    return entry


def _component(fleet: _fleet.Fleet, entry: Entry, name: str, version: str = "") -> _spec.Spec:
    """What all components have in common; the caller replaces what it knows better.

    The environment of the entry goes into the variants, which may override it; that of the user overrides both.
    """
    version = version or entry.latest
    timeout = max(entry.health.timeout, fleet.package.health_check_timeout)
    return _spec.Spec(
        name=name,
        type=entry.type,
        kind=entry.kind,
        fleet=fleet.name,
        version=version,
        variants=tuple(
            dataclasses.replace(variant, env={**entry.env, **variant.env}) for variant in entry.variants(version)
        ),
        command=tuple(entry.command),
        check=tuple(entry.check),
        files=tuple(entry.files),
        programs=dict(entry.programs),
        health=dataclasses.replace(entry.health, timeout=timeout) if entry.health.path else entry.health,
        service=entry.service,
    )


def queen_spec(fleet: _fleet.Fleet, catalog: Catalog) -> _spec.Spec:
    """The gateway in front of all hives of the fleet, or the program that stands in its place."""
    queen, entry = fleet.queen, _entry(catalog, _spec.QUEEN)
    spec = _component(fleet, entry, _spec.QUEEN)
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
    queen, drains = fleet.queen, _entry(catalog, _spec.HIVE).is_agent
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
            for entry in (_entry(catalog, worker.type, worker.version),)
            for models in (_reachable(worker, entry, on_demand(fleet, hive, worker, entry)),)
            if models or not _idle(worker, entry)
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
    entry = _entry(catalog, _spec.HIVE)
    spec = _component(fleet, entry, _spec.HIVE)
    if entry.is_agent:
        known = json.dumps(_catalog_of(fleet, hive, catalog), indent=1, sort_keys=True)
        spec = dataclasses.replace(spec, files=(*spec.files, _spec.File(path=CATALOG, content=known)))
    spec = dataclasses.replace(
        spec,
        address=hive.address,
        port=hive.hive_port,
        auto_start=hive.auto_start,
        declared=json.dumps({"alias": hive.alias}),
        temporary=hive.temporary,
    )
    return _filled(spec, _values(fleet, hive))


def _pull(fleet: _fleet.Fleet, pull: _fleet.Pull, host: str, catalog: Catalog) -> _spec.Spec:
    """What lets a host converge itself. host: its name in the inventory."""
    spec = _component(fleet, _entry(catalog, _spec.PULL), _spec.PULL)
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


def _catalog_of(fleet: _fleet.Fleet, hive: _fleet.Hive, catalog: Catalog) -> dict[str, t.Any]:
    """What the agent may install on its own; ``_agent_request`` has the format."""
    types = ((name, _entry(catalog, name)) for name in catalog.types(_spec.WORKER))
    workers: dict[str, t.Any] = {}
    for name, entry in types:
        plain = _fleet.Worker(type=name, name=name, version=entry.latest, port=entry.port)
        workers[name] = {
            "model": entry.model,
            "model_command": [fill(word, _values(fleet, hive)) for word in entry.model_command],
            "spec": _spec.to_dict(_worker(fleet, hive, plain, entry)),
        }
        models = on_demand(fleet, hive, plain, entry)
        if models:
            workers[name]["on_demand"] = _spec.to_dict(_worker(fleet, hive, plain, entry, models))
    models = {
        model.name: _spec.to_dict(model_spec(fleet, model)) for model in fleet.models if model.name in hive.models
    }
    known: dict[str, t.Any] = _portable(
        {
            "fleet": fleet.name,
            "scope": fleet.scope,
            "tools": _spec.to_dict(tools(fleet, catalog)),
            "models": models,
            "workers": workers,
        }
    )
    return known


def _portable(value: t.Any) -> t.Any:
    """Without the folders of this controller: whoever runs the next one has the same files elsewhere."""
    if isinstance(value, dict):
        plain = {key: _portable(item) for key, item in value.items()}
        return plain | {"path": posixpath.basename(plain["path"])} if {"path", "sha256"} <= plain.keys() else plain
    return [_portable(item) for item in value] if isinstance(value, list) else value


def on_demand(fleet: _fleet.Fleet, hive: _fleet.Hive, worker: _fleet.Worker, entry: Entry) -> dict[str, str]:
    """The models of a hive that a worker which was given none serves when they are asked for: names by component.

    Those that fit its engine, and that no other worker of the hive serves already. None for a type without a build
    that could do so.
    """
    if worker.model or not any(entry.models_commands(worker.version).values()):
        return {}
    known = {model.name: model for model in fleet.models}
    alone = {other.model for other in hive.workers}
    names = [name for name in hive.models if name not in alone and fits(known[name], entry.model_format)]
    return {model_component(name): name for name in names}


def serves(fleet: _fleet.Fleet, hive: _fleet.Hive, worker: _fleet.Worker, catalog: Catalog) -> tuple[str, ...]:
    """The models that a worker is to serve: its own, else those of its hive, if the build that the hive takes can."""
    entry = catalog.get(worker.type, worker.version)
    if worker.model or entry is None:
        return (worker.model,) if worker.model else ()
    return tuple(on_demand(fleet, hive, worker, entry).values())


def _reachable(worker: _fleet.Worker, entry: Entry, models: t.Mapping[str, str]) -> tuple[str, ...]:
    """The models that the queen may expect at a worker. Which build a hive chooses, only the hive knows."""
    if worker.model:
        return (worker.model,)
    builds = entry.models_commands(worker.version).items()
    able = len(models) == 1 or any(words for name, words in builds if worker.variant in ("", name))
    return tuple(models.values()) if able else ()


def _worker(
    fleet: _fleet.Fleet,
    hive: _fleet.Hive,
    worker: _fleet.Worker,
    entry: Entry,
    models: t.Mapping[str, str] | None = None,
) -> _spec.Spec:
    """models: those that it serves on demand."""
    spec = _component(fleet, entry, worker.name, worker.version)
    if models:
        spec = dataclasses.replace(spec, variants=_for_several(spec, entry, models), models=models)
    spec = _spec.with_arguments(spec, (tuple(entry.model_command) if worker.model else ()) + worker.args)
    spec = dataclasses.replace(
        spec,
        variants=tuple(variant for variant in spec.variants if worker.variant in ("", variant.name)),
        env=dict(worker.env),
        address=hive.address,
        port=worker.port,
        auto_start=hive.auto_start,
        idle="" if models else _idle(worker, entry),
        model=model_component(worker.model) if worker.model else "",
        served_name=worker.model,
        gpus=(worker.gpus,) if isinstance(worker.gpus, str) else tuple(str(number) for number in worker.gpus),
        declared=json.dumps(declared_worker(worker, entry), sort_keys=True),
        temporary=worker.temporary or hive.temporary,
    )
    return _filled(spec, _values(fleet, hive))


def _for_several(spec: _spec.Spec, entry: Entry, models: t.Mapping[str, str]) -> tuple[_spec.Variant, ...]:
    """The builds, started so that they serve these models, or idle where they cannot."""
    words = entry.models_commands(spec.version)
    if len(models) == 1:  # which every build can serve
        words = {name: own or entry.model_command for name, own in words.items()}
    names = ", ".join(models.values())
    return tuple(
        dataclasses.replace(variant, command=(variant.command or spec.command) + words[variant.name])
        if words[variant.name]
        else dataclasses.replace(
            variant, idle=f"no model, and its build '{variant.name}' serves only one; name it with 'model': {names}"
        )
        for variant in spec.variants
    )


def declared_worker(worker: _fleet.Worker, entry: Entry) -> dict[str, t.Any]:
    """The shortest entry of a hive's ``workers`` that means this worker, as a table."""
    usual = _fleet.Worker(type=worker.type, name=worker.type, version=entry.latest, port=entry.port)
    keys = [field.name for field in dataclasses.fields(worker) if field.name != "temporary"]
    given = {name: getattr(worker, name) for name in keys}
    own = {name: value for name, value in given.items() if value and value != getattr(usual, name)}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return {"type": worker.type, **plain}


def _idle(worker: _fleet.Worker, entry: Entry) -> str:
    return "no model" if entry.model == "required" and not worker.model else ""


def model_component(name: str) -> str:
    """The name of a model's component on a host."""
    return MODEL_PREFIX + _fleet.slug(name)


def model_spec(fleet: _fleet.Fleet, model: _fleet.Model) -> _spec.Spec:
    """A model as a component of a host."""
    source = model_source(model)
    return _spec.Spec(
        name=model_component(model.name),
        type=_spec.MODEL,
        kind=_spec.MODEL,
        fleet=fleet.name,
        version=model.revision if model.source == _keys.HUGGINGFACE else source.sha256[:12],
        variants=(_spec.Variant(model.source, {_spec.ANY_PLATFORM: source}),),
        served_name=model.name,
        declared=json.dumps(declared_model(model), sort_keys=True),
    )


def declared_model(model: _fleet.Model) -> dict[str, t.Any]:
    """The shortest ``[[model]]`` that means this one, without hives and what is locked; its path without a folder."""
    usual = _fleet.Model(model.name)
    given = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    own = {name: value for name, value in given.items() if name not in ("hives", "pre_download", "commit", "files")}
    own["path"] = posixpath.basename(model.path)  # the folder is one of the controller's
    return {"name": model.name} | {name: value for name, value in own.items() if value != getattr(usual, name)}


def model_source(model: _fleet.Model) -> _spec.Source:
    """Where the files of a model come from."""
    if model.source == _keys.HUGGINGFACE:
        return _spec.Source(
            kind=HUGGINGFACE,
            repository=model.name,
            revision=model.commit or model.revision,
            name=model.file,
            sha256=model.sha256,
            files=dict(model.files),
            fetch=model.fetch,
        )
    name = file_name(model.path or model.url)
    archive = name.endswith(_ARCHIVES)
    return _spec.Source(
        kind="archive" if archive else "file",
        url=model.url,
        path=model.path,
        sha256=model.sha256,
        name=model.file if archive else name,
        fetch=model.fetch,
    )
