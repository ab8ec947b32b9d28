# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status as text."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _status, _status_text
from ansible_collections.rbee.fleet.plugins.plugin_utils._status import Look
from ansible_collections.rbee.fleet.tests.unit.plugins.plugin_utils.status_states import (
    FLEET,
    GIB,
    agent,
    component,
    gpu,
    model,
    spec,
    state,
)

NOW = 1000.0 + 3 * 86400 + 4 * 3600
HIVE = (spec("hive", "hive"), spec())
INFO = {"fleet": FLEET, "hives": 1, "workers": 1, "models": ["m"]}
QUEEN = {"host": "q", "url": "http://q:8500", "answers": True, "reason": "", "info": INFO, "info_reason": ""}


def lines(looks: dict[str, Look], queen: t.Any = None, **options: t.Any) -> list[str]:
    found = _status.document(looks, queen or {}, FLEET, "2026-01-01T00:00:00Z", **options)
    return _status_text.lines(found, NOW)


def hive(*components: dict[str, t.Any], devices: t.Any = (), reason: str = "", **host: t.Any) -> Look:
    found = state(agent(), *(components or (component(),)), **host)
    return Look(HIVE, "gpu-1", "ssh", said={**found, "devices": devices, "devices_reason": reason})


def test_a_fleet_on_one_page() -> None:
    processes = [
        {"pid": 7, "memory_bytes": 14 * GIB, "component": "llama-cpp"},
        {"pid": 9, "memory_bytes": GIB, "component": ""},
        {"pid": 10, "memory_bytes": GIB // 2, "component": ""},
    ]
    queen = Look([spec("queen", "queen")], "q", "ssh", found=state(component("queen", "queen")))
    serving = component(served_name="m", variant="cuda", version="2026.10", restarts=2)
    declared = (
        spec("hive", "hive"),
        spec(version="2026.10", served_name="m"),
        spec("model-m", "model", served_name="m"),
    )
    said = {**state(agent(), serving, model()), "devices": [gpu(processes=processes)], "devices_reason": ""}
    gone = Look(
        HIVE, "h", "ssh", silent="connection refused on 10.0.0.1:8600", found={"unreachable": True, "msg": "no"}
    )
    assert lines({"gpu-1": Look(declared, said=said), "gpu-2": gone, "q": queen}, QUEEN) == [
        "queen: ok; 2 hives: 1 ok, 1 unreachable",
        "",
        "  NAME       STATE    HEALTH  MODEL  PORT  VERSION         UP       RESTARTS",
        "q (q): ok, over ssh",
        "  queen      running  ok      -      8080  1               3 d 4 h  0",
        "  answers on http://q:8500: 1 hive, 1 worker, 1 model",
        "gpu-1 (10.0.0.1:8600): ok, over http",
        "  hive       running  ok      -      8600  1               3 d 4 h  0",
        "  llama-cpp  running  ok      m      8080  2026.10 (cuda)  3 d 4 h  2",
        "  GPU 0  NVIDIA L4  16.0 / 24.0 GiB (66 %)  87 %  61 °C  llama-cpp 14.0 GiB, others 1.5 GiB",
        "  models: m",
        "gpu-2 (10.0.0.1:8600): unreachable: no",
        "  agent: connection refused on 10.0.0.1:8600",
    ]


def test_drift_is_one_line_and_says_where_all_of_it_is() -> None:
    shown = lines({"gpu-1": hive(component(version="2", problems=["x is gone"]))})
    assert shown[0] == "1 hive: 1 drift"
    assert "  drift: llama-cpp has version 2, declared is 1; llama-cpp is not as installed: x is gone" in shown
    assert "sync --check --diff" in shown[-1]


def test_what_is_declared_and_not_there_is_a_line_too() -> None:
    look = Look(HIVE, "gpu-1", "ssh", said=state(agent()))
    assert "  llama-cpp  not installed  -       -      -     -        -        -" in lines({"gpu-1": look})


def test_a_host_with_nothing_declared_and_nothing_there_says_so() -> None:
    shown = lines({"h": Look(hostname="h", connection="local", found=state())})
    assert shown[2:4] == ["h (h): ok, over local", "  no GPU"]
    assert shown[4] == "  nothing is installed"


def test_a_run_at_work_is_named() -> None:
    assert "  a run of ann@desk is changing this host" in lines({"a": hive(holder={"controller": "ann@desk"})})


def test_what_is_not_known_of_a_host_has_its_reason() -> None:
    assert "  service_manager is not known: no systemd" in lines({"a": hive(reasons={"service_manager": "no systemd"})})


@pytest.mark.parametrize(
    ("device", "line"),
    [
        (
            gpu(memory_used_bytes=None, reasons={"memory_used_bytes": "no permission"}),
            "  GPU 0  NVIDIA L4  ? / 24.0 GiB  87 %  61 °C  no used: no permission",
        ),
        (
            gpu(
                utilization_percent=None,
                temperature_celsius=None,
                reasons={"utilization_percent": "lost", "temperature_celsius": "lost", "power_watts": "lost"},
            ),
            "  GPU 0  NVIDIA L4  16.0 / 24.0 GiB (66 %)  ? %  ? °C  no utilization, temperature: lost",
        ),
        (gpu(name=None, divided=True), "  GPU 0  ?  divided  87 %  61 °C  -"),
        (gpu(memory_kind="unified"), "  GPU 0  NVIDIA L4  16.0 / 24.0 GiB (66 %) unified  87 %  61 °C  -"),
        (
            gpu(processes=[{"component": "vllm", "memory_bytes": None}]),
            "  GPU 0  NVIDIA L4  16.0 / 24.0 GiB (66 %)  87 %  61 °C  vllm ? GiB",
        ),
    ],
)
def test_a_gpu_is_a_line_and_what_is_unknown_says_why(device: dict[str, t.Any], line: str) -> None:
    assert line in lines({"a": hive(devices=[device])})


def test_gpus_of_all_hosts_are_aligned() -> None:
    looks = {"a": hive(devices=[gpu()]), "b": hive(devices=[gpu(name="NVIDIA H100 80GB HBM3")])}
    shown = [line for line in lines(looks) if line.startswith("  GPU")]
    assert shown[0].index("16.0 /") == shown[1].index("16.0 /")


def test_a_host_without_a_gpu_says_so_and_one_whose_gpus_are_unknown_says_why() -> None:
    assert "  no GPU" in lines({"a": hive(devices=[])})
    assert "  GPU: nvidia: the driver hangs" in lines(
        {"a": hive(devices=None, reason="the driver hangs", device_kinds=["nvidia"])}
    )
    assert "  GPU: amd: no rights" in lines({"a": hive(devices=[gpu()], reason="amd: no rights")})


def test_unknown_values_are_dashes_and_restarts_have_a_footnote() -> None:
    shown = lines({"a": hive(component(restarts=None, version="", port=0, healthy=None))})
    assert shown[6].split() == ["llama-cpp", "running", "-", "-", "-", "-", "3", "d", "4", "h", "-"]
    assert any(line.startswith("RESTARTS is -") for line in shown)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (7205, "2 h"), (3 * 86400 + 4 * 3600, "3 d 4 h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert _status_text.duration(seconds) == text


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "answers on http://q:8500: 1 hive, 1 worker, 1 model"),
        ({"info": None, "info_reason": "answered 401"}, "answers on http://q:8500; more is not known: answered 401"),
        ({"answers": False, "reason": "connection refused"}, "asked from here: connection refused"),
        (
            {"info": {"version": "0.1.0"}},
            "answers on http://q:8500: another program than ours, which tells nothing of the fleet",
        ),
        ({"info": {"models": "x"}}, "answers on http://q:8500: ? hives, ? workers, ? models"),
    ],
)
def test_what_the_queen_answers_to_the_controller(more: dict[str, t.Any], line: str) -> None:
    queen = Look([spec("queen", "queen")], "q", "ssh", found=state(component("queen", "queen")))
    assert f"  {line}" in lines({"q": queen}, {**QUEEN, **more})


def test_of_many_hosts_those_that_are_not_well_stand_at_the_end_too() -> None:
    looks = {f"h{number}": hive() for number in range(300)}
    looks["h7"] = hive(component(state="failed", healthy=None, reason="exited with 1"))
    looks["h9"] = Look(HIVE, "h", "ssh", found={"unreachable": True, "msg": "no route"})
    shown = lines(looks)
    assert shown[0] == "300 hives: 298 ok, 1 drift, 1 unreachable"
    assert shown[-3:] == [
        "300 hives: 298 ok, 1 drift, 1 unreachable",
        "  h7: drift: llama-cpp is failed: exited with 1",
        "  h9: unreachable: no route",
    ]


def test_what_a_host_says_cannot_write_on_the_terminal() -> None:
    shown = lines({"a": hive(component(name="w\x1b[2J\nx", version="1\t2", problems=["\x07" + "y" * 999]))})
    text = "\n".join(shown)
    assert text.replace("\n", "").isprintable()
    assert "w [2J x" in text
    assert "y" * 400 not in text
