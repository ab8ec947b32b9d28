# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observed state as Prometheus text."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._metrics import render

HOST = {"platform": "linux-x86_64", "python": "3.12.1", "service_manager": "systemd", "busy": False}
WORKER: dict[str, t.Any] = {
    "name": "w", "type": "vllm", "kind": "worker", "fleet": "f", "version": "1", "variant": "cpu", "release": "r",
    "served_name": "m", "state": "running", "healthy": True, "since": 12.5, "restarts": 3, "problems": [],
}  # fmt: skip
OF_W = '{name="w",type="vllm",kind="worker",fleet="f"}'


def samples(*components: dict[str, t.Any], **host: t.Any) -> dict[str, str]:
    """Value by name and labels."""
    text = render({"host": {**HOST, **host}, "components": list(components)})
    assert text.endswith("\n")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_a_running_worker_is_up_and_healthy() -> None:
    found = samples(WORKER)
    assert found["rbee_component_up" + OF_W] == "1"
    assert found["rbee_component_healthy" + OF_W] == "1"
    assert found["rbee_component_restarts_total" + OF_W] == "3"
    assert found["rbee_component_start_time_seconds" + OF_W] == "12.5"
    assert found["rbee_component_problems" + OF_W] == "0"
    assert found["rbee_host_busy"] == "0"


def test_a_failed_worker_is_down() -> None:
    assert samples({**WORKER, "state": "failed", "healthy": None})["rbee_component_up" + OF_W] == "0"


def test_what_is_not_known_has_no_sample() -> None:
    found = samples({**WORKER, "state": None, "healthy": None, "since": None, "restarts": None}, busy=None)
    assert {name.split("{")[0] for name in found} == {
        "rbee_host_info",
        "rbee_component_info",
        "rbee_component_problems",
    }


def test_a_model_is_neither_up_nor_down() -> None:
    found = samples({**WORKER, "kind": "model", "state": "installed", "healthy": None, "since": None, "restarts": None})
    assert not [name for name in found if name.startswith("rbee_component_up")]


def test_values_of_labels_are_escaped() -> None:
    text = render({"host": HOST, "components": [{**WORKER, "served_name": 'a"b\\c\nd'}]})
    assert r'served_name="a\"b\\c\nd"' in text


def test_every_metric_says_what_it_is_once() -> None:
    text = render({"host": HOST, "components": [WORKER, {**WORKER, "name": "v"}]})
    named = set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
    for kind in ("HELP", "TYPE"):
        assert sorted(re.findall(rf"^# {kind} (\w+)", text, re.MULTILINE)) == sorted(named)


def test_an_empty_host_has_metrics_of_its_own_only() -> None:
    assert set(samples()) == {
        'rbee_host_info{platform="linux-x86_64",python="3.12.1",service_manager="systemd"}',
        "rbee_host_busy",
    }


GPU: dict[str, t.Any] = {
    "index": 1, "uuid": "GPU-a", "name": "NVIDIA H100", "memory_total_bytes": 100, "memory_used_bytes": 0,
    "utilization_percent": 37, "temperature_celsius": 41, "power_watts": 71.25,
}  # fmt: skip
OF_GPU = '{uuid="GPU-a",index="1",name="NVIDIA H100"}'


def of_gpus(*devices: dict[str, t.Any]) -> dict[str, str]:
    text = render({"host": HOST, "components": [], "devices": list(devices)})
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("rbee_gpu_"))


def test_a_gpu_is_measured() -> None:
    assert of_gpus(GPU) == {
        "rbee_gpu_memory_total_bytes" + OF_GPU: "100",
        "rbee_gpu_memory_used_bytes" + OF_GPU: "0",
        "rbee_gpu_utilization_ratio" + OF_GPU: "0.37",
        "rbee_gpu_temperature_celsius" + OF_GPU: "41",
        "rbee_gpu_power_watts" + OF_GPU: "71.25",
    }


def test_what_is_not_known_of_a_gpu_has_no_sample() -> None:
    unknown = dict.fromkeys(("memory_used_bytes", "utilization_percent", "temperature_celsius", "power_watts"))
    assert list(of_gpus({**GPU, **unknown, "uuid": None})) == [
        'rbee_gpu_memory_total_bytes{uuid="",index="1",name="NVIDIA H100"}'
    ]


def test_gpus_that_are_not_known_have_no_metrics() -> None:
    assert "rbee_gpu" not in render({"host": HOST, "components": [], "devices": None})


def test_a_pull_has_when_it_ran_last_and_how_it_ended() -> None:
    run = {"time": "2026-11-25T22:47:12Z", "seconds": 2.5, "rc": 2, "commit": "c", "reason": "no route"}
    found = samples({**WORKER, "last_run": run}, {**WORKER, "name": "other", "last_run": None})
    assert found["rbee_pull_last_run_success" + OF_W] == "0"
    assert found["rbee_pull_last_run_time_seconds" + OF_W] == "1795646832"
    found = samples({**WORKER, "last_run": {**run, "rc": 0, "time": "?"}})
    assert found["rbee_pull_last_run_success" + OF_W] == "1"
    assert "rbee_pull_last_run_time_seconds" + OF_W not in found
