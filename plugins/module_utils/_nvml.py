# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's GPUs through NVML, by ctypes. Any call may hang in a sick driver: call this in a process of its own.

Functions, structures and return codes: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import ctypes
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._gpu import (
    DEDICATED,
    MEMORY,
    UNIFIED,
    Device,
    Found,
    Process,
    pci_address,
    unreadable,
)
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_kinds import NVIDIA

LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")

# nvmlReturn_t
_OK, _NOT_SUPPORTED, _NO_PERMISSION, _NOT_FOUND, _TOO_SMALL, _FUNCTION_NOT_FOUND = 0, 3, 4, 6, 7, 13
_TEXTS = {
    _NOT_SUPPORTED: "not supported by this device",
    _NO_PERMISSION: "no permission",
    _NOT_FOUND: "not found",
    9: "the driver is not loaded: load it with modprobe nvidia, or install it",
    10: "the driver did not answer in time",
    12: "libnvidia-ml.so.1 is missing a library that it needs: install the driver again",
    _FUNCTION_NOT_FOUND: "not known to this driver",
    15: "the GPU is lost: it does not answer on its bus any more; reboot",
    16: "the GPU needs a reset; reboot",
    17: "the driver is blocked by the operating system: do other programs see the GPU?",
    18: "a reboot is due: the driver was updated, and the one that is loaded is older than its library",
    20: "out of memory",
    21: "there is no data",
}
_NOT_AVAILABLE = 2**64 - 1  # NVML_VALUE_NOT_AVAILABLE
_TEXT_SIZE = 96  # of names, versions and UUIDs, all of them at most this long
_PROCESSES = 1024  # more than these are not asked for


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _Memory2(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint),
        ("total", ctypes.c_ulonglong),
        ("reserved", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Pci(ctypes.Structure):
    _fields_ = [
        ("legacy", ctypes.c_char * 16),
        ("numbers", ctypes.c_uint * 5),  # domain, bus, device, device id, subsystem id
        ("address", ctypes.c_char * 32),
    ]


class _Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class _Refused(Exception):
    """A call that did not succeed; the message is what people read."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def look(expected: bool) -> Found:
    """The GPUs in the order of their PCI addresses, the instances of a divided one after it.

    expected: whether there is a sign of the driver, so that a library which is missing has to be told.
    """
    for path in LIBRARIES:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        return _Nvml(library).look()
    return Found((), "nvidia: libnvidia-ml.so.1 is not on this host, though the driver is" if expected else "")


class _Nvml:
    """NVML's functions as far as they are needed."""

    def __init__(self, library: ctypes.CDLL):
        self._library = library
        self._driver: t.Optional[str] = None

    def look(self) -> Found:
        try:
            self._call("nvmlInit_v2")
        except _Refused as error:
            return Found((), f"nvidia: {error}")
        try:
            self._driver = self._text("nvmlSystemGetDriverVersion")
            count = self._number("nvmlDeviceGetCount_v2")
            cards = [self._card(index) for index in range(count)]
        except _Refused as error:
            return Found((), f"nvidia: {error}")
        finally:
            self._library.nvmlShutdown()
        # NVML promises no order that outlives a reboot. A lost card has no address, and keeps the place it has.
        if all(card[0].pci for card in cards):
            cards.sort(key=lambda card: card[0].pci or "")
        return Found(tuple(device for card in cards for device in card))

    def _card(self, index: int) -> list[Device]:
        """A GPU and its instances."""
        handle = ctypes.c_void_p()
        try:
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        except _Refused as error:
            return [Device(NVIDIA, driver=self._driver, reasons=unreadable(str(error)))]
        device = self._device(handle)
        if not device.divided:
            return [device]
        return [device, *(self._device(instance, device) for instance in self._instances(handle))]

    def _instances(self, card: ctypes.c_void_p) -> t.Iterator[ctypes.c_void_p]:
        for slot in range(self._number("nvmlDeviceGetMaxMigDeviceCount", card)):
            handle = ctypes.c_void_p()
            try:
                self._call("nvmlDeviceGetMigDeviceHandleByIndex", card, ctypes.c_uint(slot), ctypes.byref(handle))
            except _Refused as error:
                if error.code != _NOT_FOUND:  # most slots are empty
                    raise
                continue
            yield handle

    def _device(self, handle: ctypes.c_void_p, parent: t.Optional[Device] = None) -> Device:
        reasons: dict[str, str] = {}

        def read(field: str, ask: t.Callable[[], t.Any]) -> t.Any:
            try:
                return ask()
            except _Refused as error:
                reasons[field] = str(error)
            return None

        memory = self._memory(handle, reasons, parent is None)
        return Device(
            NVIDIA,
            name=read("name", lambda: self._text("nvmlDeviceGetName", handle)),
            uuid=read("uuid", lambda: self._text("nvmlDeviceGetUUID", handle)),
            pci=parent.pci if parent else read("pci", lambda: self._pci(handle)),
            parent=parent.uuid if parent else None,
            divided=parent is None and self._divided(handle),
            architecture=parent.architecture if parent else read("architecture", lambda: self._architecture(handle)),
            driver=self._driver,
            memory_kind=memory[0],
            memory_total_bytes=memory[1],
            memory_used_bytes=memory[2],
            utilization_percent=read("utilization_percent", lambda: self._utilization(handle)),
            temperature_celsius=read("temperature_celsius", lambda: self._temperature(handle)),
            power_watts=read("power_watts", lambda: self._number("nvmlDeviceGetPowerUsage", handle) / 1000),
            processes=tuple(read("processes", lambda: self._processes(handle)) or ()),
            reasons=reasons,
        )

    def _memory(
        self, handle: ctypes.c_void_p, reasons: dict[str, str], whole: bool
    ) -> tuple[str, t.Optional[int], t.Optional[int]]:
        """Kind, total and used bytes. A whole GPU that has no memory to ask about uses that of the host."""
        try:
            try:
                second = _Memory2(version=ctypes.sizeof(_Memory2) | 2 << 24)
                self._call("nvmlDeviceGetMemoryInfo_v2", handle, ctypes.byref(second))
                return DEDICATED, second.total, second.used
            except _Refused as error:
                if error.code != _FUNCTION_NOT_FOUND:
                    raise
            first = _Memory()  # its "used" counts what the driver keeps for itself, too
            self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(first))
            return DEDICATED, first.total, first.used
        except _Refused as error:
            if error.code == _NOT_SUPPORTED and whole and not self._divided(handle):
                return UNIFIED, None, None
            reasons.update(unreadable(str(error), MEMORY))
            return DEDICATED, None, None

    def _divided(self, handle: ctypes.c_void_p) -> bool:
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        try:
            self._call("nvmlDeviceGetMigMode", handle, ctypes.byref(current), ctypes.byref(pending))
        except _Refused:
            return False  # it cannot be divided at all
        return bool(current.value)

    def _pci(self, handle: ctypes.c_void_p) -> str:
        found = _Pci()
        self._call("nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(found))
        return pci_address(found.address.decode("ascii", "replace"))

    def _architecture(self, handle: ctypes.c_void_p) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvmlDeviceGetCudaComputeCapability", handle, ctypes.byref(major), ctypes.byref(minor))
        return f"sm_{major.value}{minor.value}"

    def _utilization(self, handle: ctypes.c_void_p) -> int:
        found = _Utilization()
        self._call("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(found))
        return int(found.gpu)

    def _temperature(self, handle: ctypes.c_void_p) -> int:
        found = ctypes.c_uint()
        self._call("nvmlDeviceGetTemperature", handle, ctypes.c_uint(0), ctypes.byref(found))
        return found.value

    def _processes(self, handle: ctypes.c_void_p) -> list[Process]:
        count = ctypes.c_uint(64)
        while True:
            room = count.value
            found = (_Process * room)()
            try:
                self._call("nvmlDeviceGetComputeRunningProcesses_v3", handle, ctypes.byref(count), found)
            except _Refused as error:
                if error.code != _TOO_SMALL or room >= _PROCESSES:
                    raise
                count.value = min(_PROCESSES, max(2 * room, count.value))  # some may start meanwhile
                continue
            return [
                Process(item.pid, None if item.memory == _NOT_AVAILABLE else item.memory)
                for item in found[: count.value]
            ]

    def _text(self, function: str, *handle: ctypes.c_void_p) -> str:
        buffer = ctypes.create_string_buffer(_TEXT_SIZE)
        self._call(function, *handle, buffer, ctypes.c_uint(_TEXT_SIZE))
        return buffer.value.decode("utf-8", "replace")

    def _number(self, function: str, *handle: ctypes.c_void_p) -> int:
        found = ctypes.c_uint()
        self._call(function, *handle, ctypes.byref(found))
        return found.value

    def _call(self, function: str, *arguments: t.Any) -> None:
        """Raises _Refused."""
        try:
            code = getattr(self._library, function)(*arguments)
        except AttributeError:
            code = _FUNCTION_NOT_FOUND
        if code != _OK:
            raise _Refused(code, _TEXTS.get(code) or f"NVML error {code} of {function}")
