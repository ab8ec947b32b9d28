# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the queen's files say, without an HAProxy to read them."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway import render
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_config import (
    LARGEST_REQUEST_BYTES,
    buffer_bytes,
    max_connections,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import (
    MIB,
    Gateway,
    GatewayHive,
    GatewayWorker,
    model_backend,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import (
    endpoint,
    key,
    keys,
    pattern,
    quoted,
    slug,
)
from hypothesis import example, given
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)

LLAMA = GatewayWorker("gpu-1", "llama-cpp", "llama-cpp", "10.0.0.1", 8080, ("smol", "org/big"), "/health")
VLLM = GatewayWorker("gpu-2", "vllm", "vllm", "10.0.0.2", 8000, ("org/big",), "/health")
COMFY = GatewayWorker("gpu-2", "comfyui", "comfyui", "10.0.0.2", 8188, (), "/system_stats")
FLEET = Gateway(
    fleet="lab",
    hives=(GatewayHive("gpu-1", "10.0.0.1", 8600), GatewayHive("gpu-2", "10.0.0.2", 8600)),
    workers=(LLAMA, VLLM, COMFY),
)


def contents(gateway: Gateway) -> dict[str, str]:
    return {file.path: file.content for file in render(gateway)}


def section(config: str, head: str) -> str:
    return config.split(f"\n{head}\n", 1)[1].split("\n\n", 1)[0]


def test_a_model_is_balanced_over_exactly_the_workers_that_serve_it() -> None:
    config = contents(FLEET)["haproxy.cfg"]
    big = section(config, f"backend {model_backend('org/big')}")
    assert "10.0.0.1:8080" in big and "10.0.0.2:8000" in big and "8188" not in big
    assert "10.0.0.2" not in section(config, "backend model:smol")


def test_each_worker_is_checked_once_however_many_models_it_serves() -> None:
    config = contents(FLEET)["haproxy.cfg"]
    assert len(re.findall(r" check$", config, re.M)) == len(FLEET.workers)
    assert "uri '/system_stats'" in section(config, f"backend {COMFY.backend}")


def test_models_are_listed_once_in_openai_s_shape() -> None:
    models = json.loads(contents(FLEET)["models.json"])
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == ["org/big", "smol"]
    assert all(model["object"] == "model" and isinstance(model["created"], int) for model in models["data"])


def test_hives_are_listed_with_their_workers() -> None:
    hives = {hive["alias"]: hive for hive in json.loads(contents(FLEET)["hives.json"])["data"]}
    assert [worker["path"] for worker in hives["gpu-2"]["workers"]] == [
        "/workers/gpu-2/vllm/",
        "/workers/gpu-2/comfyui/",
    ]
    assert hives["gpu-2"]["path"] == "/hives/gpu-2/"


def test_the_key_stands_only_in_a_file_of_its_own_that_names_the_secret() -> None:
    files = render(dataclasses.replace(FLEET, api_key_secret="queen_api_key"))
    assert [(file.path, file.content) for file in files if file.secret] == [("keys", "")]
    assert not any("queen_api_key" in file.content for file in files)


def test_without_a_key_none_is_asked_for() -> None:
    assert "keys" not in contents(FLEET) and "http_auth_bearer" not in contents(FLEET)["haproxy.cfg"]


def test_the_same_fleet_gives_the_same_bytes_and_no_path_of_a_host() -> None:
    assert render(FLEET) == render(FLEET)
    assert not any(file.template for file in render(FLEET))


def test_a_fleet_without_workers_still_has_every_file() -> None:
    files = contents(Gateway("empty"))
    assert files.keys() == contents(FLEET).keys()
    assert files["models.map"] == "" and json.loads(files["models.json"])["data"] == []


def test_each_hive_s_agent_is_checked_and_reached_by_the_hive_s_name() -> None:
    files = contents(FLEET)
    assert files["hives.map"] == "gpu-1 hive:gpu-1\ngpu-2 hive:gpu-2\n"
    agent = section(files["haproxy.cfg"], "backend hive:gpu-2")
    assert "server agent 10.0.0.2:8600 check" in agent and "uri /health" in agent


def test_a_buffer_holds_the_largest_answer_too() -> None:
    hives = tuple(GatewayHive(f"hive-{number}", "10.0.0.1", 8600) for number in range(2000))
    files = contents(Gateway("large", hives=hives, max_request_bytes=1024))
    buffer = re.search(r"tune\.bufsize (\d+)", files["haproxy.cfg"])
    assert buffer and int(buffer[1]) >= len(files["hives.json"]) + (64 << 10)


def filled_in(template: str) -> dict[str, t.Any]:
    """A log-format string with every expression as a number, but those that give a boolean."""

    def value(found: re.Match[str]) -> str:
        return "%" if found[0] == "%%" else "true" if found[0].endswith("iif(true,false)]") else "1"

    loaded: dict[str, t.Any] = json.loads(re.sub(r"%%|%\[[^\]]*\]", value, template))
    return loaded


@given(NAMES)
@example("%[")
def test_the_load_names_every_model_and_worker(name: str) -> None:
    load = filled_in(
        contents(dataclasses.replace(FLEET, workers=(dataclasses.replace(LLAMA, models=(name,)),)))["load.json"]
    )
    assert load["models"] == [{"id": name, "workers": 1, "up": 1, "requests": 1, "active": 1, "waiting": 1}]
    assert load["workers"] == [{"hive": "gpu-1", "name": "llama-cpp", "up": True, "requests": 1}]


@pytest.mark.parametrize("limit", [64 << 10, MIB, 8 * MIB, LARGEST_REQUEST_BYTES])
@pytest.mark.parametrize("memory", [1024 * MIB, 4096 * MIB])
def test_all_connections_together_stay_within_the_memory(limit: int, memory: int) -> None:
    if max_connections(limit, memory) > 8:
        assert max_connections(limit, memory) * 3 * buffer_bytes(limit) <= memory
    assert buffer_bytes(limit) >= limit + (64 << 10)


def test_the_default_limits_leave_room_for_a_hundred_requests() -> None:
    assert max_connections(Gateway("x").max_request_bytes, Gateway("x").memory_bytes) >= 100


@pytest.mark.parametrize(
    ("address", "expected"), [("10.0.0.1", "10.0.0.1:1"), ("::1", "[::1]:1"), ("gpu-1.lan", "gpu-1.lan:1")]
)
def test_an_ipv6_address_goes_into_brackets(address: str, expected: str) -> None:
    assert endpoint(address, 1) == expected


@given(NAMES)
def test_every_name_makes_one_line_of_each_map(name: str) -> None:
    files = contents(dataclasses.replace(FLEET, workers=(dataclasses.replace(LLAMA, models=(name,)),)))
    for path in ("models.map", "models.regex.map", "models.card.map"):
        lines = files[path].rstrip("\n").split("\n")
        assert len(lines) == (len(keys(name)) if path == "models.map" else 1)
        assert all(re.fullmatch(r"[^ \t#]\S* .+", line, re.ASCII) for line in lines)


@given(NAMES)
def test_the_card_in_the_map_is_the_card_in_the_list(name: str) -> None:
    files = contents(dataclasses.replace(FLEET, workers=(dataclasses.replace(LLAMA, models=(name,)),)))
    found, card = files["models.card.map"].rstrip("\n").split(" ", 1)
    assert found == key(name)
    assert json.loads(card) == json.loads(files["models.json"])["data"][0]


@given(NAMES, NAMES)
def test_different_names_have_different_backends(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", slug(one))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_a_quoted_word_reads_back_as_it_was(text: str) -> None:
    assert "".join(re.findall(r"'([^']*)'", quoted(text).replace("'\\''", "\0"))).replace("\0", "'") == text


def matches(name: str, body: str) -> bool:
    """Python knows no POSIX classes; otherwise the syntax is the same."""
    expression = pattern(name).replace("[[:space:]]", r"\s").replace("[[:blank:]]", r"[ \t]").replace("[[]", r"\[")
    return re.search(expression.encode(), body.encode()) is not None


def php(name: str) -> str:
    return json.dumps(name, ensure_ascii=False).replace("/", "\\/")


def escaped(name: str) -> str:
    units = name.encode("utf-16-be").hex().upper()
    return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'


@given(NAMES, st.sampled_from([json.dumps, php, escaped]))
def test_the_expression_finds_a_name_in_every_spelling(name: str, spell) -> None:  # type: ignore[no-untyped-def]
    body = f'{{"n":1, "model" :\n{spell(name)}}}'
    assert json.loads(body)["model"] == name
    assert matches(name, body)


@given(NAMES, NAMES)
def test_the_expression_finds_no_other_name(name: str, other: str) -> None:
    assert matches(name, json.dumps({"model": other}, ensure_ascii=False)) == (name == other)


@given(NAMES)
def test_a_prompt_that_quotes_a_request_is_not_taken_for_one(name: str) -> None:
    body = json.dumps({"prompt": json.dumps({"model": name}, ensure_ascii=False)}, ensure_ascii=False)
    assert not matches(name, body)
