# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe against real cards, compared with what NVIDIA's own program says."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds, _gpu_probe
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Device

pytestmark = pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="there is no NVIDIA GPU here (no nvidia-smi)")

MIB = 1024**2
FIELDS = ("index", "uuid", "name", "pci.bus_id", "driver_version", "memory.total", "memory.used", "temperature.gpu",
          "compute_cap", "mig.mode.current")  # fmt: skip


@pytest.fixture(scope="module")
def told() -> list[dict[str, str]]:
    """What nvidia-smi says of each card; fields that it does not know begin with '['."""
    command = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"nvidia-smi sees no GPU: {done.stdout.strip()}")
    return [dict(zip(FIELDS, line.split(", "), strict=True)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def devices() -> tuple[Device, ...]:
    found = _gpu_probe.probe()
    assert found.devices is not None, found.reason
    return tuple(device for device in found.devices if device.vendor == "nvidia")


def test_the_cards_are_those_that_nvidia_smi_sees(devices: tuple[Device, ...], told: t.Any) -> None:
    cards = [device for device in devices if not device.parent]
    assert [(str(card.index), card.uuid, card.name, card.driver) for card in cards] == [
        (card["index"], card["uuid"], card["name"], card["driver_version"]) for card in told
    ]
    assert [card.divided for card in cards] == [card["mig.mode.current"] == "Enabled" for card in told]
    assert [(card.architecture or "").replace("sm_", "") for card in cards] == [
        card["compute_cap"].replace(".", "") for card in told
    ]
    assert "nvidia" in set(_gpu_kinds.kinds())


def test_figures_are_those_that_nvidia_smi_sees(devices: tuple[Device, ...], told: t.Any) -> None:
    for device, card in zip([device for device in devices if not device.parent], told, strict=True):
        if device.memory_kind == "dedicated" and device.memory_total_bytes is not None:
            assert abs(device.memory_total_bytes / MIB - float(card["memory.total"])) < 2
            assert device.memory_used_bytes is not None
            assert abs(device.memory_used_bytes / MIB - float(card["memory.used"])) < 1024  # others may be at work
        if device.temperature_celsius is not None:
            assert abs(device.temperature_celsius - float(card["temperature.gpu"])) < 20


def test_what_is_not_known_has_a_reason(devices: tuple[Device, ...]) -> None:
    for device in devices:
        for field in ("name", "uuid", "memory_total_bytes", "utilization_percent", "temperature_celsius"):
            assert getattr(device, field) is not None or device.reasons[field]


def test_instances_are_told_by_their_own_uuid(devices: tuple[Device, ...]) -> None:
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=120, check=True).stdout
    for device in devices:
        assert f"UUID: {device.uuid})" in listed
    assert listed.count("UUID: MIG-") == len([device for device in devices if device.parent])


def test_a_process_of_ours_is_seen_on_its_card(devices: tuple[Device, ...]) -> None:
    torch = pytest.importorskip("torch", reason="needs something that computes: torch")
    held = torch.zeros(256 * MIB, dtype=torch.uint8, device="cuda:0")
    found = _gpu_probe.probe()
    seen = {process.pid for device in found.devices or () for process in device.processes}
    if not seen:
        pytest.skip("this container hides processes from NVML")
    assert os.getpid() in seen or os.path.exists("/.dockerenv")
    del held
