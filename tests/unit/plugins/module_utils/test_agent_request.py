# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of a command line on a hive to a request."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._agent_request import (
    AgentError,
    Hive,
    install_worker,
    refuse_change,
    remove_worker,
    start_or_stop,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source, Spec, Variant, to_dict

SOURCE = {"any": Source("bundled", name="x")}
VARIANTS = (Variant("cuda", SOURCE, command=("native",)), Variant("cpu", SOURCE))
ENGINE = Spec("engine", "engine", "worker", "f", "1", VARIANTS, command=("run",), address="10.0.0.1", port=8000)
CATALOG = {
    "fleet": "f",
    "scope": "system",
    "tools": [to_dict(Spec("uv", "uv", "tool", "f", "1", VARIANTS))],
    "models": {"org/small": to_dict(Spec("model-org--small", "model", "model", "f", "1", VARIANTS))},
    "workers": {
        "engine": {"spec": to_dict(ENGINE), "model": "required", "model_command": ["-m", "{model_path}"]},
        "painter": {"spec": to_dict(ENGINE), "model": "none", "model_command": []},
    },
}
RECEIPTS: dict[str, dict[str, t.Any]] = {
    "hive": {"kind": "hive", "type": "hive", "fleet": "f", "port": 8600, "generation": "g"},
    "old": {"kind": "worker", "type": "engine", "fleet": "f", "port": 9000, "generation": "g", "idle": "no model"},
    "theirs": {"kind": "worker", "type": "engine", "fleet": "g", "port": 9001, "generation": "g"},
    "model-org--small": {"kind": "model", "type": "model", "fleet": "f"},
}
HIVE = Hive("/opt/rbee", CATALOG, RECEIPTS, "me@here")


def test_a_worker_is_what_the_controller_would_make_of_its_type() -> None:
    request = install_worker(HIVE, "engine", model="org/small")
    model, worker = request.specs
    assert (request.fleet, request.scope, request.prefix, request.state) == ("f", "system", "/opt/rbee", "present")
    assert (model.name, worker.name, worker.port, worker.address) == ("model-org--small", "engine", 8000, "10.0.0.1")
    assert (worker.model, worker.served_name, worker.idle) == ("model-org--small", "org/small", "")
    assert worker.command == ("run", "-m", "{model_path}")
    assert list(request.tools) == ["uv"]


@pytest.mark.parametrize(
    ("options", "declared"),
    [
        ({}, {"type": "engine"}),
        ({"name": "engine", "port": 8000}, {"type": "engine"}),
        ({"gpus": ("all",)}, {"type": "engine", "gpus": "all"}),
        ({"gpus": ("1", "0")}, {"type": "engine", "gpus": [1, 0]}),
        (
            {"name": "b", "port": 8001, "model": "org/small"},
            {"type": "engine", "name": "b", "port": 8001, "model": "org/small"},
        ),
    ],
)
def test_a_worker_says_how_it_would_be_declared(options: dict[str, t.Any], declared: dict[str, t.Any]) -> None:
    assert json.loads(install_worker(HIVE, "engine", **options).specs[-1].declared) == declared


def test_without_a_model_a_worker_serves_those_of_the_hive_where_its_type_can() -> None:
    several = dataclasses.replace(ENGINE, models={"model-org--small": "org/small"})
    workers = {"engine": {**CATALOG["workers"]["engine"], "on_demand": to_dict(several)}}  # type: ignore[index]
    hive = dataclasses.replace(HIVE, catalog={**CATALOG, "workers": workers})
    model, worker = install_worker(hive, "engine").specs
    assert (model.name, worker.models, worker.idle) == ("model-org--small", {"model-org--small": "org/small"}, "")
    assert json.loads(worker.declared) == {"type": "engine"}
    assert install_worker(hive, "engine", model="org/small").specs[-1].models == {}
    assert install_worker(HIVE, "engine").specs[-1].idle == "no model"


def test_a_build_with_a_command_of_its_own_serves_the_model_too() -> None:
    worker = install_worker(HIVE, "engine", model="org/small").specs[-1]
    assert [variant.command for variant in worker.variants] == [("native", "-m", "{model_path}"), ()]


def test_a_worker_that_needs_a_model_and_gets_none_is_idle() -> None:
    assert install_worker(HIVE, "engine").specs[-1].idle == "no model"
    assert install_worker(HIVE, "painter", name="painter").specs[-1].idle == ""


def test_a_claim_on_gpus_is_the_one_that_was_given() -> None:
    assert [install_worker(HIVE, "engine", gpus=gpus).specs[-1].gpus for gpus in ((), ("0", "2"))] == [(), ("0", "2")]


def test_name_and_port_are_those_that_were_given() -> None:
    worker = install_worker(HIVE, "engine", name="second", port=8001).specs[-1]
    assert (worker.name, worker.type, worker.port) == ("second", "engine", 8001)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type_name": "vlm"}, "no worker type 'vlm'; this hive knows engine, painter"),
        ({"type_name": "engine", "name": "hive"}, "the name hive is taken by a hive"),
        ({"type_name": "engine", "port": 9000}, "port 9000 is taken by old"),
        ({"type_name": "engine", "name": "../x"}, "'../x' cannot be a worker's name"),
        ({"type_name": "engine", "model": "big"}, "no model 'big' is declared for this hive; there is org/small"),
        ({"type_name": "painter", "model": "org/small"}, "a worker of type painter serves no model"),
    ],
)
def test_what_cannot_be_installed_is_refused(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AgentError) as caught:
        install_worker(HIVE, **options)
    assert message in str(caught.value)


def preview(changed: bool) -> dict[str, t.Any]:
    return {"components": [{"name": "old", "kind": "worker", "changed": changed}]}


def test_a_worker_that_is_there_may_be_installed_again_only_as_it_is() -> None:
    request = install_worker(HIVE, "engine", name="old", port=9000)
    refuse_change(HIVE, request, preview(changed=False))
    with pytest.raises(AgentError, match="there is already a worker old here, and it differs"):
        refuse_change(HIVE, request, preview(changed=True))


def test_a_worker_is_removed_from_the_fleet_of_its_receipt() -> None:
    request = remove_worker(HIVE, "theirs", purge=True)
    assert (request.state, request.fleet, request.names, request.purge) == ("absent", "g", ("theirs",), True)


@pytest.mark.parametrize("name", ["hive", "model-org--small", "nobody"])
def test_only_a_worker_that_is_there_is_removed(name: str) -> None:
    with pytest.raises(AgentError, match=name):
        remove_worker(HIVE, name, purge=False)


def test_components_are_stopped_by_name() -> None:
    request = start_or_stop(HIVE, "stopped", ["hive", "old"])
    assert (request.state, request.names, request.specs) == ("stopped", ("hive", "old"), ())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nobody"], "there is no component nobody here; there is hive, model-org--small, old, theirs"),
        (["model-org--small"], "there is nothing of it that runs"),
        (["old"], "old is idle: no model"),
        (["hive", "theirs"], "different fleets"),
    ],
)
def test_what_cannot_be_started_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(AgentError) as caught:
        start_or_stop(HIVE, "started", names)
    assert message in str(caught.value)
