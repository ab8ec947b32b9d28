# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where agents and the queen are asked, and what counts as an answer."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _agents
from ansible_collections.rbee.fleet.plugins.plugin_utils._agents import Reach
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question
from ansible_collections.rbee.fleet.tests.unit.plugins.plugin_utils.status_states import (
    FLEET,
    agent,
    component,
    gpu,
    model,
    spec,
    state,
)

REMOTE, HERE = Reach("gpu-1.lan", "ssh", 22), Reach("localhost", "local")
ASKED = Question("10.0.0.1", 8600, "/v1/state")


def answer(said: t.Any) -> Answer:
    return Answer(200, json.dumps(said).encode())


def judged(said: t.Any, prefix: str = "/opt/rbee") -> tuple[t.Any, str]:
    return _agents.state_of(ASKED, answer(said), FLEET, prefix)


@pytest.mark.parametrize(
    ("address", "reach", "asked"),
    [
        ("10.0.0.1", REMOTE, "10.0.0.1"),
        ("fd00::1", REMOTE, "fd00::1"),
        ("127.0.0.1", HERE, "127.0.0.1"),
        ("0.0.0.0", REMOTE, "gpu-1.lan"),
        ("::", HERE, "::1"),
        ("127.0.0.1", Reach("127.0.0.1", "ssh", 22), "127.0.0.1"),
        ("127.0.0.1", Reach("127.0.0.1"), "127.0.0.1"),
    ],
)
def test_an_agent_is_asked_where_it_is_declared_to_listen(address: str, reach: Reach, asked: str) -> None:
    assert _agents.agent_of([spec("hive", "hive", address=address)], reach) == Question(asked, 8600, "/v1/state")


@pytest.mark.parametrize("reach", [REMOTE, Reach("127.0.0.1", "ssh", 2222)])
def test_loopback_of_another_machine_is_never_taken_for_ours(reach: Reach) -> None:
    found = _agents.agent_of([spec("hive", "hive", address="127.0.0.1")], reach)
    assert found == "its agent listens on 127.0.0.1 of its own machine only"
    assert "own machine" in str(_agents.queen_of([spec("queen", "queen", address="localhost", port=8500)], reach))


def test_another_program_in_the_place_of_the_agent_is_not_asked_for_what_it_does_not_know() -> None:
    def hive(kind: str) -> dict[str, t.Any]:
        return spec("hive", "hive", variants=[{"name": "default", "sources": {"any": {"kind": kind}}}])

    assert _agents.agent_of([hive("bundled")], REMOTE) == Question("10.0.0.1", 8600, "/v1/state")
    assert _agents.agent_of([hive("archive")], REMOTE) == (
        "its hive, version 1 of your catalog, is another program, which tells no state"
    )


def test_the_queen_is_asked_on_her_own_health_path() -> None:
    queen = spec("queen", "queen", health={"path": "/ready"}, port=8500)
    assert _agents.queen_of([queen], REMOTE) == Question("10.0.0.1", 8500, "/ready")


def test_a_host_without_an_agent_is_not_asked() -> None:
    assert _agents.agent_of([spec("queen", "queen")], REMOTE) == "no agent is declared there"
    assert "no address" in str(_agents.agent_of([spec("hive", "hive", address="")], REMOTE))


def test_the_answer_of_an_agent_is_its_state_as_far_as_it_is_of_the_fleet() -> None:
    said = state(agent(), component(), model(), component("other", fleet="another"), component("torn", "", fleet=""))
    found, reason = judged({**said, "later": "keys are left out"})
    assert [item["name"] for item in found["components"]] == ["hive", "llama-cpp", "model-m", "torn"]
    assert (reason, found.keys()) == ("", {"host", "components"})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "its answer is not of the expected shape"),
        ({"status": "ok"}, "its answer is not of the expected shape"),
        ({**state(agent()), "components": {}}, "its answer is not of the expected shape"),
        (state(agent(), device_kinds=None), "its answer is not of the expected shape"),
        (state(agent(), component(port="8080")), "a component in its answer is not of the expected shape"),
        (state(agent(), component(port=True)), "a component in its answer is not of the expected shape"),
        (state(agent(), {"name": "w"}), "a component in its answer is not of the expected shape"),
        (state(agent(), prefix="/opt/other"), "the agent there looks after /opt/other, not /opt/rbee"),
        (state(agent(fleet="another")), "the agent there is none of the fleet demo"),
        (state(agent(port=8700)), "the agent there is none of the fleet demo"),
        (state(component()), "the agent there is none of the fleet demo"),
    ],
)
def test_what_is_not_of_the_expected_shape_or_hive_is_no_answer(said: t.Any, reason: str) -> None:
    assert judged(said) == (None, reason)


def test_a_prefix_that_differs_by_user_is_not_compared() -> None:
    assert judged(state(agent(), prefix="/home/ann/rbee"), "~/rbee")[1] == ""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Answer(reason="connection refused on 10.0.0.1:8600"), "connection refused on 10.0.0.1:8600"),
        (Answer(503, b"{}"), "answered 503"),
        (Answer(200, b"<html>"), "its answer is no JSON"),
        (Answer(200, b"\xff"), "its answer is no JSON"),
        (Answer(200, b"[" * 100_000), "its answer is no JSON"),
    ],
)
def test_what_is_no_json_is_no_answer(said: Answer, reason: str) -> None:
    assert _agents.state_of(ASKED, said, FLEET, "/opt/rbee") == (None, reason)


@pytest.mark.parametrize(
    ("devices", "kept"),
    [
        ([], True),
        (None, True),
        ([gpu(processes=[{"pid": 1, "memory_bytes": None, "component": ""}])], True),
        ([gpu(name=None, memory_used_bytes=None)], True),
        ([gpu(memory_used_bytes="much")], False),
        ([gpu(processes=[{"pid": 1}])], False),
        ("none", False),
    ],
)
def test_devices_that_cannot_be_read_cost_only_the_devices(devices: t.Any, kept: bool) -> None:
    found, _reason = judged({**state(agent()), "devices": devices, "devices_reason": "why"})
    assert found["devices"] == (devices if kept else None)
    assert found["devices_reason"] == ("why" if kept else "told in a shape that is not known")


def test_what_the_queen_answers() -> None:
    assert _agents.health_of(Answer(200, b"ok")) == (True, "")
    assert _agents.health_of(Answer(503)) == (False, "answered 503")
    assert _agents.info_of(answer({"hives": 3})) == ({"hives": 3}, "")
    assert _agents.info_of(answer([3])) == (None, "its answer is not of the expected shape")
    assert _agents.info_of(Answer(401, b"{}")) == (None, "answered 401")


def test_a_question_does_not_show_its_key() -> None:
    assert "sesame" not in repr(Question("h", 1, "/", "sesame"))
