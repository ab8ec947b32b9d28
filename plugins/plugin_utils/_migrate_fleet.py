# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one fleet among what was found on machines: whose receipts, where, and what its queen says of it. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, MODEL, QUEEN, WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine

Receipt = t.Mapping[str, t.Any]
Table = dict[str, t.Any]


class MigrateError(Exception):
    """What was found makes no configuration; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Looked:
    """A machine with what M(rbee.fleet.machine_info) found on it."""

    machine: Machine
    installations: t.Sequence[t.Mapping[str, t.Any]] = ()
    engines: t.Sequence[t.Mapping[str, t.Any]] = ()


@dataclasses.dataclass(frozen=True)
class Installed:
    """What a fleet has on the machines that were looked at.

    receipts: by the alias of the machine. queen: the alias of hers, or empty. has_key: whether she asks for one.
    notes: what else there is. A fleet without a name is one that nobody has installed.
    """

    name: str = ""
    scope: str = _fleet.SYSTEM
    prefix: str = _fleet.PREFIXES[_fleet.SYSTEM]
    receipts: t.Mapping[str, t.Sequence[Receipt]] = dataclasses.field(default_factory=dict)
    queen: str = ""
    has_key: bool = False
    notes: tuple[str, ...] = ()

    def of(self, alias: str, *kinds: str) -> list[Receipt]:
        """The receipts of these kinds on a machine."""
        return [receipt for receipt in self.receipts.get(alias, ()) if receipt.get("kind") in kinds]

    @property
    def queen_receipt(self) -> Receipt:
        """Empty where there is none."""
        return next(iter(self.of(self.queen, QUEEN)), {})


def installed(looked: t.Sequence[Looked], fleet: str, without: t.Collection[str]) -> Installed:
    """The fleet that the machines belong to. fleet: its name, where they have several. Raises MigrateError.

    without: aliases of hives, or ``queen``, that may be missing.
    """
    found = {
        (str(receipt["fleet"]), str(installation["scope"]))
        for look in looked
        for installation in look.installations
        for receipt in installation["receipts"]
        if receipt.get("fleet") and fleet in ("", receipt["fleet"])
    }
    if fleet and not found:
        raise MigrateError(f"fleet: nothing of a fleet {fleet!r} is on these machines")
    if len({name for name, _scope in found}) > 1:
        names = ", ".join(sorted({name for name, _scope in found}))
        raise MigrateError(f"these machines have components of several fleets, {names}: name one with -e fleet=NAME")
    if len(found) > 1:
        raise MigrateError("the fleet is installed in system scope and in user scope: give the machines of one of them")
    if not found:
        return Installed()
    ((name, scope),) = found
    return _complete(_one_prefix(looked, name, scope), without)


def _one_prefix(looked: t.Sequence[Looked], name: str, scope: str) -> Installed:
    """A configuration has one prefix: the queen's, else the most frequent one."""
    places = [(look.machine.alias, item) for look in looked for item in look.installations if _has(item, name)]
    queens = [(alias, item) for alias, item in places if _has(item, name, QUEEN)]
    if len(queens) > 1:
        where = ", ".join(f"{alias} ({item['prefix']})" for alias, item in queens)
        raise MigrateError(
            f"fleet {name!r} has a queen on {where}: leave one out, or name its prefix with -e prefixes=PATH"
        )
    counted = collections.Counter(_spelt(item["prefix"], scope) for _alias, item in places)
    prefix = counted.most_common(1)[0][0]
    for _alias, item in queens:
        receipt = next(one for one in item["receipts"] if one.get("kind") == QUEEN)
        declared = (receipt.get("declared") or {}).get("fleet", {})
        prefix = declared.get("prefix") or _spelt(item["prefix"], scope)
    receipts: dict[str, list[Receipt]] = {}
    notes = []
    for alias, item in places:
        if item["prefix"] == prefix or (prefix.startswith("~/") and item["prefix"].endswith(prefix[1:])):
            receipts[alias] = [receipt for receipt in item["receipts"] if receipt.get("fleet") == name]
        else:
            notes.append(
                f"{alias}: fleet {name} is in {item['prefix']} too, which was left out: its prefix is {prefix}"
            )
    return Installed(
        name=name,
        scope=scope,
        prefix=prefix,
        receipts=receipts,
        queen=queens[0][0] if queens else "",
        has_key=any(item["has_key"] for _alias, item in queens),
        notes=tuple(notes),
    )


def _has(installation: t.Mapping[str, t.Any], fleet: str, kind: str = "") -> bool:
    return any(
        receipt.get("fleet") == fleet and kind in ("", receipt.get("kind")) for receipt in installation["receipts"]
    )


def _spelt(prefix: str, scope: str) -> str:
    """As rbee.conf has it by default, where it is that."""
    usual = _fleet.PREFIXES[scope]
    return usual if usual.startswith("~/") and prefix.endswith(usual[1:]) else prefix


def _complete(found: Installed, without: t.Collection[str]) -> Installed:
    """The same, unless a part of it was not looked at: a configuration without it would take it away."""
    hives = {hive_alias(found, alias) for alias in found.receipts if found.of(alias, HIVE)}
    if not found.queen and hives and _fleet.QUEEN_HOST not in without:
        raise MigrateError(
            f"the queen of fleet {found.name!r} is not on these machines: give hers too, or else -e without=queen"
        )
    unseen = {
        alias: entry
        for alias, entry in found.queen_receipt.get("register", {}).items()
        if alias not in hives and alias not in without
    }
    missing = {alias: entry for alias, entry in unseen.items() if not entry.get("temporary")}
    if missing:
        ways = ", ".join(f"{alias}={reached(entry)}" for alias, entry in sorted(missing.items()))
        raise MigrateError(
            f"the queen on {found.queen} knows hives that were not looked at: give them too (hosts=…,{ways}),"
            f" or leave them out with -e without={','.join(sorted(missing))}"
        )
    notes = [f"{alias}: not looked at; it was installed as temporary, and is not declared" for alias in sorted(unseen)]
    return dataclasses.replace(found, notes=(*found.notes, *notes))


def hive_alias(found: Installed, alias: str) -> str:
    """The alias of the hive on a machine, which may have been given another one."""
    agent = next(iter(found.of(alias, HIVE)), {})
    return str((agent.get("declared") or {}).get("alias") or alias)


def reached(entry: t.Mapping[str, t.Any]) -> str:
    """How an entry of the register is reached, as in ``hosts``."""
    hostname = f"[{entry['hostname']}]" if ":" in entry["hostname"] else entry["hostname"]
    user = f"{entry['ssh_user']}@" if entry.get("ssh_user") else ""
    return f"{user}{hostname}" + (f":{entry['ssh_port']}" if entry.get("ssh_port", 22) != 22 else "")


def summary(found: Installed, looked: Looked) -> str:
    """What was found on a machine, in words."""
    kinds = (QUEEN, HIVE, WORKER, MODEL)
    own = [str(receipt["name"]) for kind in kinds for receipt in found.of(looked.machine.alias, kind)]
    parts = [f"{', '.join(own)} of fleet {found.name}"] if own else []
    parts += [named(engine) for engine in looked.engines]
    return "; ".join(parts) or "nothing that runs models"


def named(engine: t.Mapping[str, t.Any]) -> str:
    """An engine in words."""
    place = engine["container"] or engine["unit"] or f"process {engine['pid']}"
    return f"{engine['type']} on port {engine['port']} ({place})"
