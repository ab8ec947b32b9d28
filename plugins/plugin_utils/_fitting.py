# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hive a model that nobody serves fits on, and why not on the others. Pure.

How much memory an engine needs beside the weights depends on context length and requests at once; what is reckoned here
is for one conversation, and errs on the careful side.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._sources import human
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_offer import SAFETENSORS
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_component

OVERHEAD, OVERHEAD_BYTES = 1.15, 512 * 1024**2  # of memory, beside the weights
WHOLE_GPU = 0.9  # the share of a GPU that an engine which takes it as a whole reserves, as vLLM does
RESERVE_BYTES = 1024**3  # of disk, left over
LONGEST = 48  # letters of a worker's name

State = t.Mapping[str, t.Any]
"""What an agent says of its host: ``/v1/state``."""


@dataclasses.dataclass(frozen=True)
class Needed:
    """A model. bytes: of its files, None when nobody knows. format: ``model_format`` of engines, empty for any."""

    name: str
    bytes: int | None
    format: str = ""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where it fits. type, worker, port: of the worker that is to serve it. room: of what there is room, for people.

    there: whether the hive has the model already.
    """

    hive: str
    type: str
    worker: str
    port: int
    room: str
    there: bool = False


@dataclasses.dataclass(frozen=True)
class _Room:
    """bytes: that are free for a model. where: for people, for instance ``GPU memory``. trouble: why there is none."""

    bytes: int = 0
    where: str = ""
    trouble: str = ""


def choose(
    needed: Needed, fleet: _fleet.Fleet, catalog: Catalog, states: t.Mapping[str, State], silent: t.Mapping[str, str]
) -> tuple[Place | None, dict[str, str]]:
    """The least loaded hive that the model fits on, None for none; and of every other one why it does not.

    states: by hive, what its agent says; silent: why another says nothing. A hive that has the model comes first, then
    the one with the fewest workers at work, then the one with the most room.
    """
    fitting: list[tuple[tuple[bool, int, int, str], Place]] = []
    unfit: dict[str, str] = {}
    for hive in fleet.hives:
        state = states.get(hive.alias)
        if state is None:
            unfit[hive.alias] = f"nobody knows how it is: {silent.get(hive.alias) or 'its agent was not asked'}"
            continue
        entries = _engines(hive, catalog, needed.format)
        if not entries:
            unfit[hive.alias] = f"none of its workers is of a type that serves {needed.format or 'such'} models"
            continue
        found = [_fit(needed, fleet, hive, state, entry) for entry in entries]
        places = [item for item in found if isinstance(item, tuple)]
        if places:
            room, place = max(places, key=lambda item: item[0].bytes)
            running = sum(one["kind"] == WORKER and one["state"] == "running" for one in state["components"])
            fitting.append(((not place.there, running, -room.bytes, hive.alias), place))
        else:
            unfit[hive.alias] = "; ".join(str(item) for item in found)
    return min(fitting)[1] if fitting else None, unfit


def memory_needed(size: int) -> int:
    """Bytes of memory for a model whose files have *size* bytes."""
    return int(size * OVERHEAD) + OVERHEAD_BYTES


def _engines(hive: _fleet.Hive, catalog: Catalog, wanted: str) -> list[Entry]:
    """The types of workers that the hive has and that serve a format."""
    types = sorted({worker.type for worker in hive.workers})
    entries = [entry for entry in map(catalog.get, types) if entry]
    return [entry for entry in entries if entry.model_command and wanted in ("", entry.model_format)]


def _fit(
    needed: Needed, fleet: _fleet.Fleet, hive: _fleet.Hive, state: State, entry: Entry
) -> tuple[_Room, Place] | str:
    component = model_component(needed.name)
    there = any(one["kind"] == MODEL and one["name"] == component for one in state["components"])
    free = state["host"].get("free_bytes")
    room = _room(hive, state, entry)
    size = needed.bytes or 0
    if room.trouble:
        return room.trouble
    if needed.bytes and room.bytes < memory_needed(size):
        return f"needs {human(memory_needed(size))} of {room.where}, {human(room.bytes)} are free"
    if not there and isinstance(free, int) and free < size + RESERVE_BYTES:
        return f"needs {human(size + RESERVE_BYTES)} on the disk, {human(free)} are free"
    disk = f", {human(free)} on the disk" if isinstance(free, int) and not there else ""
    port = _port(fleet, hive, state, entry.port)
    said = f"{human(room.bytes)} of {room.where}{disk} free"
    return room, Place(hive.alias, entry.type, _name(hive, state, entry.type, needed.name), port, said, there)


def _room(hive: _fleet.Hive, state: State, entry: Entry) -> _Room:
    """What is free for one more worker of a type."""
    kinds = {variant.device for variant in entry.variants(entry.latest)} - {""}
    devices = state.get("devices")
    if devices is None and state["host"].get("device_kinds"):
        return _Room(trouble=f"its GPUs cannot be read: {state.get('devices_reason') or 'no reason was given'}")
    claimed = {gpu for worker in hive.workers for gpu in worker.gpus}
    usable = [one for one in devices or () if not one.get("divided") and kinds]
    if not usable:
        available = state["host"].get("memory_available_bytes")
        return _Room(available, "memory") if isinstance(available, int) else _Room(trouble="its memory cannot be read")
    if _fleet.ALL_GPUS in [worker.gpus for worker in hive.workers]:
        return _Room(trouble="a worker claims all of its GPUs")
    left = [one for one in usable if one["index"] not in claimed]
    if not left:
        return _Room(trouble="workers claim all of its GPUs")
    known = [one for one in left if None not in (one["memory_total_bytes"], one["memory_used_bytes"])]
    if not known:
        return _Room(trouble="the memory of its GPUs cannot be read")
    if entry.model_format == SAFETENSORS:
        # It takes most of one GPU as a whole, or does not start.
        empty = [
            one["memory_total_bytes"] * WHOLE_GPU
            for one in known
            if _free(one) >= one["memory_total_bytes"] * WHOLE_GPU
        ]
        return (
            _Room(int(max(empty)), "one GPU's memory")
            if empty
            else _Room(trouble="none of its GPUs is free as a whole")
        )
    return _Room(sum(map(_free, known)), "GPU memory")


def _free(device: t.Mapping[str, t.Any]) -> int:
    return int(device["memory_total_bytes"]) - int(device["memory_used_bytes"])


def _port(fleet: _fleet.Fleet, hive: _fleet.Hive, state: State, usual: int) -> int:
    """The type's port, or the next that nothing of the fleet has there."""
    taken = {one["port"] for one in state["components"]} | {worker.port for worker in hive.workers}
    taken |= {hive.hive_port, fleet.queen.port}
    return next(port for port in range(usual, usual + len(taken) + 1) if port not in taken)


def _name(hive: _fleet.Hive, state: State, kind: str, model: str) -> str:
    """A name for the worker that nothing on the hive has."""
    taken = {one["name"] for one in state["components"]} | {worker.name for worker in hive.workers}
    wanted = re.sub(r"[^a-z0-9_-]", "-", f"{kind}-{_fleet.slug(model.rpartition('/')[2])}")
    names = (wanted[: LONGEST - len(end)].strip("-_") + end for end in ("", *(f"-{number}" for number in range(2, 99))))
    return next(name for name in names if name not in taken)
