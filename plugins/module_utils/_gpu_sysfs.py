# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of AMD and Intel as sysfs shows them.

Formats: the kernel's Documentation/gpu/amdgpu (driver-misc, thermal), Documentation/ABI/testing/sysfs-driver-intel-*,
sysfs-class-hwmon; kfd's topology, where a node of a GPU has a ``gpu_id`` that is not 0.
root: folder that stands for ``/``.
"""

from __future__ import annotations

import glob
import os
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._gpu import (
    DEDICATED,
    MEMORY,
    UNIFIED,
    Device,
    Found,
    Process,
    unreadable,
)
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_kinds import AMD, INTEL, VENDORS, first_line

_KFD = "sys/class/kfd/kfd"
# A GPU that is a part of the processor is given a small piece of memory of its own, and reaches all the rest.
_APU_VRAM = 4 * 1024**3
_APU_RATIO = 2
_INTEGRATED_INTEL = "0000:00:02.0"  # where every integrated GPU of Intel is

_UNKNOWN = "the driver does not tell"


def amd(root: str = "/") -> Found:
    """AMD's GPUs in the order of kfd's nodes, which is that of ROCm; those that kfd does not have come last."""
    cards = _cards(root, AMD)
    nodes = _nodes(root)
    by_minor = {os.path.basename(path): path for path in cards}
    joined = [(by_minor.pop(f"renderD{node['drm_render_minor']}", ""), node) for node in nodes]
    joined += [(path, {}) for path in by_minor.values()]
    return Found(tuple(_amd_device(root, path, node) for path, node in joined if path))


def intel(root: str = "/") -> Found:
    """Intel's GPUs in the order of their PCI addresses."""
    return Found(tuple(_intel_device(path) for path in _cards(root, INTEL)))


def memory(root: str = "/") -> tuple[t.Optional[int], t.Optional[int]]:
    """The host's memory and what of it is available, in bytes."""
    found = {}
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii", errors="replace") as stream:
            for line in stream:
                name, _colon, value = line.partition(":")
                if name in ("MemTotal", "MemAvailable"):
                    found[name] = int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return found.get("MemTotal"), found.get("MemAvailable")


def _cards(root: str, vendor: str) -> list[str]:
    """The render nodes of a vendor, by PCI address."""
    paths = glob.glob(os.path.join(root, "sys/class/drm/renderD*"))
    ours = [path for path in paths if VENDORS.get(first_line(os.path.join(path, "device/vendor"))) == vendor]
    return sorted(ours, key=lambda path: (_pci(path) or "", path))


def _nodes(root: str) -> list[dict[str, str]]:
    """kfd's nodes that are GPUs, each with its properties and ``gpu_id``."""
    found = []
    folders = glob.glob(os.path.join(root, _KFD, "topology/nodes/*"))
    for folder in sorted(folders, key=lambda path: int(os.path.basename(path))):
        gpu_id = first_line(os.path.join(folder, "gpu_id"))
        if gpu_id in ("", "0"):
            continue
        node = {"gpu_id": gpu_id, "drm_render_minor": ""}
        try:
            with open(os.path.join(folder, "properties"), encoding="ascii", errors="replace") as stream:
                pairs = (line.partition(" ") for line in stream.read().splitlines())
                node.update((name, value.strip()) for name, _space, value in pairs)
        except OSError:  # a container that was not given this GPU
            continue
        found.append(node)
    return found


def _amd_device(root: str, path: str, node: t.Mapping[str, str]) -> Device:
    device = os.path.join(path, "device")
    reasons: dict[str, str] = {}

    def read(field: str, value: t.Optional[t.Any]) -> t.Any:
        if value is None:
            reasons[field] = _UNKNOWN
        return value

    total, used = (_number(os.path.join(device, f"mem_info_vram_{what}")) for what in ("total", "used"))
    shared = _number(os.path.join(device, "mem_info_gtt_total"))
    unified = total is not None and shared is not None and total <= _APU_VRAM and shared > _APU_RATIO * total
    architecture = read("architecture", _gfx(node.get("gfx_target_version", "")))
    unique = first_line(os.path.join(device, "unique_id")) or f"{int(node.get('unique_id') or 0):016x}"
    power = _sensor(device, "power1_average") or _sensor(device, "power1_input")
    celsius = _sensor(device, "temp1_input")
    return Device(
        AMD,
        name=first_line(os.path.join(device, "product_name")) or _described("AMD", device, architecture),
        uuid=read("uuid", f"GPU-{int(unique, 16):016x}" if unique.strip("0") else None),
        pci=read("pci", _pci(path)),
        architecture=architecture,
        driver=_driver(root, device),
        memory_kind=UNIFIED if unified else DEDICATED,
        memory_total_bytes=None if unified else read("memory_total_bytes", total),
        memory_used_bytes=None if unified else read("memory_used_bytes", used),
        utilization_percent=read("utilization_percent", _number(os.path.join(device, "gpu_busy_percent"))),
        temperature_celsius=read("temperature_celsius", None if celsius is None else celsius // 1000),
        power_watts=read("power_watts", None if power is None else power / 1_000_000),
        processes=_processes(root, node, reasons),
        reasons=reasons,
    )


def _intel_device(path: str) -> Device:
    """Neither i915 nor xe shows memory or use in sysfs."""
    device = os.path.join(path, "device")
    reasons = unreadable(_UNKNOWN, ("uuid", "architecture", *MEMORY, "utilization_percent", "power_watts", "processes"))
    address = _pci(path)
    celsius = _sensor(device, "temp*_input")
    for field, value in (("pci", address), ("temperature_celsius", celsius)):
        if value is None:
            reasons[field] = _UNKNOWN
    return Device(
        INTEL,
        name=_described("Intel", device, None),
        pci=address,
        driver=os.path.basename(os.path.realpath(os.path.join(device, "driver"))),
        memory_kind=UNIFIED if address == _INTEGRATED_INTEL else DEDICATED,
        temperature_celsius=None if celsius is None else celsius // 1000,
        reasons=reasons,
    )


def _processes(root: str, node: t.Mapping[str, str], reasons: dict[str, str]) -> tuple[Process, ...]:
    """The processes that kfd knows, with their VRAM on this GPU: ``proc/<pid>/vram_<gpu_id>``."""
    folder = os.path.join(root, _KFD, "proc")
    if not node or not os.path.isdir(folder):
        reasons["processes"] = _UNKNOWN
        return ()
    found = []
    for name in sorted(filter(str.isdigit, os.listdir(folder)), key=int):
        used = _number(os.path.join(folder, name, f"vram_{node['gpu_id']}"))
        if used:  # every process that opened kfd has a file for every GPU
            found.append(Process(int(name), used))
    return tuple(found)


def _described(vendor: str, device: str, architecture: t.Optional[str]) -> str:
    """A name for a card that tells none: its PCI ids."""
    ids = ":".join(first_line(os.path.join(device, name)).replace("0x", "") for name in ("vendor", "device"))
    return f"{vendor} GPU {ids}" + (f" ({architecture})" if architecture else "")


def _gfx(version: str) -> t.Optional[str]:
    """110000 is gfx1100, 90010 is gfx90a: two digits each for minor and stepping, the stepping in hexadecimal."""
    if not version.strip().isdigit() or int(version) == 0:
        return None
    number = int(version)
    return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}"


def _driver(root: str, device: str) -> str:
    name = os.path.basename(os.path.realpath(os.path.join(device, "driver")))
    return f"{name} {first_line(os.path.join(root, 'sys/module', name, 'version'))}".strip()


def _pci(path: str) -> t.Optional[str]:
    name = os.path.basename(os.path.realpath(os.path.join(path, "device")))
    return name if re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", name) else None


def _sensor(device: str, name: str) -> t.Optional[int]:
    """The first sensor of this name, in the units of hwmon: millidegrees, microwatts."""
    values = (_number(path) for path in sorted(glob.glob(os.path.join(device, "hwmon/hwmon*", name))))
    return next((value for value in values if value is not None), None)


def _number(path: str) -> t.Optional[int]:
    text = first_line(path)
    return int(text) if text.isdigit() else None
