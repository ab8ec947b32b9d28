# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet from Ansible variables, for the roles: the same keys and the same rules as in the files. Pure.

The documents that the files would be are made from the variables, and mistakes are named by host and variable.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, dotted, kind
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path

Variables = t.Mapping[str, t.Any]
"""The variables of one host, without templates and of plain types."""

MODELS, GROUP = "rbee_models", "rbee_hives_group"
FLEET = {"name": "rbee_fleet_name", "scope": "rbee_scope", "prefix": "rbee_prefix"}
PACKAGE = {"health_check_timeout": "rbee_health_check_timeout"}
QUEEN = {key: f"rbee_queen_{key}" for key in ("port", "auto_start", "bind", "api_key", "insecure", "max_request_bytes")}
HIVE = {
    "address": "rbee_hive_address",
    "hive_port": "rbee_hive_port",
    "workers": "rbee_hive_workers",
    "models": "rbee_hive_models",
    "auto_start": "rbee_hive_auto_start",
}
REACHED = {"hostname": "ansible_host", "ssh_port": "ansible_port", "connection": "ansible_connection"}
NAMES = frozenset({MODELS, *FLEET.values(), *PACKAGE.values(), *QUEEN.values(), *HIVE.values(), *REACHED.values()})

# What only tells the rules that there is a key; the value itself goes from the variable to the task.
_A_KEY = "env:RBEE_QUEEN_API_KEY"
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

Origins = dict[Path, tuple[str, Path]]
"""The host and the path of a variable, by the first parts of a path in a document."""


class _Reader(Reader):
    """Names things by host and variable, and takes numbers and booleans that a template made text of."""

    def __init__(self, data: dict[str, t.Any], origins: Origins, mistakes: list[Mistake]) -> None:
        super().__init__(Document("", data, {}), mistakes)
        self._origins = origins

    def wrong(self, path: Path, message: str) -> None:
        length = next(length for length in range(len(path), 0, -1) if path[:length] in self._origins)
        host, variable = self._origins[path[:length]]
        self.mistakes.append(Mistake(host, 0, dotted(variable + path[length:]), message))

    def where(self, path: Path) -> str:
        return next(host for known, (host, _variable) in self._origins.items() if known[: len(path)] == path)

    def scalar(self, value: t.Any, wanted: type) -> t.Any:
        if isinstance(value, str) and wanted is int and re.fullmatch(r"-?[0-9]{1,18}", value):
            return int(value)
        return _BOOLEANS.get(value.lower(), value) if isinstance(value, str) and wanted is bool else value


@dataclasses.dataclass(frozen=True)
class Site:
    """The host at hand, and what is known there.

    own: its variables. group: all hosts that are hives. folder: where relative paths start.
    """

    host: str
    own: Variables
    group: t.Collection[str]
    catalog: Catalog
    folder: str


def hive(site: Site) -> _fleet.Fleet:
    """The fleet as far as the host of a hive has to know it: settings, models, this hive. Raises ConfigError."""
    mistakes: list[Mistake] = []
    if site.host not in site.group:
        message = "this host is not in the group of the hives, so the queen would not know it"
        mistakes.append(Mistake(site.host, 0, GROUP, message))
    fleet, _rbee, reader = _build(site, {}, {site.host: site.own}, mistakes)
    _config.check_ports(reader, fleet)
    _config.check_queen_url(reader, fleet, site.catalog, known=False)
    return _checked(fleet, mistakes)


def queen(site: Site, hives: t.Mapping[str, Variables]) -> _fleet.Fleet:
    """The fleet as its queen has to know it. Raises ConfigError.

    hives: variables by host; where her own host is a hive too, it is among them.
    """
    mistakes: list[Mistake] = []
    table = _given(site.own, QUEEN)
    if not str(table.get("api_key", "env:")).startswith(("env:", "file:")):
        table["api_key"] = _A_KEY
    if site.host in hives:
        table |= {"mode": _fleet.ATTACHED, "attached_hive_alias": site.host}
    else:
        table |= _reached(site.host, site.own)
    fleet, rbee, reader = _build(site, table, hives, mistakes)
    _config.check(rbee, reader, fleet, site.catalog)
    return _checked(fleet, mistakes)


def _build(
    site: Site, queen_table: dict[str, t.Any], hives: t.Mapping[str, Variables], mistakes: list[Mistake]
) -> tuple[_fleet.Fleet, Reader, Reader]:
    """The fleet, and the readers of its general settings and of its hives."""
    general = {"fleet": _given(site.own, FLEET), "queen": queen_table, "package": _given(site.own, PACKAGE)}
    tables = [{"alias": alias, **_reached(alias, own), **_given(own, HIVE)} for alias, own in hives.items()]
    declaring = {**hives, site.host: site.own}
    models = _models(declaring, mistakes)
    rbee = _Reader(general, _origins_of_general(site.host), mistakes)
    reader = _Reader({"hive": tables}, _origins_of_hives(hives), mistakes)
    fleet = _config.build(
        rbee,
        reader,
        _Reader(
            {"model": [table for table, _place in models]},
            {("model", index): place for index, (_table, place) in enumerate(models)},
            mistakes,
        ),
        site.catalog,
        site.folder,
        imply_models=all(own.get(MODELS) is None for own in declaring.values()),
        aliases=site.group,
    )
    return fleet, rbee, reader


def _origins_of_general(host: str) -> Origins:
    names = {"fleet": FLEET, "queen": QUEEN | REACHED, "package": PACKAGE}
    return {(table, key): (host, (name,)) for table, keys in names.items() for key, name in keys.items()}


def _origins_of_hives(hosts: t.Iterable[str]) -> Origins:
    names = HIVE | REACHED | {"alias": "inventory_hostname"}
    return {("hive", index, key): (host, (name,)) for index, host in enumerate(hosts) for key, name in names.items()}


def _checked(fleet: _fleet.Fleet, mistakes: list[Mistake]) -> _fleet.Fleet:
    if mistakes:
        raise ConfigError(mistakes)
    return fleet


def _given(own: Variables, names: t.Mapping[str, str]) -> dict[str, t.Any]:
    """The keys whose variable says something; an empty one says as much as none."""
    return {key: own[name] for key, name in names.items() if own.get(name) not in (None, "")}


def _reached(host: str, own: Variables) -> dict[str, t.Any]:
    """How Ansible reaches a host. Every connection but the local one leads to another machine."""
    found = {"hostname": host} | _given(own, REACHED)
    if found.get("connection") != _fleet.LOCAL:
        return found | {"connection": _fleet.SSH}
    # Ansible itself gives a task the name of the host as its address where there is none.
    return found | ({"hostname": "localhost"} if found["hostname"] == host else {})


def _models(hosts: t.Mapping[str, Variables], mistakes: list[Mistake]) -> list[tuple[t.Any, tuple[str, Path]]]:
    """What the hosts declare, each with its place. Group variables say the same of several hosts: that counts once."""
    found: list[tuple[t.Any, tuple[str, Path]]] = []
    for host, own in hosts.items():
        declared = own.get(MODELS)
        if declared is not None and not isinstance(declared, list):
            mistakes.append(Mistake(host, 0, MODELS, f"expected an array, not {kind(declared)}"))
            continue
        for index, table in enumerate(declared or ()):
            if all(table != known for known, _place in found):
                found.append((table, (host, (MODELS, index))))
    return found
