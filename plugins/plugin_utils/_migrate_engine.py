# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the configuration for an engine that nobody declared, or the reason why there is none. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_fleet import Table, named

Engine = t.Mapping[str, t.Any]
"""As M(rbee.fleet.machine_info) returns it."""

_STORE = {"ollama": "its models are in a store of its own, and have to be pulled again"}


@dataclasses.dataclass(frozen=True)
class Proposal:
    """An entry of a hive's ``workers``, with the table of its model where that has to be declared, too.

    reason: why both are only comments in the files; empty when they are in force.
    """

    table: Table
    reason: str = ""
    notes: tuple[str, ...] = ()
    model: Table | None = None


class Taken:
    """What a hive uses already. names, ports, gpus: of its workers; ports: of the agent and the queen, too."""

    def __init__(self, ports: t.Iterable[int], workers: t.Iterable[Table], catalog: Catalog) -> None:
        self.ports, self.names, self.gpus = set(ports), set(), set()
        for worker in workers:
            entry = catalog.get(worker["type"])
            self.names.add(worker.get("name") or worker["type"])
            self.ports.add(worker.get("port") or (entry.port if entry else 0))
            self.gpus |= set(map(str, worker.get("gpus", ())))


def proposed(engine: Engine, catalog: Catalog, taken: Taken, shared: t.Collection[int] = ()) -> Proposal:
    """The entry of an engine; what it takes is noted in *taken*. shared: GPUs that several engines of the host use."""
    kind = str(engine["type"])
    entry = catalog.get(kind)
    if entry is None or entry.kind != "worker":
        table = {"type": kind, "port": engine["port"]}
        return Proposal(table, f"the catalog has no worker type {kind!r}; docs/catalog.md says how to add one")
    model, reason = _model(engine, entry)
    name = kind if kind not in taken.names else f"{kind}-{engine['port']}"
    second = name != kind
    gpus, notes = _gpus(engine, entry, taken, shared)
    table = {
        "type": kind,
        "name": name if second else None,
        "port": engine["port"] if second or engine["port"] != entry.port else None,
        "model": model["name"] if model else None,
        "gpus": gpus,
        "args": _on_one_line(engine["arguments"]),
        "env": {key: value for key, value in engine["env"].items() if "\n" not in value},
        "variant": "cpu" if engine["gpus"] == [] and "cpu" in _variants(entry) else None,
    }
    table = {key: value for key, value in table.items() if value}
    if engine["container"]:
        reason = f"it runs in a container ({engine['container']}), and a hive runs its workers without one"
    elif engine["state"] != "running":
        reason = f"{engine['unit']} does not run"
    elif not reason and (engine["port"] in taken.ports or name in taken.names):
        reason = f"port {engine['port']} is that of another component of the hive"
    if reason:
        return Proposal(table, reason, model=model)
    taken.ports.add(engine["port"])
    taken.names.add(name)
    taken.gpus |= set(map(str, gpus or ()))
    return Proposal(table, "", (*notes, *_notes(engine, entry, model)), model)


def _model(engine: Engine, entry: Entry) -> tuple[Table | None, str]:
    """The table of its model, and why it cannot be declared, or an empty string."""
    origin = engine["model"]
    if entry.model == "none":
        return None, ""
    if origin is None:
        return None, _without_model(engine, entry)
    if origin["path"]:
        name = origin["path"].rstrip("/").rpartition("/")[2]
        table = {"name": name.removesuffix(".gguf"), "source": "file", "path": name, "sha256": "0" * 64}
        return table, f"its model {origin['path']} is a file of that machine alone"
    if origin["url"]:
        name = origin["url"].split("?")[0].rpartition("/")[2].removesuffix(".gguf")
        table = {"name": name, "source": "url", "url": origin["url"], "sha256": "0" * 64}
        return table, f"the digest of its model {origin['url']} is not known"
    table = {key: origin[key] for key in ("revision", "file") if origin[key]}
    model = {"name": origin["repository"], **table}
    if entry.model_format == "gguf" and not origin["file"]:
        quantisation = f" ({origin['quantisation']})" if origin["quantisation"] else ""
        model |= {"source": "huggingface", "file": "FILE.gguf"}
        return model, f"its command line does not say which file of {origin['repository']}{quantisation} it serves"
    return model, ""


def _without_model(engine: Engine, entry: Entry) -> str:
    """Why an engine that was started without a model cannot be declared, or an empty string."""
    if entry.model != "required":
        return ""
    ways = ["name one of them here"]
    if any(entry.models_commands(entry.latest).values()):
        ways.append("to have it serve several again, list them in models.conf and in models of the hive")
    return f"it serves {_on_demand(engine)}; {'; '.join(ways)}"


def _on_demand(engine: Engine) -> str:
    return f"models{' in ' + engine['folder'] if engine['folder'] else ''} on demand"


def _gpus(
    engine: Engine, entry: Entry, taken: Taken, shared: t.Collection[int]
) -> tuple[list[int] | None, tuple[str, ...]]:
    notes = (f"{named(engine)}: {engine['gpus_reason']}",) if engine["gpus_reason"] else ()
    wanted = engine["gpus"] or None
    if not wanted:
        return None, notes
    builds = [variant for variant in entry.variants(entry.latest) if variant.device]
    both = sorted(number for number in wanted if number in shared or {str(number), "all"} & taken.gpus)
    if both:
        return None, (
            *notes,
            f"{named(engine)}: it shares GPU {', '.join(map(str, both))} with others, so it claims none",
        )
    return (wanted if builds else None), notes


def _variants(entry: Entry) -> list[str]:
    return [variant.name for variant in entry.variants(entry.latest)]


def _on_one_line(arguments: t.Sequence[str]) -> list[str]:
    return [word for word in arguments if not {"\n", "\r", "\0"} & set(word)]


def _notes(engine: Engine, entry: Entry, model: Table | None) -> t.Iterator[str]:
    """What there is to know of an engine whose entry is in force."""
    who = named(engine)
    how = (
        f" (systemctl {'--user ' if engine['of_user'] else ''}disable --now {engine['unit']})" if engine["unit"] else ""
    )
    yield f"{who}: stop it{how} before install, which brings {entry.type} {entry.latest} in its place"
    if engine["hidden"]:
        listed = ", ".join(engine["hidden"])
        yield f"{who}: {listed} may be secret and was left out; workers need no key, clients give it to the queen"
    others = [name for name in engine["names"] if not model or name != model["name"]]
    if others and model:
        yield f"{who}: clients that ask it for {', '.join(others)} have to ask the queen for {model['name']}"
    if not engine["model"] and entry.model == "optional":
        yield f"{who}: it serves {_on_demand(engine)}; declare those that the hive is to have"
    if engine["type"] == "comfyui":
        yield f"{who}: models, workflows and custom nodes stay in {engine['folder']}"
    if engine["type"] in _STORE:
        yield f"{who}: {_STORE[engine['type']]}"
    if len(_on_one_line(engine["arguments"])) < len(engine["arguments"]):
        yield f"{who}: arguments of several lines were left out"
