# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the GPUs of a host. Pure.

A field that cannot be read is None, and ``reasons`` says why, by the field's name; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import typing as t

DEDICATED, UNIFIED = "dedicated", "unified"


@dataclasses.dataclass(frozen=True)
class Process:
    """A process that uses a GPU. memory_bytes: on that GPU. component: of ours, empty when it is of none."""

    pid: int
    memory_bytes: t.Optional[int] = None
    component: str = ""


@dataclasses.dataclass(frozen=True)
class Device:
    """One GPU, or one instance of a divided one.

    index: its number on this host. vendor: ``nvidia``, ``amd`` or ``intel``. uuid: as the vendor's runtime takes it.
    pci: address such as ``0000:3b:00.0``. parent: uuid of the GPU that an instance (MIG) is a part of.
    divided: whether it is split into instances, and then not usable as a whole. architecture: ``sm_90``, ``gfx1100``.
    memory_kind: ``dedicated``, or ``unified`` when it shares the host's memory, whose figures the two others then are.
    processes: empty when there are none and when they cannot be read; ``reasons`` tells.
    """

    vendor: str
    index: int = -1
    name: t.Optional[str] = None
    uuid: t.Optional[str] = None
    pci: t.Optional[str] = None
    parent: t.Optional[str] = None
    divided: bool = False
    architecture: t.Optional[str] = None
    driver: t.Optional[str] = None
    memory_kind: t.Optional[str] = None
    memory_total_bytes: t.Optional[int] = None
    memory_used_bytes: t.Optional[int] = None
    utilization_percent: t.Optional[int] = None
    temperature_celsius: t.Optional[int] = None
    power_watts: t.Optional[float] = None
    processes: tuple[Process, ...] = ()
    reasons: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it apart from every other GPU of the host, also after a reboot."""
        return self.uuid or self.pci or f"{self.vendor}-{self.index}"


@dataclasses.dataclass(frozen=True)
class Found:
    """What a look at the GPUs found.

    devices: None when they are not known. reason: what could not be found out, and why.
    """

    devices: t.Optional[tuple[Device, ...]] = ()
    reason: str = ""


# The fields that are read of a device, and may be None
READ = ("name", "uuid", "pci", "architecture", "memory_total_bytes", "memory_used_bytes", "utilization_percent",
        "temperature_celsius", "power_watts", "processes")  # fmt: skip
MEMORY = ("memory_total_bytes", "memory_used_bytes")


def unreadable(reason: str, fields: t.Iterable[str] = READ) -> dict[str, str]:
    """The reasons of a device of which these fields cannot be read."""
    return dict.fromkeys(fields, reason)


def merged(parts: t.Iterable[Found]) -> Found:
    """All vendors' devices, numbered. Whole GPUs come first, so that no division into instances renumbers another."""
    found = list(parts)
    devices = [device for part in found for device in part.devices or ()]
    devices.sort(key=lambda device: device.parent is not None)  # a stable sort
    numbered = tuple(dataclasses.replace(device, index=index) for index, device in enumerate(devices))
    return Found(numbered, "; ".join(part.reason for part in found if part.reason))


def shared_memory(device: Device, total: t.Optional[int], available: t.Optional[int]) -> Device:
    """A device that has no memory of its own, with the host's figures in bytes."""
    reasons = {key: reason for key, reason in device.reasons.items() if not key.startswith("memory_")}
    used = total - available if total is not None and available is not None else None
    if used is None:
        reasons.update(unreadable("/proc/meminfo cannot be read", MEMORY))
    return dataclasses.replace(
        device, memory_kind=UNIFIED, memory_total_bytes=total, memory_used_bytes=used, reasons=reasons
    )


def with_owners(found: Found, owner: t.Callable[[int], str]) -> Found:
    """owner: the component that a process belongs to, or an empty string."""
    devices = tuple(
        dataclasses.replace(
            device,
            processes=tuple(dataclasses.replace(process, component=owner(process.pid)) for process in device.processes),
        )
        for device in found.devices or ()
    )
    return dataclasses.replace(found, devices=devices) if found.devices is not None else found


def to_json(found: Found) -> dict[str, t.Any]:
    """The form in which everything of ours shows it."""
    devices = None if found.devices is None else [dataclasses.asdict(device) for device in found.devices]
    for device in devices or ():
        device["processes"] = list(device["processes"])
    return {"devices": devices, "devices_reason": found.reason}


def from_json(data: t.Mapping[str, t.Any]) -> Found:
    """The inverse of to_json()."""
    if data["devices"] is None:
        return Found(None, data["devices_reason"])
    devices = (
        Device(**{**device, "processes": tuple(Process(**process) for process in device["processes"])})
        for device in data["devices"]
    )
    return Found(tuple(devices), data["devices_reason"])


def pci_address(text: str) -> str:
    """An address as sysfs writes it: ``00000000:3B:00.0`` becomes ``0000:3b:00.0``."""
    domain, _colon, rest = text.strip().lower().partition(":")
    return f"{domain[-4:]}:{rest}" if domain[:-4].strip("0") == "" else f"{domain}:{rest}"
