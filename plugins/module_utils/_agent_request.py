# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of a command line on a hive to the request that a playbook would make. Pure.

What may be installed comes with the agent, in ``files/catalog.json`` of its generation::

    {"fleet": NAME, "scope": SCOPE, "tools": [SPEC, …],
     "models": {NAME: SPEC, …},
     "workers": {TYPE: {"spec": SPEC, "model": "none"|"optional"|"required", "model_command": [WORD, …],
                        "on_demand": SPEC}, …}}

The specifications are those of the controller for this hive: address, default port, newest version. ``on_demand`` is
that of a worker which is given no model and serves those of the hive; missing where the type cannot, or there is none.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _request
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import WORKER, Spec, from_dict, with_arguments

CATALOG = "catalog.json"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"

Receipts = t.Mapping[str, t.Mapping[str, t.Any]]


class AgentError(Exception):
    """Something that cannot be done as it was asked for; nothing was changed."""


@dataclasses.dataclass(frozen=True)
class Hive:
    """What a command needs to know of this host. receipts: of every component, by name."""

    prefix: str
    catalog: t.Mapping[str, t.Any]
    receipts: Receipts
    controller: str = ""

    @property
    def scope(self) -> str:
        return str(self.catalog["scope"])


def install_worker(
    hive: Hive, type_name: str, name: str = "", port: int = 0, model: str = "", gpus: tuple[str, ...] = ()
) -> Request:
    """name: the type's when empty. port: the type's default when 0. model: one that the hive declares, or empty.

    gpus: what it claims, as in a specification.
    """
    known = hive.catalog["workers"]
    if type_name not in known:
        raise AgentError(f"no worker type {type_name!r}; this hive knows {_listed(known)}")
    name = name or type_name
    if not re.fullmatch(NAME, name):
        raise AgentError(f"{name!r} cannot be a worker's name: use letters, digits, dots and dashes")
    entry = known[type_name]
    known_as = "spec" if model else "on_demand"
    spec = dataclasses.replace(from_dict(entry.get(known_as) or entry["spec"]), name=name, gpus=gpus)
    specs = tuple(from_dict(hive.catalog["models"][one]) for one in spec.models.values())
    default_port = spec.port
    if port:
        spec = dataclasses.replace(spec, port=port)
    if model:
        if entry["model"] == "none":
            raise AgentError(f"a worker of type {type_name} serves no model")
        if model not in hive.catalog["models"]:
            raise AgentError(
                f"no model {model!r} is declared for this hive; there is {_listed(hive.catalog['models'])};"
                f" declare it in models.conf and install"
            )
        served = from_dict(hive.catalog["models"][model])
        spec = dataclasses.replace(
            with_arguments(spec, entry["model_command"]), model=served.name, served_name=model, idle=""
        )
        specs = (served,)
    elif entry["model"] == "required" and not spec.models:
        spec = dataclasses.replace(spec, idle="no model")
    # What the same worker would be in the configuration, so that sync knows how to put it there.
    own: dict[str, t.Any] = {"name": name if name != type_name else "", "port": port if port != default_port else 0}
    own.update(model=model, gpus="all" if gpus == ("all",) else [int(number) for number in gpus])
    declared = {"type": type_name, **{key: value for key, value in own.items() if value}}
    spec = dataclasses.replace(spec, declared=json.dumps(declared, sort_keys=True))
    _check_free(hive, spec)
    return _request_of(hive, _request.PRESENT, specs=(*specs, spec))


def remove_worker(hive: Hive, name: str, purge: bool) -> Request:
    receipt = _receipt(hive, name)
    if receipt.get("kind") != WORKER:
        raise AgentError(f"{name} is a {receipt.get('kind')}, not a worker; use the uninstall playbook for it")
    return _request_of(hive, _request.ABSENT, fleet=str(receipt["fleet"]), names=(name,), purge=purge)


def start_or_stop(hive: Hive, state: str, names: t.Sequence[str]) -> Request:
    """state: ``started`` or ``stopped``."""
    fleets = set()
    for name in names:
        receipt = _receipt(hive, name)
        if "generation" not in receipt:
            raise AgentError(f"{name} is a {receipt.get('kind')}: there is nothing of it that runs")
        if state == _request.STARTED and receipt.get("idle"):
            raise AgentError(f"{name} is idle: {receipt['idle']}; install it with one")
        fleets.add(str(receipt["fleet"]))
    if len(fleets) > 1:
        raise AgentError(f"{', '.join(names)} are of different fleets; name those of one fleet at a time")
    return _request_of(hive, state, fleet=fleets.pop(), names=tuple(names))


def refuse_change(hive: Hive, request: Request, preview: t.Mapping[str, t.Any]) -> None:
    """A worker that is there already may be installed again as it is, and is changed by nobody but its owner.

    preview: what the request would do, from a dry run.
    """
    for outcome in preview["components"]:
        if outcome["kind"] == WORKER and outcome["name"] in hive.receipts and outcome["changed"]:
            receipt = hive.receipts[outcome["name"]]
            raise AgentError(
                f"there is already a worker {outcome['name']} here, and it differs (type {receipt.get('type')},"
                f" port {receipt.get('port')}, model {receipt.get('served_name') or 'none'}):"
                f" give another --name, or remove it first"
            )


def _check_free(hive: Hive, spec: Spec) -> None:
    there = hive.receipts.get(spec.name)
    if there and (there.get("kind"), there.get("type")) != (spec.kind, spec.type):
        raise AgentError(f"the name {spec.name} is taken by a {there.get('type')}; give another one with --name")
    for name, receipt in hive.receipts.items():
        if name != spec.name and spec.port and receipt.get("port") == spec.port:
            raise AgentError(f"port {spec.port} is taken by {name}; give another one with --port")


def _receipt(hive: Hive, name: str) -> t.Mapping[str, t.Any]:
    if name not in hive.receipts:
        raise AgentError(f"there is no component {name} here; there is {_listed(hive.receipts)}")
    return hive.receipts[name]


def _request_of(hive: Hive, state: str, **more: t.Any) -> Request:
    tools = {tool["name"]: from_dict(tool) for tool in hive.catalog["tools"]}
    values = {"fleet": hive.catalog["fleet"], "scope": hive.scope, "prefix": hive.prefix, "tools": tools, **more}
    request = Request(state=state, controller=hive.controller, **values)
    _request.check(request)
    return request


def _listed(names: t.Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
