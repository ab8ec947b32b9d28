# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was found on machines to the text of the configuration files, and to what they cannot say. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, MODEL, QUEEN, WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet, _given, _keys, _starter
from ansible_collections.rbee.fleet.plugins.plugin_utils._adopt import entry_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_engine import Proposal, Taken, proposed
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_fleet import (
    Installed,
    Looked,
    Receipt,
    Table,
    hive_alias,
    named,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import value

_ONE_LINE = 100
_TEMPORARY = "it was installed as temporary"


@dataclasses.dataclass
class Hive:
    """One ``[[hive]]`` on its way. table: without workers and models. reason: why all of it is only a comment."""

    table: Table
    workers: list[Proposal]
    models: list[str]
    reason: str = ""


class Migration:
    """texts: of the three files, by name. notes: what they do not say, each with the machine that it is about."""

    def __init__(self, looked: t.Sequence[Looked], found: Installed, catalog: Catalog) -> None:
        self._found, self._catalog = found, catalog
        self.notes = list(found.notes)
        self._models: dict[str, Table] = {}
        self._unsure: list[tuple[str, Table]] = []  # models that the user has to complete, and why
        self._aliases: set[str] = set()
        self._general = _general(found, {look.machine.alias: look for look in looked}) if found.name else None
        for look in looked:
            for receipt in found.of(look.machine.alias, MODEL):
                self._add_model(look.machine.alias, _model_of(receipt))
        hives = [self._hive(look) for look in looked if self._is_hive(look)]
        self.texts = {
            _config.RBEE: _starter.rbee(self._general),
            _config.HIVES: _starter.hives_of(map(_hive_text, hives)),
            _config.MODELS: _starter.models(
                [*(_starter.entry("model", table) for table in self._models.values()), *map(_unsure_text, self._unsure)]
            ),
        }
        if found.queen and "declared" not in found.queen_receipt:
            self.notes.append(f"{found.queen}: the receipt of the queen only has her address and port")

    def _is_hive(self, look: Looked) -> bool:
        """A machine with nothing but the queen is none."""
        found = self._found.of(look.machine.alias, HIVE, WORKER)
        return bool(found or look.engines or not self._found.of(look.machine.alias, QUEEN))

    def _hive(self, look: Looked) -> Hive:
        machine, found = look.machine, self._found
        alias = _given.alias_of(hive_alias(found, machine.alias), self._aliases)
        self._aliases.add(alias.lower())
        table = _starter.table_of(machine) | {"alias": alias}
        agent: Receipt = next(iter(found.of(machine.alias, HIVE)), {})
        if agent:
            usual = "127.0.0.1" if machine.local else machine.hostname
            own = {
                "address": agent["address"] if agent["address"] != usual else None,
                "hive_port": agent["port"] if agent["port"] != _fleet.Hive.hive_port else None,
                "auto_start": None if agent.get("auto_start", True) else False,
            }
            table = {key: item for key, item in (table | own).items() if item is not None}
            self._compare_register(machine.alias, alias, table)
        own_reason = "" if agent.get("temporary") else _TEMPORARY  # in a comment, another one would be in the way
        workers = [self._worker(look, receipt, own_reason) for receipt in found.of(machine.alias, WORKER)]
        workers.sort(key=lambda worker: "port" in worker.table)  # of several of a type, only the first may have none
        queen = found.queen_receipt.get("port", 0) if found.queen == machine.alias else 0
        ports = (table.get("hive_port", _fleet.Hive.hive_port), queen)
        taken = Taken(ports, [worker.table for worker in workers], self._catalog)
        uses = collections.Counter(
            number for engine in look.engines if engine["state"] == "running" for number in engine["gpus"] or ()
        )
        shared = [number for number, count in uses.items() if count > 1]
        workers += [self._engine(look, engine, taken, shared) for engine in look.engines]
        served = {worker.table.get("model") for worker in workers if not worker.reason}
        own_models = [_model_of(receipt)["name"] for receipt in found.of(machine.alias, MODEL)]
        reason = ""
        if agent.get("temporary"):
            reason = f"the hive is installed and not declared, since {_TEMPORARY}"
            self.notes.append(f"{machine.alias}: {reason}")
        return Hive(table, workers, [name for name in own_models if name not in served], reason)

    def _compare_register(self, machine: str, alias: str, table: Table) -> None:
        known = self._found.queen_receipt.get("register", {}).get(alias)
        keys = ("hostname", "ssh_user", "ssh_port")
        usual = {"ssh_user": "", "ssh_port": 22}
        differing = [key for key in keys if known and known.get(key) != table.get(key, usual.get(key))]
        if differing:
            self.notes.append(f"{machine}: the queen knows another {', '.join(differing)} of it; install corrects that")

    def _worker(self, look: Looked, receipt: Receipt, of_temporary: str) -> Proposal:
        """of_temporary: why one that is temporary is not declared, or an empty string."""
        entry, reason = entry_of({"declared": {"type": receipt.get("type")}, **receipt}, self._catalog)
        if receipt.get("temporary"):
            reason = reason or of_temporary
        elif entry.get("model") and entry["model"] not in self._models:
            reason = reason or f"its model {entry['model']} is not installed"
        if reason:
            hint = (
                "; copy the file of its type into the folder catalog beside this file" if "no worker" in reason else ""
            )
            reason = f"{receipt['name']} is installed and not declared, since {reason}{hint}"
            self.notes.append(f"{look.machine.alias}: {reason}")
        return Proposal(entry, reason)

    def _engine(self, look: Looked, engine: t.Mapping[str, t.Any], taken: Taken, shared: t.Sequence[int]) -> Proposal:
        alias = look.machine.alias
        found = proposed(engine, self._catalog, taken, shared)
        if found.reason:
            reason = f"{named(engine)} is not declared, since {found.reason}"
            self.notes.append(f"{alias}: {reason}")
            if found.model and found.model["name"] not in self._models:
                self._unsure.append((f"{alias}: {named(engine)} serves {_origin(engine['model'])}.", found.model))
            return dataclasses.replace(found, reason=reason)
        self.notes += [f"{alias}: {note}" for note in found.notes]
        if found.model:
            self._add_model(alias, found.model)
        return found

    def _add_model(self, machine: str, table: Table) -> None:
        known = self._models.setdefault(table["name"], table)
        if known != table:
            self.notes.append(
                f"{machine}: its model {table['name']} differs from that of another machine: {_keys_of(table)}"
            )


def _general(found: Installed, looked: t.Mapping[str, Looked]) -> dict[str, Table]:
    """rbee.conf as far as it is known, by section."""
    receipt = found.queen_receipt
    declared_there = receipt.get("declared") or {}
    fleet = {"name": found.name, "scope": found.scope, "prefix": found.prefix}
    usual = _fleet.Fleet(prefix=_fleet.PREFIXES[found.scope])
    queen: Table = {}
    if receipt:
        queen = {"port": receipt["port"], "bind": receipt["address"], "auto_start": receipt.get("auto_start", True)}
        queen |= declared_there.get("queen", {})
        machine = looked[found.queen].machine
        if queen.get("mode") != _fleet.ATTACHED and not machine.local:
            queen |= {"hostname": machine.hostname, "ssh_user": machine.user, "ssh_port": machine.port}
    if found.has_key:
        queen["api_key"] = f"file:{_starter.KEY}"
    as_declared = {name: dict(declared_there[name]) for name in ("package", "pull") if name in declared_there}
    return {
        "fleet": _unusual(declared_there.get("fleet", {}) | fleet, usual),
        "queen": _unusual(queen, usual.queen),
        **as_declared,
    }


def _unusual(table: Table, usual: t.Any) -> Table:
    return {key: item for key, item in table.items() if item != getattr(usual, key, None)}


def _model_of(receipt: Receipt) -> Table:
    """Its table, as its receipt has it."""
    known = receipt.get("declared") or {"name": receipt.get("served_name") or receipt["name"]}
    return {key: known[key] for key in _keys.MODEL if key in known}


def _origin(model: t.Mapping[str, str]) -> str:
    return model["path"] or model["url"] or model["repository"]


def _keys_of(table: Table) -> str:
    return ", ".join(f"{key} {item}" for key, item in table.items() if key != "name") or "no revision, no file"


# Text


def _hive_text(hive: Hive) -> str:
    models = [f"models = {value(hive.models)}"] if hive.models else []
    text = _starter.entry("hive", hive.table, [*_workers_text(hive.workers), *models])
    return _as_comment(f"{hive.table['alias']}: {hive.reason}.", text) if hive.reason else text


def _as_comment(why: str, text: str) -> str:
    """An entry that is not in force; without the marks at the beginnings of its lines it would be."""
    return "\n".join([_starter.comment(why), *(f"#{line}" for line in text.splitlines())])


def _workers_text(workers: t.Sequence[Proposal]) -> list[str]:
    short = [value(_short(worker.table)) for worker in workers]
    line = f"workers = [{', '.join(short)}]"
    if len(line) <= _ONE_LINE and not any(worker.reason for worker in workers):
        return [line] if workers else []
    lines = ["workers = ["]
    for worker, text in zip(workers, short, strict=True):
        if worker.reason:
            lines += [f"  {part}" for part in _starter.comment(f"{worker.reason}.").splitlines()]
        lines.append(f"  {'#' if worker.reason else ''}{text},")
    return [*lines, "]"]


def _short(worker: Table) -> t.Any:
    return worker["type"] if set(worker) == {"type"} else worker


_DONE = "Then take the # away, and that of the worker in hives.conf."
_HOW = {
    "file": "If it is from Hugging Face, declare it so, with the repository as name, and file. Else copy it to this"
    f" machine and enter its digest, as sha256sum prints it. {_DONE}",
    "url": f"Enter its digest, as sha256sum prints it. {_DONE}",
    "huggingface": f"Enter which file of it. {_DONE}",
}


def _unsure_text(unsure: tuple[str, Table]) -> str:
    """A model as a comment."""
    why, table = unsure
    how = _HOW.get(str(table.get("source")), "Take the # away together with that of the worker in hives.conf.")
    return _as_comment(f"{why} {how}".rstrip(), _starter.entry("model", table))
