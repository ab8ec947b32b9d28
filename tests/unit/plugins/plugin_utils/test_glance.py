# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift at a glance."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _glance
from ansible_collections.rbee.fleet.tests.unit.plugins.plugin_utils.status_states import agent, component, model, spec

WELL = [agent(), component(), model()]
DECLARED = [spec("model-m", "model", served_name="m"), spec("hive", "hive"), spec()]


def test_what_is_as_declared_has_no_drift() -> None:
    assert _glance.drift(DECLARED, WELL) == []


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (None, "llama-cpp is missing"),
        (component(version="2"), "llama-cpp has version 2, declared is 1"),
        (component(port=8081), "llama-cpp has port 8081, declared is 8080"),
        (component(address="10.0.0.9"), "llama-cpp has address 10.0.0.9, declared is 10.0.0.1"),
        (component(served_name="m"), "llama-cpp has model m, declared is none"),
        (component(state="failed", healthy=None, reason="exited with 1"), "llama-cpp is failed: exited with 1"),
        (component(state="restarting", healthy=None), "llama-cpp is restarting"),
        (component(state="stopped", healthy=None, reason="it should run"), "llama-cpp is stopped: it should run"),
        (component(state="idle", healthy=None, reason="no model"), "llama-cpp is idle: no model"),
        (component(state="starting", healthy=False, health="answered 503"), "llama-cpp is starting: answered 503"),
        (component(healthy=False, health="answered 500"), "llama-cpp is not healthy: answered 500"),
        (component(state=None, healthy=None, reason="no D-Bus"), "llama-cpp is in an unknown state: no D-Bus"),
        (component(state="novel", healthy=True), "llama-cpp is novel"),
        (component(problems=["/x is gone", "b", "c"]), "llama-cpp is not as installed: /x is gone and 2 more"),
        (component(kind="", fleet="", reason="has no receipt"), "llama-cpp has no receipt"),
    ],
)
def test_every_difference_is_a_line(found: t.Any, line: str) -> None:
    assert _glance.drift([spec()], [found] if found else []) == [line]


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (spec(auto_start=False), component(state="stopped", healthy=None)),
        (spec(), component(state="held", healthy=None, reason="on request")),
        (spec(idle="no model"), component(state="idle", healthy=None, reason="no model")),
        (spec(), component(state=None, reason="not root")),
        (spec(), component(healthy=None)),
        (spec(models={"model-a": "a"}), component(models=["a"])),
        (
            spec(models={"model-a": "a"}, variants=[{"name": "cpu", "idle": "serves only one"}]),
            component(state="idle", healthy=None, reason="serves only one", models=[]),
        ),
    ],
)
def test_what_is_meant_to_be_or_works_is_none(declared: t.Any, found: t.Any) -> None:
    assert _glance.drift([declared], [found]) == []


def test_a_worker_that_serves_other_models_on_demand_says_which() -> None:
    declared = spec(models={"model-a": "a", "model-b": "b"})
    assert _glance.drift([declared], [component(models=["b"])]) == ["llama-cpp serves b, declared is a, b"]


def test_several_differences_of_one_component_are_all_told() -> None:
    assert len(_glance.drift([spec()], [component(version="2", port=1, healthy=False, problems=["x"])])) == 4


def test_what_is_not_declared_is_extra() -> None:
    left = component("torn", "", reason="has no receipt")
    assert _glance.drift([], [component(), left]) == ["llama-cpp is extra", "torn has no receipt"]


def test_kinds_choose_what_is_compared() -> None:
    assert _glance.drift(DECLARED, [], {"hive"}) == ["hive is missing"]
    assert _glance.drift([], WELL, {"worker"}) == ["llama-cpp is extra"]


def test_what_is_temporary_for_somebody_else_is_not_extra() -> None:
    assert _glance.drift([], [component(temporary=True)]) == []
    assert _glance.missing(DECLARED, [agent()], {"hive", "worker"}) == ["llama-cpp"]


def test_a_queen_that_answers_for_another_configuration() -> None:
    info = {"fleet": "demo", "hives": 3, "models": ["a", "b"]}
    queen = spec("queen", "queen", files=[{"path": "x"}, {"path": "info.json", "content": json.dumps(info)}])
    assert _glance.drift_of_queen([spec(), queen], {**info, "later": 1}) == []
    assert _glance.drift_of_queen([queen], {"fleet": "demo", "hives": 2, "models": ["a", "c"]}) == [
        "queen has hives 2, declared is 3",
        "queen has other models than declared",
    ]
    assert _glance.drift_of_queen([spec("queen", "queen")], info) == []


def test_a_queen_that_has_what_another_checkout_has_as_temporary() -> None:
    info = {"workers": 1, "models": ["a"]}
    queen = spec("queen", "queen", files=[{"path": "info.json", "content": json.dumps(info)}])
    assert _glance.strangers(DECLARED, [component(name="trial", temporary=True), component(temporary=True)]) == [
        "trial"
    ]
    said = "queen's map has what another checkout has as temporary, which a run from here takes out of it: desk/trial"
    assert _glance.drift_of_queen([queen], {"workers": 2, "models": ["a", "b"]}, ["desk/trial"]) == [said]
    assert _glance.drift_of_queen([queen], info, ["desk/trial"]) == []
    assert _glance.drift_of_queen([queen], {"workers": 3, "models": []}, ["desk/trial"]) == [
        "queen has workers 3, declared is 1",
        "queen has other models than declared",
    ]
