# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of GPU of a host, without asking any driver: cheap enough for every run.

root: folder that stands for ``/``.
"""

from __future__ import annotations

import glob
import os
import typing as t

NVIDIA, AMD, INTEL, VULKAN = "nvidia", "amd", "intel", "vulkan"

_NVIDIA_MARKS = ("dev/nvidiactl", "proc/driver/nvidia/version", "usr/lib/wsl/lib/libnvidia-ml.so.1")
VENDORS = {"0x10de": NVIDIA, "0x1002": AMD, "0x8086": INTEL}  # by PCI vendor id
_NEED_A_DRIVER = {"10de": NVIDIA, "1002": AMD}
_IDLE_DRIVERS = ("", "nouveau")  # with these, no engine can compute; one such as vfio-pci has the card for a purpose
_PCI_CLASSES = ("0x03", "0x12")  # display controllers and processing accelerators


def kinds(root: str = "/") -> t.Iterator[str]:
    """The kinds of accelerator whose driver is loaded."""
    if any(os.path.exists(os.path.join(root, mark)) for mark in _NVIDIA_MARKS):
        yield NVIDIA
    if os.path.exists(os.path.join(root, "dev/kfd")):
        yield AMD
    nodes = glob.glob(os.path.join(root, "sys/class/drm/renderD*"))
    if any(VENDORS.get(first_line(os.path.join(node, "device/vendor"))) == INTEL for node in nodes):
        yield INTEL
    if nodes:
        yield VULKAN


def asleep(root: str = "/") -> frozenset[str]:
    """The kinds of card that the host has and whose driver is not loaded.

    From /proc/bus/pci/devices: bus and function, vendor and device id, and as the last field the driver, if any.
    """
    found = set()
    try:
        with open(os.path.join(root, "proc/bus/pci/devices"), encoding="ascii", errors="replace") as stream:
            lines = [line.rstrip("\n").split("\t") for line in stream]
    except OSError:
        return frozenset()
    for fields in lines:
        kind = _NEED_A_DRIVER.get(fields[1][:4]) if len(fields) > 2 else None
        driver = fields[17].strip() if len(fields) > 17 else ""
        if kind and driver in _IDLE_DRIVERS and _computes(root, fields[0]):
            found.add(kind)
    return frozenset(found)


def _computes(root: str, place: str) -> bool:
    """Whether the PCI function computes; a graphics card has one for sound, too. place: bus, device and function."""
    number = int(place, 16)
    name = f"{number >> 8:02x}:{number >> 3 & 31:02x}.{number & 7}"
    paths = glob.glob(os.path.join(root, f"sys/bus/pci/devices/*:{name}/class"))
    return any(first_line(path).startswith(_PCI_CLASSES) for path in paths)


def first_line(path: str) -> str:
    """Empty when the file cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except OSError:
        return ""
