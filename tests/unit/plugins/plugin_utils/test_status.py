# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status as a document."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _status
from ansible_collections.rbee.fleet.plugins.plugin_utils._status import Look
from ansible_collections.rbee.fleet.tests.unit.plugins.plugin_utils.status_states import (
    FLEET,
    agent,
    component,
    gpu,
    model,
    spec,
    state,
)

HIVE = (spec("hive", "hive"), spec())
QUEEN = {"host": "q", "url": "http://q:8500", "answers": True, "reason": "", "info": None, "info_reason": ""}


def document(looks: dict[str, Look], queen: t.Any = None, **options: t.Any) -> dict[str, t.Any]:
    found = _status.document(looks, queen or {}, FLEET, "2026-01-01T00:00:00Z", **options)
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(found)))


def well(*more: dict[str, t.Any], **host: t.Any) -> Look:
    return Look(HIVE, "gpu-1", "ssh", said=state(agent(), component(), *more, **host))


def test_every_host_ends_in_a_named_state_with_a_reason() -> None:
    found = document(
        {
            "well": well(),
            "drifted": Look(HIVE, "h", "ssh", said=state(agent())),
            "silent": Look(HIVE, "h", "ssh", silent="connection refused", found=state(agent(), component())),
            "near": Look(HIVE, "h", "local", silent="connection refused", found=state(agent(), component())),
            "gone": Look(HIVE, "h", "ssh", silent="late", found={"unreachable": True, "msg": "no  route\nto host"}),
            "broken": Look(HIVE, "h", "ssh", silent="late", found={"failed": True, "msg": "no Python"}),
            "mute": Look(HIVE, "h", "ssh", silent="late", found={}),
            "odd": Look(HIVE, "h", "ssh", silent="late", found={"components": [], "host": {}}),
        }
    )
    hosts = {name: (host["state"], host["source"], host["reason"]) for name, host in found["hosts"].items()}
    assert hosts == {
        "well": ("ok", "http", ""),
        "drifted": ("drift", "http", ""),
        "silent": ("ok", "ssh", ""),
        "near": ("ok", "local", ""),
        "gone": ("unreachable", "", "no route to host"),
        "broken": ("failed", "", "no Python"),
        "mute": ("failed", "", "nothing looked at it"),
        "odd": ("failed", "", "its answer is not of the expected shape"),
    }
    assert found["hosts"]["drifted"]["missing"] == ["llama-cpp"]
    assert found["hosts"]["gone"]["agent"] == "late"
    assert found["summary"] == {"hives": 8, "ok": 3, "drift": 1, "unreachable": 1, "failed": 3}
    assert _status.not_looked_at(found).keys() == {"gone", "broken", "mute", "odd"}


def test_the_queen_is_first_and_is_no_hive() -> None:
    queen = Look(
        [spec("queen", "queen")],
        "q",
        "local",
        silent="no agent is declared there",
        found=state(component("queen", "queen")),
    )
    found = document({"well": well(), "q": queen}, QUEEN)
    assert list(found["hosts"]) == ["q", "well"]
    assert found["summary"]["hives"] == 1
    assert found["queen"] == {**QUEEN, "state": "ok"}
    assert (found["hosts"]["q"]["devices"], found["hosts"]["q"]["agent"]) == (None, "")


def test_a_queen_of_another_configuration_is_drift_of_her_host() -> None:
    declared = spec("queen", "queen", files=[{"path": "info.json", "content": '{"hives": 3}'}])
    queen = Look([declared], "q", "local", found=state(component("queen", "queen")))
    found = document({"q": queen}, {**QUEEN, "info": {"hives": 2}})
    assert found["hosts"]["q"]["drift"] == ["queen has hives 2, declared is 3"]
    assert found["queen"]["state"] == "drift"


def test_without_the_host_of_the_queen_there_is_none() -> None:
    assert document({"well": well()})["queen"] is None


def test_components_are_in_order_and_of_this_fleet() -> None:
    look = Look(HIVE, "h", "ssh", found=state(model(), component(), agent(), component("x", fleet="another")))
    assert [item["name"] for item in document({"h": look})["hosts"]["h"]["components"]] == [
        "hive",
        "llama-cpp",
        "model-m",
    ]


def test_tags_choose_components_and_the_hosts_that_have_any() -> None:
    looks = {
        "well": well(model()),
        "empty": Look([spec("hive", "hive")], "h", "ssh", said=state(agent())),
        "gone": Look(HIVE, "h", "ssh", found={"unreachable": True, "msg": "no"}),
    }
    found = document(looks, kinds={"worker", "model"})
    assert list(found["hosts"]) == ["well", "gone"]
    assert [item["name"] for item in found["hosts"]["well"]["components"]] == ["llama-cpp", "model-m"]


def test_devices_are_known_or_there_is_a_reason() -> None:
    def devices(**more: t.Any) -> tuple[t.Any, str]:
        said = {**state(agent(), component(), device_kinds=more.pop("kinds", [])), **more}
        found = document({"h": Look(HIVE, said=said)})["hosts"]["h"]
        return found["devices"], found["devices_reason"]

    assert devices() == ([], "")
    assert devices(devices=[gpu()], devices_reason="") == ([gpu()], "")
    assert devices(devices=None, devices_reason="the driver hangs") == (None, "the driver hangs")
    assert devices(kinds=["nvidia"]) == (None, "what looked at this host does not read single devices")


def test_a_host_of_no_declared_components_is_looked_at_all_the_same() -> None:
    found = document({"h": Look(hostname="h", connection="ssh", found=state(component()))})["hosts"]["h"]
    assert (found["state"], found["drift"], found["address"]) == ("drift", ["llama-cpp is extra"], "h")
