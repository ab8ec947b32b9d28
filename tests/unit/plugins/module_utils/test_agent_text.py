# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's command line prints for people."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._agent_text import (
    devices_text,
    outcome_text,
    plan_text,
    state_text,
)

HOST: dict[str, t.Any] = {
    "prefix": "/opt/rbee", "platform": "linux-x86_64", "python": "3.12.1", "service_manager": "systemd",
    "device_kinds": ["nvidia"], "holder": None,
}  # fmt: skip
WORKER: dict[str, t.Any] = {
    "name": "w", "state": "running", "healthy": True, "version": "1", "variant": "cuda", "address": "10.0.0.1",
    "port": 8000, "served_name": "small", "reason": "", "health": "answered 200", "problems": [],
}  # fmt: skip
GPU: dict[str, t.Any] = {
    "index": 0, "vendor": "nvidia", "name": "NVIDIA H100", "uuid": "GPU-a", "pci": "0000:3b:00.0", "parent": None,
    "divided": False, "driver": "580.65", "memory_kind": "dedicated", "memory_total_bytes": 80 * 1024**3,
    "memory_used_bytes": 1024**3, "utilization_percent": 37, "temperature_celsius": 41, "power_watts": 71.25,
    "processes": [], "reasons": {},
}  # fmt: skip
OUTCOME: dict[str, t.Any] = {"name": "w", "state": "ok", "changed": False, "reason": "", "logs": [], "kept": []}


def test_a_component_is_a_line_under_its_columns() -> None:
    assert state_text({"host": HOST, "components": [WORKER]}) == (
        "/opt/rbee: linux-x86_64, Python 3.12.1, systemd, devices: nvidia\n"
        "NAME  STATE    HEALTH  VERSION   ADDRESS        MODEL\n"
        "w     running  ok      1 (cuda)  10.0.0.1:8000  small\n"
    )


def test_what_is_wrong_stands_below() -> None:
    sick = {**WORKER, "healthy": False, "health": "answered 503: loading", "problems": ["its unit is gone"]}
    lines = state_text({"host": HOST, "components": [sick]}).splitlines()
    assert lines[-2:] == ["w: answered 503: loading", "w: its unit is gone"]


def test_a_state_that_is_not_known_is_said_to_be_unknown() -> None:
    unknown = {**WORKER, "state": None, "healthy": None, "reason": "only root may ask"}
    lines = state_text({"host": HOST, "components": [unknown]}).splitlines()
    assert lines[-2].split()[:3] == ["w", "unknown", "-"]
    assert lines[-1] == "w: only root may ask"


def test_an_empty_host_says_so() -> None:
    assert state_text({"host": HOST, "components": []}).endswith("nothing is installed\n")


def test_a_busy_host_says_for_whom() -> None:
    text = state_text({"host": {**HOST, "holder": {"controller": "ann@desk"}}, "components": []})
    assert "busy: ann@desk is at work" in text


def test_a_failure_shows_its_reason_and_the_last_lines_of_the_service() -> None:
    failed = {**OUTCOME, "state": "failed", "changed": True, "reason": "exited with 1", "logs": ["no such file"]}
    text = outcome_text({"changed": True, "host": {**OUTCOME, "name": "host"}, "components": [failed]})
    assert text == "w: failed (exited with 1)\n  no such file\nchanged\n"


def test_a_run_that_failed_as_a_whole_says_why() -> None:
    assert outcome_text({"failed": True, "msg": "it was killed"}) == "it was killed\n"


def test_a_plan_is_its_steps() -> None:
    host = {"name": "host", "steps": ["create folders /p"]}
    assert plan_text({"host": host, "components": [{"name": "w", "steps": ["start service"]}]}) == (
        "host: create folders /p\nw: start service\n"
    )
    assert plan_text({"host": {"name": "host", "steps": []}, "components": []}) == "nothing to do\n"


def test_the_gpus_stand_in_the_line_of_the_host() -> None:
    def first(*devices: dict[str, t.Any]) -> str:
        return state_text({"host": HOST, "components": [], "devices": list(devices)}).splitlines()[0]

    assert first(GPU).endswith(", GPU: NVIDIA H100")
    assert first(GPU, {**GPU, "index": 1}, {**GPU, "parent": "GPU-a"}).endswith(", GPU: 2 x NVIDIA H100")


def test_drivers_that_are_sick_are_told_below_the_host() -> None:
    state = {"host": HOST, "components": [], "devices": None, "devices_reason": "a GPU driver hangs"}
    assert state_text(state).splitlines()[1] == "a GPU driver hangs"
    assert devices_text(state) == "GPUs: not known\na GPU driver hangs\n"


def test_a_gpu_is_a_line_with_its_processes_below() -> None:
    processes = [
        {"pid": 4711, "memory_bytes": 512 * 1024**2, "component": "llama-cpp"},
        {"pid": 4712, "memory_bytes": None, "component": ""},
    ]
    assert devices_text({"devices": [{**GPU, "processes": processes}], "devices_reason": ""}) == (
        "GPU  NAME         UUID   MEMORY              USE   TEMPERATURE  POWER  DRIVER\n"
        "0    NVIDIA H100  GPU-a  1.0 GiB / 80.0 GiB  37 %  41 °C        71 W   580.65\n"
        "GPU 0: process 4711 (llama-cpp), 0.5 GiB\n"
        "GPU 0: process 4712 (other)\n"
    )


def test_what_is_not_known_of_a_gpu_is_a_dash_with_its_reason_below() -> None:
    reasons = {"uuid": "it is lost", "memory_used_bytes": "it is lost", "processes": "it is lost"}
    lost = {**GPU, "uuid": None, "memory_used_bytes": None, "utilization_percent": None, "reasons": reasons}
    lines = devices_text({"devices": [lost], "devices_reason": ""}).splitlines()
    assert [cell for cell in lines[1].split("  ") if cell][2:4] == ["0000:3b:00.0", "- / 80.0 GiB"]
    assert lines[2:] == ["GPU 0: memory_used_bytes: it is lost", "GPU 0: uuid: it is lost"]


def test_memory_of_the_host_is_said_to_be_shared() -> None:
    text = devices_text({"devices": [{**GPU, "memory_kind": "unified"}], "devices_reason": ""})
    assert "1.0 GiB / 80.0 GiB (unified)" in text


def test_a_machine_without_a_gpu_says_so() -> None:
    assert devices_text({"devices": [], "devices_reason": ""}) == "no GPU\n"
