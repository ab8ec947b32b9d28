# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a model that nobody serves fits, and what is said of every hive on which it does not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fitting
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._fitting import Needed, Place
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet

GIB = 1024**3
GGUF, TENSORS = Needed("org/m", 4 * GIB, "gguf"), Needed("org/m", 4 * GIB, "safetensors")

Choose = t.Callable[..., tuple[t.Union[Place, None], dict[str, str]]]


def gpu(free: float, total: float = 24, index: int = 0, **more: t.Any) -> dict[str, t.Any]:
    known = {"memory_total_bytes": int(total * GIB), "memory_used_bytes": int((total - free) * GIB)}
    return {"index": index, "divided": False, **known, **more}


def state(*devices: dict[str, t.Any], disk: float = 100, memory: float = 16, running: int = 0, **more: t.Any) -> t.Any:
    host = {"free_bytes": int(disk * GIB), "memory_available_bytes": int(memory * GIB), "device_kinds": []}
    workers = [
        {"kind": "worker", "name": f"w{number}", "port": 9000 + number, "state": "running"} for number in range(running)
    ]
    return {"host": host, "components": workers, "devices": list(devices), "devices_reason": "", **more}


def hives(*workers: str) -> str:
    tables = [
        f'[[hive]]\nalias = "gpu-{number}"\nhostname = "10.0.0.{number}"\nworkers = [{text}]\n'
        for number, text in enumerate(workers, 1)
    ]
    return "".join(tables)


@pytest.fixture
def choose(parse: t.Callable[..., Fleet], engines: Catalog) -> Choose:
    def find(needed: Needed, text: str, *states: t.Any, **silent: str) -> tuple[Place | None, dict[str, str]]:
        found = {f"gpu-{number}": one for number, one in enumerate(states, 1) if one}
        return _fitting.choose(needed, parse(text), engines, found, {"gpu-1": silent.get("silent", "")})

    return find


def why(choose: Choose, needed: Needed, workers: str, one: t.Any, **more: t.Any) -> str:
    place, unfit = choose(needed, hives(workers), one, **more)
    assert place is None
    return unfit["gpu-1"]


def test_the_least_loaded_hive_that_has_the_engine(choose: Choose) -> None:
    text = hives('"llama-cpp"', '"llama-cpp"', '"llama-cpp"', '"vllm"')
    place, unfit = choose(GGUF, text, state(gpu(20), running=2), state(gpu(10)), state(gpu(12)), state(gpu(24)))
    assert place == Place(
        "gpu-3", "llama-cpp", "llama-cpp-m", 8081, "12.0 GiB of GPU memory, 100.0 GiB on the disk free"
    )
    assert unfit == {"gpu-4": "none of its workers is of a type that serves gguf models"}


def test_a_hive_that_has_the_model_comes_first_and_needs_no_room_on_its_disk(choose: Choose) -> None:
    there = state(gpu(20), running=1, disk=1)
    there["components"].append({"kind": "model", "name": "model-org-m", "port": 0, "state": "installed"})
    place, _unfit = choose(GGUF, hives('"llama-cpp"', '"llama-cpp"'), there, state(gpu(24)))
    assert place and (place.hive, place.there, place.room) == ("gpu-1", True, "20.0 GiB of GPU memory free")


def test_names_and_ports_that_nothing_has(choose: Choose) -> None:
    one = state(gpu(20))
    one["components"] = [
        {"kind": "worker", "name": "llama-cpp-m", "port": 8081, "state": "stopped"},
        {"kind": "hive", "name": "hive", "port": 8600, "state": "running"},
    ]
    place, _unfit = choose(GGUF, hives('"llama-cpp", { type = "comfyui", port = 8082 }'), one)
    assert place and (place.worker, place.port) == ("llama-cpp-m-2", 8083)


def test_memory_is_that_of_what_computes(choose: Choose) -> None:
    assert why(choose, GGUF, '"llama-cpp"', state(memory=4)) == "needs 5.1 GiB of memory, 4.0 GiB are free"
    assert why(choose, GGUF, '"llama-cpp"', state(gpu(3))) == "needs 5.1 GiB of GPU memory, 3.0 GiB are free"
    # llama.cpp spreads a model over GPUs, vLLM takes one as a whole.
    place, _unfit = choose(GGUF, hives('"llama-cpp"'), state(gpu(3), gpu(3, index=1)))
    assert place and place.room.startswith("6.0 GiB of GPU memory")
    assert why(choose, TENSORS, '"vllm"', state(gpu(20))) == "none of its GPUs is free as a whole"
    place, _unfit = choose(TENSORS, hives('"vllm"'), state(gpu(23.9)))
    assert place and place.room.startswith("21.6 GiB of one GPU's memory")


def test_what_others_claim_is_not_free(choose: Choose) -> None:
    claims = '"llama-cpp", {{ type = "comfyui", gpus = {} }}'
    assert why(choose, GGUF, claims.format("[0]"), state(gpu(24))) == "workers claim all of its GPUs"
    assert why(choose, GGUF, claims.format('"all"'), state(gpu(24))) == "a worker claims all of its GPUs"
    place, _unfit = choose(GGUF, hives(claims.format("[0]")), state(gpu(24), gpu(8, index=1)))
    assert place and place.room.startswith("8.0 GiB")


def test_what_is_not_known_is_not_guessed(choose: Choose) -> None:
    unread = gpu(24) | {"memory_used_bytes": None}
    assert why(choose, GGUF, '"llama-cpp"', state(unread)) == "the memory of its GPUs cannot be read"
    blind = state(devices=None, devices_reason="the driver hangs")
    blind["host"]["device_kinds"] = ["nvidia"]
    assert why(choose, GGUF, '"llama-cpp"', blind) == "its GPUs cannot be read: the driver hangs"
    blind = state()
    blind["host"]["memory_available_bytes"] = None
    assert why(choose, GGUF, '"llama-cpp"', blind) == "its memory cannot be read"
    assert why(choose, GGUF, '"llama-cpp"', None, silent="answered 503") == "nobody knows how it is: answered 503"


def test_room_on_the_disk(choose: Choose) -> None:
    said = why(choose, GGUF, '"llama-cpp"', state(gpu(24), disk=4.5))
    assert said == "needs 5.0 GiB on the disk, 4.5 GiB are free"


def test_a_size_that_nobody_knows_is_left_to_the_hive(choose: Choose) -> None:
    place, _unfit = choose(Needed("org/m", None, "gguf"), hives('"llama-cpp"'), state(memory=1))
    assert place is not None
