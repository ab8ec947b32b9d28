# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync found that nobody declares, as entries of the configuration. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._drift import EXTRA, LEFT
from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, MODEL, WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils import _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, Table
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import LOCAL, SSH, Fleet, Hive, slug
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import entry_name

Component = t.Mapping[str, t.Any]
"""As M(rbee.fleet.components) returns it."""


@dataclasses.dataclass(frozen=True)
class Departed:
    """A hive that has left. entry: of the queen's register. components: what is on it."""

    entry: t.Mapping[str, t.Any]
    components: tuple[Component, ...]


class Adoption:
    """What of it all can be declared. change: the entries. notes: what cannot, and why."""

    def __init__(
        self,
        fleet: Fleet,
        catalog: Catalog,
        found: t.Mapping[str, t.Iterable[Component]],
        departed: t.Mapping[str, Departed],
        declares_models: bool = True,
        only_temporary: t.Mapping[str, Table] | None = None,
    ) -> None:
        """found: the components of each host of the fleet. departed: by alias.

        declares_models: whether there is a models.conf; without one, hives list repositories of Hugging Face.
        only_temporary: the tables of models that only the file of what is temporary has, by name.
        """
        self._fleet, self._catalog, self._declares_models = fleet, catalog, declares_models
        self.notes: list[str] = []
        hives = {hive.alias for hive in fleet.hives}
        workers: dict[str, tuple[str | Table, ...]] = {}
        for host, components in found.items():
            extra = [component for component in components if is_extra(component)]
            entries = self._workers(host, extra) if host in hives else []
            others = [item["name"] for item in extra if host not in hives or item["kind"] != WORKER]
            self.notes += [f"{host}: {name}: only workers of a declared hive can be adopted" for name in others]
            if entries:
                workers[host] = tuple(entries)
        tables = [self._hive(alias, gone) for alias, gone in sorted(departed.items())]
        models, listed = self._models(
            [(host, item) for host, items in found.items() if host in hives for item in items if is_left(item)]
        )
        hive_tables = tuple(table for table in tables if table)
        named = set().union(*listed.values(), *(table.get("models", ()) for table in hive_tables))
        for entries in (*workers.values(), *(table.get("workers", ()) for table in hive_tables)):
            named |= {entry["model"] for entry in entries if isinstance(entry, dict) and "model" in entry}
        models += tuple(table for name, table in (only_temporary or {}).items() if name in named)
        self.change = Change(hives=hive_tables, workers=workers, models=models, listed=listed)

    def _models(self, left: t.Iterable[tuple[str, Component]]) -> tuple[tuple[Table, ...], dict[str, tuple[str, ...]]]:
        """The models to declare, and those to list at hives. left: with the alias of the hive that has it."""
        known = {model.name: model for model in self._fleet.models}
        tables: dict[str, Table] = {}
        listed: dict[str, tuple[str, ...]] = {}
        for host, component in left:
            entry = dict(sorted(component["declared"].items(), key=lambda item: item[0] != "name"))
            name = str(entry.get("name", ""))
            other = tables.get(name)
            if name in known and host in known[name].hives:
                continue  # brought by hand where it is declared not to come by itself
            if name in known or (not self._declares_models and set(entry) == {"name"}):
                listed[host] = (*listed.get(host, ()), name)
            elif other and {**other, "hives": None} == {**entry, "hives": None}:
                other["hives"].append(host)
            else:
                reason = self._obstacle(entry, other)
                if reason:
                    self.notes.append(f"{host}: {component['name']}: not adopted, since {reason}")
                else:
                    tables[name] = {**entry, "hives": [host]}
        return tuple(tables.values()), listed

    def _obstacle(self, entry: Table, other: Table | None) -> str:
        """Why a model cannot be declared. other: what is to be declared under its name already."""
        if not entry.get("name"):
            return "its name is not known; install it again"
        if entry.get("source") == _keys.FILE:
            return "it came from a file of whoever installed it; declare it with its path"
        if not self._declares_models:
            return "there is no models.conf, and more than its name has to be said of it"
        if other:
            return "another hive has another model of this name"
        alike = next((model.name for model in self._fleet.models if slug(model.name) == slug(entry["name"])), "")
        return f"it differs from {alike} only in case or punctuation" if alike else ""

    def _workers(self, host: str, components: t.Iterable[Component]) -> list[str | Table]:
        return [
            entry
            for component in components
            if component["kind"] == WORKER
            for entry in [self._worker(host, component)]
            if entry
        ]

    def _worker(self, host: str, component: Component) -> str | Table | None:
        entry, reason = entry_of(component, self._catalog)
        if reason:
            self.notes.append(f"{host}: {component['name']}: not adopted, since {reason}")
            return None
        return entry if len(entry) > 1 else entry_name(entry)

    def _hive(self, alias: str, gone: Departed) -> Table | None:
        entry = gone.entry
        if (entry["scope"], entry["prefix"]) != (self._fleet.scope, self._fleet.prefix):
            self.notes.append(
                f"{alias}: not adopted, since it is installed in {entry['prefix']}, {entry['scope']} scope"
            )
            return None
        usual = {field.name: field.default for field in dataclasses.fields(Hive)}
        local = entry["hostname"].lower() == "localhost"
        usual |= {
            "address": "127.0.0.1" if local else entry["hostname"],
            "connection": LOCAL if local else SSH,
        }
        keys = ("ssh_user", "ssh_port", "hive_port", "address", "connection", "auto_start")
        table: Table = {"alias": alias, "hostname": entry["hostname"]}
        table |= {key: entry[key] for key in keys if entry[key] != usual[key]}
        workers = self._workers(alias, gone.components)
        served = {worker["model"] for worker in workers if isinstance(worker, dict) and "model" in worker}
        models = [item["declared"].get("name") for item in gone.components if item["kind"] == MODEL]
        known = {model.name for model in self._fleet.models if alias not in model.hives}
        models = [name for name in models if name in known - served]
        table |= {key: value for key, value in (("workers", workers), ("models", models)) if value}
        return table


def entry_of(component: Component, catalog: Catalog) -> tuple[Table, str]:
    """The entry of a hive's ``workers`` that declares a worker, and why it cannot be declared, or an empty string.

    component: any record of it with ``declared`` and ``version``.
    """
    entry = dict(component["declared"])
    known = catalog.get(str(entry.get("type")))
    reason = ""
    if known is None or known.kind != WORKER:
        reason = f"the catalog has no worker type {entry.get('type')!r}"
    elif component["version"] not in known.versions:
        reason = f"the catalog has no version {component['version']} of it"
    elif component["version"] != known.latest:
        entry["version"] = component["version"]
    else:
        entry.pop("version", None)
    return {key: entry[key] for key in _keys.WORKER if key in entry}, reason


def is_extra(component: Component) -> bool:
    return any(item["kind"] in (EXTRA, LEFT) for item in component["drift"]) and component["kind"] != MODEL


def is_left(component: Component) -> bool:
    """Whether it is a model that nobody declares for its host."""
    return component["kind"] == MODEL and any(item["kind"] in (EXTRA, LEFT) for item in component["drift"])


def is_hive(components: t.Iterable[Component]) -> bool:
    """Whether there is anything on a host that makes it worth being declared."""
    return any(component["kind"] in (HIVE, WORKER) for component in components)
