# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the catalog as components of a host: tools, and workers with what the configuration says of them. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _spec
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._target import fill
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import ALIAS, QUEEN_URL, Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_component
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import fits

TOOLS = ("python", "uv", "supervisor", HUGGINGFACE)


def tools(fleet: _fleet.Fleet, catalog: Catalog) -> tuple[_spec.Spec, ...]:
    """What a host may need for an installation itself; the host decides whether it does."""
    return tuple(component(fleet, entry_of(catalog, name), name) for name in TOOLS if catalog.get(name))


def entry_of(catalog: Catalog, name: str, version: str = "") -> Entry:
    entry = catalog.get(name, version)
    if entry is None:
        raise KeyError(f"the catalog has no '{name}'")
    return entry


def component(fleet: _fleet.Fleet, entry: Entry, name: str, version: str = "") -> _spec.Spec:
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


def values_of(fleet: _fleet.Fleet, hive: _fleet.Hive) -> dict[str, str]:
    """What stands for the placeholders of hives and workers that a host cannot fill in."""
    return {ALIAS: hive.alias, QUEEN_URL: _fleet.queen_url(fleet, hive)}


def filled(spec: _spec.Spec, values: t.Mapping[str, str]) -> _spec.Spec:
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


def worker_spec(
    fleet: _fleet.Fleet,
    hive: _fleet.Hive,
    worker: _fleet.Worker,
    entry: Entry,
    models: t.Mapping[str, str] | None = None,
) -> _spec.Spec:
    """models: those that it serves on demand."""
    spec = component(fleet, entry, worker.name, worker.version)
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
        idle="" if models else idle_reason(worker, entry),
        model=model_component(worker.model) if worker.model else "",
        served_name=worker.model,
        gpus=(worker.gpus,) if isinstance(worker.gpus, str) else tuple(str(number) for number in worker.gpus),
        declared=json.dumps(declared_worker(worker, entry), sort_keys=True),
        temporary=worker.temporary or hive.temporary,
    )
    return filled(spec, values_of(fleet, hive))


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


def idle_reason(worker: _fleet.Worker, entry: Entry) -> str:
    return "no model" if entry.model == "required" and not worker.model else ""
