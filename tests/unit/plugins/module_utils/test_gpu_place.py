# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a component gets, and what its program is told of them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import UNIFIED, Device, Found, merged, pci_address
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_place import PlaceError, claimed, environment, unclaimed

A = Device("nvidia", uuid="GPU-a", pci="0000:3b:00.0")
B = Device("nvidia", uuid="GPU-b", pci="0000:5e:00.0")
LOST = Device("nvidia", reasons={"uuid": "the GPU is lost"})
DIVIDED = Device("nvidia", uuid="GPU-d", pci="0000:af:00.0", divided=True)
PART = Device("nvidia", uuid="MIG-1", pci="0000:af:00.0", parent="GPU-d")
RADEON = Device("amd", uuid="GPU-00000000000000ff", pci="0000:83:00.0")
APU = Device("amd", pci="0000:05:00.0", memory_kind=UNIFIED)
ARC = Device("intel", pci="0000:65:00.0")
IRIS = Device("intel", pci="0000:00:02.0", memory_kind=UNIFIED)
NONE: t.Mapping[str, str] = {}


def host(*devices: Device, reason: str = "") -> Found:
    return merged([Found(devices, reason)])


def keys(devices: t.Iterable[Device]) -> list[str]:
    return [device.key for device in devices]


def test_numbers_become_devices_in_the_order_of_the_claim() -> None:
    assert keys(claimed(("1", "0"), "nvidia", host(A, B), NONE)) == ["GPU-b", "GPU-a"]


def test_all_are_those_that_the_build_can_use() -> None:
    found = host(A, LOST, DIVIDED, RADEON, PART)
    assert keys(claimed(("all",), "nvidia", found, NONE)) == ["GPU-a", "MIG-1"]
    assert keys(claimed(("all",), "amd", found, NONE)) == [RADEON.key]
    assert keys(claimed(("all",), "vulkan", host(A, DIVIDED, PART, IRIS), NONE)) == ["GPU-a", IRIS.key]


def test_an_instance_is_claimed_by_its_own_number() -> None:
    assert keys(claimed(("2",), "nvidia", host(DIVIDED, PART, A), NONE)) == ["MIG-1"]


@pytest.mark.parametrize(
    ("claim", "kind", "found", "held", "message"),
    [
        (("2",), "nvidia", host(A, B), NONE, "GPU 2 is not there: this host has 0, 1"),
        (("0",), "nvidia", host(), NONE, "GPU 0 is not there: this host has none"),
        (("0",), "nvidia", host(reason="nvidia: a reboot is due"), NONE, "has none (nvidia: a reboot is due)"),
        (("all",), "nvidia", host(RADEON), NONE, "claims all GPUs, and this host has none for a build of kind nvidia"),
        (("0",), "nvidia", host(A), {"GPU-a": "chat of fleet x"}, "GPU 0 (GPU-a) is held by chat of fleet x"),
        (("all",), "nvidia", host(A, B), {"GPU-b": "chat"}, "GPU 1 (GPU-b) is held by chat"),
        (("1",), "nvidia", host(A, RADEON), NONE, "GPU 1 is one of amd, and its build needs one of nvidia"),
        (("0",), "nvidia", host(DIVIDED, PART), NONE, "GPU 0 is divided (MIG): claim its instances, 1"),
        (("1",), "vulkan", host(DIVIDED, PART), NONE, "GPU 1 cannot be used: it is a part of another one"),
        (("0",), "nvidia", host(LOST), NONE, "GPU 0 cannot be used: the GPU is lost"),
        (("0",), "", host(A), NONE, "claims GPU 0, but its build uses none"),
        (("0",), "nvidia", Found(None, "a GPU driver hangs"), NONE, "its GPUs cannot be found out: a GPU driver hangs"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(
    claim: tuple[str, ...], kind: str, found: Found, held: t.Mapping[str, str], message: str
) -> None:
    with pytest.raises(PlaceError) as refused:
        claimed(claim, kind, found, held)
    assert message in str(refused.value)


def test_without_a_claim_one_has_what_is_left() -> None:
    assert keys(unclaimed("nvidia", host(A, B), {"GPU-a": "chat"})) == ["GPU-b"]
    with pytest.raises(PlaceError, match="no GPU left for it: all are held by chat, draw; leave it one"):
        unclaimed("nvidia", host(A, B), {"GPU-a": "chat", "GPU-b": "draw"})
    with pytest.raises(PlaceError, match="this host has none of kind nvidia"):
        unclaimed("nvidia", host(RADEON), NONE)


@pytest.mark.parametrize(
    ("kind", "chosen", "found", "variables"),
    [
        ("nvidia", (B, A), host(A, B), {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}),
        ("nvidia", (PART,), host(DIVIDED, PART), {"CUDA_VISIBLE_DEVICES": "MIG-1"}),
        ("amd", (RADEON,), host(A, RADEON), {"ROCR_VISIBLE_DEVICES": "GPU-00000000000000ff"}),
        ("amd", (RADEON, APU), host(A, RADEON, APU), {"ROCR_VISIBLE_DEVICES": "GPU-00000000000000ff,1"}),
        ("intel", (ARC,), host(A, IRIS, ARC), {"ZE_AFFINITY_MASK": "1", "ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1"}),
        ("vulkan", (RADEON,), host(RADEON, A, IRIS), {"GGML_VK_VISIBLE_DEVICES": "1"}),
        ("vulkan", (IRIS,), host(RADEON, A, IRIS), {"GGML_VK_VISIBLE_DEVICES": "2"}),
        ("vulkan", (RADEON,), host(RADEON), {}),
    ],
    ids=str,
)
def test_a_program_is_shown_its_devices_only(
    kind: str, chosen: tuple[Device, ...], found: Found, variables: dict[str, str]
) -> None:
    numbered = [next(device for device in found.devices or () if device.key == one.key) for one in chosen]
    assert environment(kind, numbered, found) == variables


@pytest.mark.parametrize(
    ("said", "address"),
    [("00000000:3B:00.0", "0000:3b:00.0"), ("0001:00:1E.0", "0001:00:1e.0"), ("00010000:01:00.0", "00010000:01:00.0")],
)
def test_addresses_are_written_as_in_sysfs(said: str, address: str) -> None:
    assert pci_address(said) == address
