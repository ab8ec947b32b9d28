# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hive or a worker of the command line: what becomes of the files, and which hosts it concerns. Pure.

It is checked as a layer on top of the files, with their rules; mistakes are named by variable, as in ``-e port``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, QUEEN
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet, _keys, _toml
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError, Table
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY, entry_name
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_component
from ansible_collections.rbee.fleet.plugins.plugin_utils._one_off_given import HIVE as A_HIVE
from ansible_collections.rbee.fleet.plugins.plugin_utils._one_off_given import MODEL_KEYS, require
from ansible_collections.rbee.fleet.plugins.plugin_utils._one_off_given import WORKER as A_WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import dotted, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._temporary import models_only_there
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import serves

_FIRST = ("alias", "hostname", "ssh_user", "ssh_port", "hive_port")  # of a hive, as people write it


@dataclasses.dataclass(frozen=True)
class OneOff:
    """What is to be done.

    files, temporary: changes of the files and of what is temporary. hosts: the components concerned, by host; none for
    all of them.
    name: of the hive or worker. declared: whether any file has it. place: the file in which it is, or was.
    """

    name: str
    files: Change = dataclasses.field(default_factory=Change)
    temporary: tuple[Change, ...] = ()
    hosts: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    declared: bool = True
    place: str = ""


class _Given(_toml.Document):
    """What the variables say, as a document."""

    def place(self, path: _toml.Path) -> tuple[str, int, _toml.Path]:
        rest = path[4:] if path[2:3] == ("workers",) and self.name == A_WORKER else path[2:]
        if path[:1] == ("model",) and rest == ("name",):
            rest = ("model",)
        return f"-e {dotted(rest)}".strip(), 0, ()


def installed(
    what: str, given: t.Mapping[str, t.Any], texts: t.Mapping[str, str], catalog: Catalog, folder: str
) -> OneOff:
    """What installs a hive or a worker. texts: of the files, by name. Raises ConfigError or EditError."""
    if what == A_WORKER:
        require(given, "hive", "type")
        before = _config.parse(texts, catalog, folder)
        _check_hive(before, given["hive"])
        _check_model(before, given)
    temp = given.get("temp", False)
    if not isinstance(temp, bool):
        raise ConfigError([Mistake("-e temp", 0, "", "expected true or false")])
    keys = (*_FIRST, *_keys.HIVE) if what == A_HIVE else tuple(_keys.WORKER)
    entry = {key: given[key] for key in keys if key in given}
    models = _model(given) if what == A_WORKER else ()
    table = entry if what == A_HIVE else {"alias": given["hive"], "workers": [entry]}
    fleet = _config.parse(texts, catalog, folder, [_Given(what, {"hive": [table], "model": list(models)}, {})])
    old = {name: _toml.parse(name, texts.get(name, "")).data for name in (*_config.FILES, TEMPORARY)}
    models = tuple(model for model in models if not _has(old, "model", model))
    if not temp:  # they would go with what is temporary
        only_there = models_only_there(old[_config.MODELS], old[TEMPORARY])
        named = [entry.get("model"), *entry.get("models", ())]
        models += tuple(only_there[name] for name in named if name in only_there)
    wanted = Change(
        models=models, **({"hives": (entry,)} if what == A_HIVE else {"workers": {given["hive"]: (entry,)}})
    )
    place = _existing(what, entry, given, old)
    if place == _config.HIVES and temp:
        raise EditError(
            f"{_config.HIVES} declares it, so that it is not temporary; leave out temp, or name another one"
        )
    name = entry["alias"] if what == A_HIVE else entry_name(entry)
    hosts = (
        _concerned(fleet, catalog, entry["alias"])
        if what == A_HIVE
        else _of_worker(fleet, catalog, given["hive"], name)
    )
    if place == (TEMPORARY if temp else _config.HIVES):
        return OneOff(name, hosts=hosts, place=place)
    if temp:
        return OneOff(name, temporary=(wanted,), hosts=hosts, place=TEMPORARY)
    if what == A_WORKER and not _hive_table(old[_config.HIVES], given["hive"]):
        raise EditError(f"the hive {given['hive']!r} is temporary itself: add -e temp=true, or install it without temp")
    again = (_without(what, entry, wanted, old[TEMPORARY]),) if place == TEMPORARY else ()
    return OneOff(name, files=wanted, temporary=again, hosts=hosts, place=_config.HIVES)


def removed(
    what: str, given: t.Mapping[str, t.Any], texts: t.Mapping[str, str], catalog: Catalog, folder: str
) -> OneOff:
    """What removes one: as above."""
    require(given, *(("alias",) if what == A_HIVE else ("hive", "worker")))
    fleet = _config.parse(texts, catalog, folder)
    alias, name = (given["alias"], given["alias"]) if what == A_HIVE else (given["hive"], given["worker"])
    old = {file: _toml.parse(file, texts.get(file, "")).data for file in (_config.HIVES, TEMPORARY)}
    change = Change(hives=({"alias": alias},), present=False)
    if what == A_WORKER:
        change = Change(workers={alias: ({"name": name, "type": name},)}, present=False)
    in_files, in_temporary = (
        _hive_table(data, alias) if what == A_HIVE else _worker_entry(data, alias, name) for data in old.values()
    )
    # Where the hive is on the queen's machine, whatever else is there is the hive's.
    hosts: dict[str, tuple[str, ...]] = {
        fleet.queen_host: (QUEEN,) if alias != fleet.queen_host or what == A_WORKER else ()
    }
    if what == A_WORKER:
        hive = _check_hive(fleet, alias)
        worker = next((worker for worker in hive.workers if worker.name == name), None)
        others = {worker.model for worker in hive.workers if worker.name != name}
        alone = worker and worker.model and worker.model not in others
        models = (model_component(worker.model),) if worker and alone else ()
        sharing = _sharing(fleet, hive, worker.model, catalog) if worker and worker.model else ()
        hosts = _joined({alias: (HIVE, name, *models, *sharing)}, hosts)
    return OneOff(
        name,
        files=change if in_files else Change(),
        temporary=(change,) if in_temporary else (),
        hosts=hosts,
        declared=bool(in_files or in_temporary),
        place=_config.HIVES if in_files else TEMPORARY if in_temporary else "",
    )


def _check_hive(fleet: _fleet.Fleet, alias: str) -> _fleet.Hive:
    hives = {hive.alias: hive for hive in fleet.hives}
    if alias not in hives:
        raise ConfigError([Mistake("-e hive", 0, "", f"unknown hive; {suggestion(alias, hives)}")])
    return hives[alias]


def _check_model(fleet: _fleet.Fleet, given: t.Mapping[str, t.Any]) -> None:
    known = [model.name for model in fleet.models]
    if isinstance(given.get("model"), str) and given["model"] not in known and "source" not in given:
        near = f"not a declared model; {suggestion(given['model'], known)}"
        message = f"{near}; to declare it with its worker, add -e source={', '.join(_keys.MODEL_SOURCES[:2])} or file"
        raise ConfigError([Mistake("-e model", 0, "", message)])


def _model(given: t.Mapping[str, t.Any]) -> tuple[Table, ...]:
    """The table of models.conf that the variables of a worker declare."""
    keys = {key: given[key] for key in MODEL_KEYS if key in given}
    if not keys:
        return ()
    if "source" not in keys:
        name = next(iter(keys))
        raise ConfigError([Mistake(f"-e {name}", 0, "", "is for a model that is not declared yet; add -e source=…")])
    if "model" not in given:
        raise ConfigError([Mistake("-e model", 0, "", "missing; source needs the model's name")])
    return ({"name": given["model"], **keys},)


def _has(old: t.Mapping[str, Table], kind: str, wanted: Table) -> bool:
    """Whether the model is declared so already. Raises EditError where it is declared, and differs."""
    for file in (_config.MODELS, TEMPORARY):
        for table in old[file].get(kind, []):
            if table.get("name") == wanted["name"]:
                _check_alike(file, f"the model {wanted['name']!r}", {"source": _keys.HUGGINGFACE, **table}, wanted)
                return True
    return False


def _existing(what: str, entry: Table, given: t.Mapping[str, t.Any], old: t.Mapping[str, Table]) -> str:
    """The file that has the entry already. Raises EditError where it differs."""
    for file in (_config.HIVES, TEMPORARY):
        if what == A_HIVE:
            known = _hive_table(old[file], entry["alias"])
            about, more = f"the hive {entry['alias']!r}", ""
            if known and "hostname" not in known:
                continue
        else:
            known = _worker_entry(old[file], given["hive"], entry_name(entry))
            about = f"the hive {given['hive']} with a worker {entry_name(entry)!r}"
            more = "" if "name" in entry else " (or give this one a name of its own: -e name=… -e port=…)"
        if known:
            _check_alike(file, about, known, entry, more)
            return file
    return ""


def _check_alike(file: str, about: str, known: Table, wanted: Table, more: str = "") -> None:
    """Whatever is asked for again is what is there; what the file says beside it is not asked about."""
    other = [key for key, value in wanted.items() if not _alike(known.get(key), value)]
    if other:
        differs = f"and it differs in {', '.join(other)}"
        raise EditError(f"{file} has {about} already, {differs}; edit or remove that one first{more}")


def _alike(known: t.Any, wanted: t.Any) -> bool:
    if isinstance(known, list) and isinstance(wanted, list):
        return all(item in known for item in wanted)
    return bool(known == wanted)


def _without(what: str, entry: Table, wanted: Change, temporary: Table) -> Change:
    """What takes an entry out of what is temporary once the files have it; further workers of a hive stay in there."""
    names = {entry_name(worker) for worker in entry.get("workers", ())}
    known = (_hive_table(temporary, entry["alias"]) or {}) if what == A_HIVE else {}
    left = [worker for worker in known.get("workers", ()) if entry_name(worker) not in names]
    if left:
        return Change(hives=({"alias": entry["alias"], "workers": left},))
    return dataclasses.replace(wanted, present=False)


def _hive_table(data: Table, alias: str) -> Table | None:
    return next((hive for hive in data.get("hive", []) if hive.get("alias") == alias), None)


def _worker_entry(data: Table, alias: str, name: str) -> Table | None:
    workers = (_hive_table(data, alias) or {}).get("workers", [])
    found = next((worker for worker in workers if entry_name(worker) == name), None)
    return {"type": found} if isinstance(found, str) else found


def _concerned(fleet: _fleet.Fleet, catalog: Catalog, alias: str) -> dict[str, tuple[str, ...]]:
    names = tuple(spec.name for spec in resolve(fleet, catalog)[alias].specs)
    return _joined({alias: names}, {fleet.queen_host: (QUEEN,)})


def _of_worker(fleet: _fleet.Fleet, catalog: Catalog, alias: str, name: str) -> dict[str, tuple[str, ...]]:
    hive = next(hive for hive in fleet.hives if hive.alias == alias)
    worker = next(worker for worker in hive.workers if worker.name == name)
    names = (
        HIVE,
        *map(model_component, serves(fleet, hive, worker, catalog)),
        name,
        *_sharing(fleet, hive, worker.model, catalog),
    )
    return _joined({alias: names}, {fleet.queen_host: (QUEEN,)})


def _sharing(fleet: _fleet.Fleet, hive: _fleet.Hive, model: str, catalog: Catalog) -> list[str]:
    """The workers of a hive that serve a model on demand unless a worker serves it alone."""
    alone = dataclasses.replace(hive, workers=tuple(one for one in hive.workers if one.model != model))
    return [one.name for one in alone.workers if model in serves(fleet, alone, one, catalog)]


def _joined(one: t.Mapping[str, tuple[str, ...]], other: t.Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {host: tuple(dict.fromkeys((*one.get(host, ()), *other.get(host, ())))) for host in {**one, **other}}
