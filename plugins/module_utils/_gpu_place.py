# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a component gets, and the environment that shows it these and no others. Pure.

A number is a GPU's ``index`` on its host. What is written into the environment is a UUID wherever the vendor's runtime
takes one, since the numbers of a runtime depend on its own order.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._gpu import UNIFIED, Device, Found
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_kinds import AMD, INTEL, NVIDIA, VULKAN

ALL = "all"
_VARIABLES = {
    NVIDIA: "CUDA_VISIBLE_DEVICES",
    AMD: "ROCR_VISIBLE_DEVICES",
    INTEL: "ZE_AFFINITY_MASK",
    VULKAN: "GGML_VK_VISIBLE_DEVICES",
}
VISIBLE = frozenset({*_VARIABLES.values(), "HIP_VISIBLE_DEVICES"})


class PlaceError(Exception):
    """A component that cannot have the GPUs that it asks for; the message says why and what to do."""


def claimed(claim: t.Sequence[str], kind: str, found: Found, held: t.Mapping[str, str]) -> tuple[Device, ...]:
    """The devices of a claim, in its order. kind: of the build. held: who has a device, by its key. PlaceError."""
    if not kind:
        raise PlaceError(
            f"claims GPU {_listed(claim)}, but its build uses none; take gpus away, or choose another variant"
        )
    usable = _usable(kind, _known(found))
    if tuple(claim) == (ALL,):
        if not usable:
            raise PlaceError(f"claims all GPUs, and this host has none for a build of kind {kind}{_because(found)}")
        chosen = usable
    else:
        chosen = tuple(_numbered(number, kind, usable, found) for number in claim)
    for device in chosen:
        if device.key in held:
            raise PlaceError(f"GPU {device.index} ({device.key}) is held by {held[device.key]}; claim another one")
    return chosen


def unclaimed(kind: str, found: Found, held: t.Mapping[str, str]) -> tuple[Device, ...]:
    """What is left for a component that claims nothing. PlaceError when that is nothing."""
    usable = _usable(kind, _known(found))
    left = tuple(device for device in usable if device.key not in held)
    if not left:
        holders = ", ".join(sorted({held[device.key] for device in usable}))
        why = f"all are held by {holders}" if usable else f"this host has none of kind {kind}{_because(found)}"
        raise PlaceError(f"there is no GPU left for it: {why}; leave it one, or set variant = 'cpu'")
    return left


def environment(kind: str, chosen: t.Sequence[Device], found: Found) -> dict[str, str]:
    """The variables that show a program these devices only.

    CUDA_VISIBLE_DEVICES: CUDA C++ Programming Guide, environment variables. ROCR_VISIBLE_DEVICES: ROCm, GPU isolation
    techniques. ZE_AFFINITY_MASK, ZE_ENABLE_PCI_ID_DEVICE_ORDER: Level Zero specification, environment variables.
    GGML_VK_VISIBLE_DEVICES: llama.cpp.
    """
    devices = found.devices or ()
    if kind == NVIDIA:
        return {_VARIABLES[kind]: ",".join(device.key for device in chosen)}
    if kind == AMD:
        # An index where a card has no UUID: ROCm counts as kfd does, which is the order of ours.
        order = [device.key for device in devices if device.vendor == AMD]
        return {_VARIABLES[kind]: ",".join(device.uuid or str(order.index(device.key)) for device in chosen)}
    if kind == INTEL:
        # Takes indexes only; in the order of PCI addresses, which is ours, when it is told to.
        order = [device.key for device in devices if device.vendor == INTEL]
        mask = ",".join(str(order.index(device.key)) for device in chosen)
        return {_VARIABLES[kind]: mask, "ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1"}
    # Takes indexes only, in the order of the Vulkan loader: cards before parts of a processor, then by PCI address.
    whole = _usable(VULKAN, devices)
    loader = sorted(whole, key=lambda device: (device.memory_kind == UNIFIED, device.pci or ""))
    order = [device.key for device in loader]
    if len(chosen) == len(order):
        return {}
    return {_VARIABLES[VULKAN]: ",".join(str(order.index(device.key)) for device in chosen)}


def _known(found: Found) -> tuple[Device, ...]:
    if found.devices is None:
        raise PlaceError(f"its GPUs cannot be found out: {found.reason}")
    return found.devices


def _usable(kind: str, devices: t.Sequence[Device]) -> tuple[Device, ...]:
    """What a build of this kind can compute on. CUDA needs a UUID, which a lost card does not have."""
    if kind == VULKAN:
        return tuple(device for device in devices if device.parent is None and not device.divided)
    fitting = (device for device in devices if device.vendor == kind and not device.divided)
    return tuple(device for device in fitting if kind != NVIDIA or device.uuid)


def _numbered(number: str, kind: str, usable: t.Sequence[Device], found: Found) -> Device:
    devices = found.devices or ()
    device = next((device for device in devices if str(device.index) == number), None)
    if device is None:
        there = _listed([str(device.index) for device in devices])
        raise PlaceError(f"GPU {number} is not there: this host has {there}{_because(found)}")
    if device in usable:
        return device
    if device.divided:
        parts = [str(part.index) for part in devices if part.parent == device.uuid]
        raise PlaceError(f"GPU {number} is divided (MIG): claim its instances, {_listed(parts)}")
    if kind not in (device.vendor, VULKAN):
        raise PlaceError(f"GPU {number} is one of {device.vendor}, and its build needs one of {kind}")
    raise PlaceError(f"GPU {number} cannot be used: {device.reasons.get('uuid', 'it is a part of another one')}")


def _listed(numbers: t.Sequence[str]) -> str:
    return ", ".join(numbers) or "none"


def _because(found: Found) -> str:
    return f" ({found.reason})" if found.reason else ""
