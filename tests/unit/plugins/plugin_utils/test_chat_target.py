# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model is meant, and what is said where it cannot be asked."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.plugin_utils import _chat_target, _model_size
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._chat_target import ChatError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fitting import Needed, Place
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_offer import Offer

QUEEN = Question("10.0.0.9", 8500, "/v1/models", "secret")
HIVES = """
[[hive]]
alias = "gpu-1"
hostname = "10.0.0.1"
workers = [{ type = "vllm", model = "org/m" }]
"""
MODELS = '[[model]]\nname = "org/m"\n[[model]]\nname = "small"\nsource = "url"\nurl = "http://x/s.gguf"\n'
MODELS += f'sha256 = "{64 * "a"}"\n'


def said(call: t.Callable[..., t.Any], *arguments: t.Any) -> str:
    with pytest.raises((ChatError, SourceError)) as caught:
        call(*arguments)
    return str(caught.value)


def body(found: t.Any) -> Answer:
    return Answer(200, json.dumps(found).encode())


def test_what_is_served() -> None:
    assert _chat_target.served_of(QUEEN, body({"data": [{"id": "a"}, {"id": "b"}]})) == ["a", "b"]
    assert "connection refused" in said(_chat_target.served_of, QUEEN, Answer(reason="connection refused"))
    assert "another key" in said(_chat_target.served_of, QUEEN, Answer(401))
    assert "is no queen: status 404" in said(_chat_target.served_of, QUEEN, Answer(404, b"x"))


def test_a_model_of_which_no_worker_is_up_is_as_good_as_served_by_nobody() -> None:
    load = body({"models": [{"id": "a", "up": 0}, {"id": "b", "up": 1}]})
    assert [_chat_target.is_up(model, load) for model in ("a", "b", "c")] == [False, True, True]
    assert _chat_target.is_up("a", Answer(503))


def test_the_only_one_needs_no_name() -> None:
    assert (_chat_target.chosen("", ["a"]), _chat_target.chosen("b", ["a"])) == ("a", "b")
    assert said(_chat_target.chosen, "", ["a", "b"]).endswith("name one with -e model=NAME: a, b")
    assert "nobody serves a model yet" in said(_chat_target.chosen, "", [])


def test_where_a_model_comes_from(parse: t.Callable[..., Fleet]) -> None:
    fleet = parse(HIVES, models=MODELS)
    keys = _chat_target.model_keys
    assert keys("small", "", fleet, []) is None
    assert keys("org/x", "q4.gguf", fleet, []) == {"source": "huggingface", "file": "q4.gguf"}
    assert "no model smal; did you mean 'small'?" in said(keys, "smal", "", fleet, [])
    assert "leave file out" in said(keys, "small", "x.gguf", fleet, [])


def test_a_model_that_is_not_to_be_brought() -> None:
    assert said(_chat_target.check_serve, "org/x", ["a"], False).endswith("says not to bring it; served are a")
    _chat_target.check_serve("org/x", [], True)


def test_an_empty_variable_is_none() -> None:
    _chat_target.check("Hello", "", "")


def test_a_worker_that_was_to_serve_it(parse: t.Callable[..., Fleet], engines: Catalog) -> None:
    fleet, catalog = parse(HIVES, models=MODELS), engines
    assert "is declared to be served by vllm of gpu-1, and is not" in said(
        _chat_target.serving, "org/m", fleet, catalog, {}
    )
    assert _chat_target.serving("small", fleet, catalog, {}) == {}


def test_a_worker_that_was_to_serve_it_on_demand(parse: t.Callable[..., Fleet], engines: Catalog) -> None:
    listed = HIVES.replace('{ type = "vllm", model = "org/m" }', '"llama-cpp"') + 'models = ["small"]\n'
    entry = engines.get("llama-cpp")
    assert entry
    catalog = Catalog({"llama-cpp": dataclasses.replace(entry, models_command=("--models",))})
    fleet = parse(listed, models=MODELS)
    served = "is declared to be served by llama-cpp of gpu-1"
    assert served in said(_chat_target.serving, "small", fleet, catalog, {})
    states = {"gpu-1": {"components": [{"name": "llama-cpp", "state": "running"}]}}
    assert served in said(_chat_target.serving, "small", fleet, catalog, states)
    states["gpu-1"]["components"][0]["state"] = "idle"
    assert _chat_target.serving("small", fleet, catalog, states) == {}


def test_a_worker_that_was_stopped_is_to_be_started() -> None:
    def state(**more: t.Any) -> t.Any:
        return {"components": [{"name": "w", "state": "held", "served_name": "", **more}]}

    check = _chat_target.check_held
    assert said(check, "org/m", {"b": state(models=["org/m"]), "a": state(served_name="org/m")}) == (
        "org/m is served by w of a and w of b, which was stopped and stays so until it is started: "
        "ansible-playbook rbee.fleet.start --limit a -e rbee_only=w"
    )
    check("org/m", {"a": state(served_name="org/m", state="failed"), "b": state(served_name="other")})


def test_of_several_files_the_one_that_most_people_take() -> None:
    choose = _model_size.choice_of
    assert choose("m", Offer(1, 1, "gguf", {"only.gguf": 1})) == "only.gguf"
    assert choose("m", Offer(1, 1, "gguf", {"m.Q2_K.gguf": 1, "m.Q4_K_M.gguf": 2})) == "m.Q4_K_M.gguf"
    listed = said(choose, "m", Offer(1, 1, "gguf", {"a.gguf": 1024, "b.gguf": 2048}))
    assert listed == "m has several files; name one with -e file=…: a.gguf (1.0 KiB), b.gguf (2.0 KiB)"


def test_what_people_read_before_it_begins() -> None:
    place = Place("gpu-1", "vllm", "vllm-m", 8001, "21.6 GiB of one GPU's memory free")
    assert _chat_target.announcement(Needed("org/m", 1024, "safetensors"), place, False) == [
        "Nobody serves org/m yet. It goes to gpu-1: 21.6 GiB of one GPU's memory free.",
        "It is downloaded first, 1.0 KiB; the temporary worker vllm-m (vllm, port 8001) serves it.",
        "To remove it: ansible-playbook rbee.fleet.remove_worker -e hive=gpu-1 -e worker=vllm-m",
    ]
    assert _chat_target.nowhere(Needed("org/m", 1024, "gguf"), {"b": "too small", "a": "silent"}) == (
        "org/m (gguf, 1.0 KiB) fits on no hive. a: silent. b: too small"
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((" ", None, None), "-e prompt: missing"),
        (("Hello", "lots", None), "-e max_tokens: expected a whole number, not 'lots'"),
        (("Hello", 5, "hot"), "-e temperature: expected a number, not 'hot'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_brought(asked: tuple[t.Any, ...], said: str) -> None:
    with pytest.raises(ChatError, match=said):
        _chat_target.check(*asked)
    _chat_target.check("Hello", "100", 0.5)
