# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status playbook prints."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.filter.fleet_status import fleet_status

QUEEN, HIVE, WORKER = ("queen", "queen"), ("hive", "hive"), ("vllm", "worker")


def component(name: str, kind: str, **options: t.Any) -> dict[str, t.Any]:
    return {
        "name": name, "kind": kind, "state": "running", "healthy": True, "version": "1", "variant": "", "port": 8000,
        "address": "10.0.0.1", "served_name": "", "reason": "", "health": "", "problems": [], **options,
    }  # fmt: skip


def host(
    name: str, *components: dict[str, t.Any], declared: t.Iterable[tuple[str, str]] = (), **about: t.Any
) -> dict[str, t.Any]:
    """The variables of a host that was looked at."""
    return {
        "inventory_hostname": name,
        "rbee_found": {"components": list(components), "host": {"holder": None, **about}},
        "rbee_components": [{"name": name, "kind": kind} for name, kind in declared],
    }


def test_a_component_is_a_line_and_the_queen_is_first() -> None:
    here = host("a", component("vllm", "worker", served_name="small"), component("queen", "queen"))
    assert fleet_status([here]) == [
        "HOST  NAME   STATE    HEALTH  VERSION  ADDRESS        MODEL",
        "a     queen  running  ok      1        10.0.0.1:8000  -",
        "a     vllm   running  ok      1        10.0.0.1:8000  small",
    ]


def test_what_is_declared_and_not_there_is_a_line_too() -> None:
    lines = fleet_status([host("a", component("hive", "hive"), declared=[HIVE, WORKER])])
    assert lines[2].split()[:4] == ["a", "vllm", "not", "installed"]


def test_a_host_with_nothing_declared_and_nothing_there_says_so() -> None:
    assert fleet_status([host("a")]) == ["a: nothing is installed"]


def test_what_is_wrong_stands_below_with_its_host() -> None:
    sick = component("vllm", "worker", state="failed", healthy=None, reason="exited with 1", problems=["unit is gone"])
    assert fleet_status([host("a", sick)])[2:] == ["a: vllm: exited with 1", "a: vllm: unit is gone"]


def test_a_host_that_could_not_be_looked_at_hides_no_other() -> None:
    gone = {"inventory_hostname": "gone", "rbee_found": {"unreachable": True, "msg": "no route to host"}}
    broken = {"inventory_hostname": "broken", "rbee_found": {"msg": "no Python"}}
    lines = fleet_status([gone, broken, host("a", component("hive", "hive"))])
    assert lines[1].startswith("a     hive  running")
    assert lines[2:] == ["gone: unreachable: no route to host", "broken: failed: no Python"]


def test_tags_choose_components() -> None:
    here = host("a", component("hive", "hive"), component("m", "model"), declared=[QUEEN, HIVE, WORKER])

    def names(*tags: str) -> list[str]:
        return [line.split()[1] for line in fleet_status([here], tags)[1:]]

    assert names("all") == ["hive", "m", "queen", "vllm"]
    assert names("hives") == ["hive"]
    assert names("workers") == ["m", "vllm"]
    assert names("queen", "hives") == ["hive", "queen"]


def test_a_run_at_work_is_named() -> None:
    lines = fleet_status([host("a", component("hive", "hive"), holder={"controller": "ann@desk"})])
    assert lines[-1] == "a: a run of ann@desk is changing this host"


def test_gpus_that_cannot_be_found_out_are_told() -> None:
    here = host("a", component("hive", "hive"))
    here["rbee_found"]["devices_reason"] = "nvidia: a reboot is due"
    assert fleet_status([here])[-1] == "a: nvidia: a reboot is due"
