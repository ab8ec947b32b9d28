# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hives.conf: what the keys of a hive and of its workers have to do with each other. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._gpu_place import VISIBLE
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import tell_apart
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Path

_RESERVED = ("queen", "hive", "pull")
_WILDCARDS = ("0.0.0.0", "::")


def implied_models(reader: Reader, tables: t.Sequence[_keys.Table]) -> dict[str, _fleet.Model]:
    """Without a models.conf, the models of a hive are Hugging Face repositories."""
    models: dict[str, _fleet.Model] = {}
    for index, table in enumerate(tables):
        for position, name in enumerate(table["models"]):
            if name is not None and name not in models:
                tell_apart(reader, ("hive", index, "models", position), name, models)
                models[name] = _fleet.Model(name)
    return models


def connection(reader: Reader, path: Path, table: _keys.Table) -> str:
    """How a machine is reached: localhost without ssh, unless the table says otherwise."""
    if table["connection"]:
        return str(table["connection"])
    if table["hostname"].lower() != "localhost":
        return _fleet.SSH
    if table["ssh_port"] != 22:
        reader.wrong(path + ("ssh_port",), 'localhost is used without ssh; add connection = "ssh" if ssh is meant')
    return _fleet.LOCAL


def build(
    reader: Reader, tables: t.Sequence[_keys.Table], models: t.Mapping[str, _fleet.Model], catalog: Catalog
) -> tuple[_fleet.Hive, ...]:
    """The hives. models: all that are declared, by name."""
    return tuple(_hive(reader, ("hive", index), table, models, catalog) for index, table in enumerate(tables))


def _hive(
    reader: Reader, path: Path, table: _keys.Table, models: t.Mapping[str, _fleet.Model], catalog: Catalog
) -> _fleet.Hive:
    for position, name in enumerate(table["models"]):
        if name is not None and name not in models:
            reader.wrong(path + ("models", position), f"not a declared model; {suggestion(name, models)}")
    workers: list[_fleet.Worker] = []
    for index, worker in enumerate(table["workers"]):
        workers.append(_Worker(reader, path + ("workers", index), worker or {}, models).build(workers, catalog))
    wanted = {name for name in table["models"] if name} | {worker.model for worker in workers if worker.model}
    wanted |= {name for name, model in models.items() if table["alias"] in model.hives and model.pre_download}
    address = table["address"] or ("127.0.0.1" if table["hostname"].lower() == "localhost" else table["hostname"])
    if address in _WILDCARDS:
        reader.wrong(path + ("address",), "expected the address that the queen dials, not a wildcard")
    return _fleet.Hive(
        **table
        | {
            "address": address,
            "connection": connection(reader, path, table),
            "workers": tuple(workers),
            "models": tuple(name for name in models if name in wanted),
        }
    )


def _listed(gpus: str | t.Sequence[int]) -> str:
    if isinstance(gpus, str):
        return "all GPUs"
    return f"GPU{'s' * (len(gpus) > 1)} {', '.join(str(number) for number in gpus)}"


class _Worker:
    """One entry of a hive's ``workers``, on its way to the fleet."""

    def __init__(self, reader: Reader, path: Path, table: _keys.Table, models: t.Mapping[str, _fleet.Model]) -> None:
        self.reader = reader
        self.path = path
        self.table = table
        self.models = models

    def build(self, others: t.Sequence[_fleet.Worker], catalog: Catalog) -> _fleet.Worker:
        """The worker; after a mistake, one without a port, which causes no further ones. others: before it."""
        entry = self._entry(catalog)
        if entry is None:
            return _fleet.Worker(self.table.get("type", ""), self.table.get("name", ""), "", 0)
        version = self._version(entry)
        entry = catalog.get(entry.type, version) or entry
        variants = [variant.name for variant in entry.variants(version)]
        if self.table["variant"] and self.table["variant"] not in variants:
            self._wrong("variant", f"no such build; {suggestion(self.table['variant'], variants)}")
        if self.table["model"]:
            self._model(entry)
        if self.table["gpus"]:
            self._gpus(entry, version, others)
        name = self.table["name"] or entry.type
        tool = catalog.get(name)
        if name in _RESERVED or name.startswith("model-") or (tool and tool.kind == "tool"):
            self._wrong("name", "reserved; choose another name")
        port = self.table["port"] or (entry.port if self._distinct(name, others) else 0)
        return _fleet.Worker(**self.table | {"name": name, "port": port, "version": version})

    def _wrong(self, key: str, message: str) -> None:
        """A worker given by its type alone has no keys to point at."""
        named = bool(self.reader.given(self.path))
        self.reader.wrong(self.path + (key,) if named else self.path, message)

    def _entry(self, catalog: Catalog) -> Entry | None:
        kind = self.table.get("type", "")
        entry = catalog.get(kind)
        if entry and entry.kind == "worker":
            return entry
        if kind:
            self._wrong("type", f"unknown worker type; {suggestion(kind, catalog.types('worker'))}")
        return None

    def _version(self, entry: Entry) -> str:
        wanted = str(self.table["version"])
        if wanted in entry.versions:
            return wanted
        if wanted != _keys.LATEST:
            known = (_keys.LATEST, *entry.versions)
            self._wrong("version", f"the catalog has no such version; {suggestion(wanted, known)}")
        return entry.latest

    def _model(self, entry: Entry) -> None:
        name = self.table["model"]
        model = self.models.get(name)
        if entry.model == "none":
            self._wrong("model", f"a {entry.type} worker serves no model by name")
        elif model is None:
            self._wrong("model", f"not a declared model; {suggestion(name, self.models)}")
        elif entry.model_format == "gguf" and model.source == _keys.HUGGINGFACE and not model.file:
            self._wrong("model", f"a {entry.type} worker serves one GGUF file; name that in the model's 'file'")

    def _gpus(self, entry: Entry, version: str, others: t.Sequence[_fleet.Worker]) -> None:
        """Only what files alone can tell; whether a GPU is there, its host knows."""
        variants = entry.variants(version)
        chosen = [variant for variant in variants if self.table["variant"] in ("", variant.name)]
        if chosen and not any(variant.device for variant in chosen):
            build = f"the build '{self.table['variant']}'" if self.table["variant"] else f"a {entry.type} worker"
            self._wrong("gpus", f"{build} uses no GPU")
        own = self.table["gpus"]
        for name, taken in [(other.name, other.gpus) for other in others if other.gpus]:
            if _fleet.ALL_GPUS in (own, taken):
                message = f"claims {_listed(taken)}; 'all' leaves none"
            elif set(own) & set(taken):
                message = f"claims {_listed(sorted({*own} & {*taken}))} already"
            else:
                continue
            self._wrong("gpus", f"worker '{name}' of this hive {message}")
        shown = sorted(VISIBLE & self.table["env"].keys())
        if shown:
            self._wrong("env", f"{shown[0]} is what gpus sets; take one of them away")

    def _distinct(self, name: str, others: t.Sequence[_fleet.Worker]) -> bool:
        """A second worker of a type says how it differs: nothing is shifted silently."""
        kind = self.table["type"]
        if any(name == other.name for other in others):
            need = f"there is a worker '{name}' on this hive" if self.table["name"] else f"a second {kind} needs a name"
            self._wrong("name", f'{need}; write {{ type = "{kind}", name = …, port = … }}')
        elif not self.table["port"] and any(kind == other.type for other in others):
            self._wrong("port", f"missing; a second {kind} on a hive needs a port of its own")
        else:
            return True
        return False
