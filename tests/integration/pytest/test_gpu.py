# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: what NVML and sysfs say, what they do not say, and drivers that are sick."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds, _gpu_owners, _gpu_probe, _processes
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Device, Found, to_json
from ansible_collections.rbee.fleet.tests.integration.pytest.gpu_stand_in import (
    H100,
    LIBRARY,
    TWO,
    Sysfs,
    compiled,
    use,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import TREE, wait_until

MIB, GIB = 1024**2, 1024**3

Probe = t.Callable[..., Found]


@pytest.fixture
def sysfs(tmp_path: pathlib.Path) -> Sysfs:
    found = Sysfs(tmp_path)
    found.write("proc/meminfo", "MemTotal:       131072 kB\nMemFree:   1 kB\nMemAvailable:    32768 kB")
    return found


@pytest.fixture
def nvidia(nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sysfs: Sysfs) -> Probe:
    """Probes a host with the GPUs of a description."""

    def probe(description: str, timeout: float = 60) -> Found:
        use(monkeypatch, nvml_stand_in, description)
        return _gpu_probe.probe(timeout, str(sysfs.root))

    return probe


def one(found: Found) -> Device:
    assert found.devices is not None
    (device,) = found.devices
    return device


def unknown(device: Device) -> set[str]:
    """The fields that are None; every one of them has to have its reason."""
    fields = {"memory_total_bytes", "memory_used_bytes", "utilization_percent", "temperature_celsius", "power_watts"}
    none = {field for field in fields | {"name", "uuid", "pci", "architecture"} if getattr(device, field) is None}
    assert none <= device.reasons.keys()
    assert device.reasons.keys() - none <= {"processes"}
    return none


# NVIDIA


def test_a_gpu_is_told_with_everything(nvidia: Probe) -> None:
    found = nvidia(LIBRARY + H100.format("3B") + "process pid=4711 memory=512\nprocess pid=4712\n")
    assert found.reason == ""
    assert to_json(found)["devices"] == [
        {
            "index": 0, "vendor": "nvidia", "name": "NVIDIA H100", "uuid": "GPU-3B", "pci": "0000:3b:00.0",
            "parent": None, "divided": False, "architecture": "sm_90", "driver": "580.65.06",
            "memory_kind": "dedicated", "memory_total_bytes": 80 * GIB, "memory_used_bytes": GIB,
            "utilization_percent": 37, "temperature_celsius": 41, "power_watts": 71.25,
            "processes": [
                {"pid": 4711, "memory_bytes": 512 * MIB, "component": ""},
                {"pid": 4712, "memory_bytes": None, "component": ""},
            ],
            "reasons": {},
        }
    ]  # fmt: skip


def test_gpus_are_numbered_by_their_place_on_the_bus(nvidia: Probe) -> None:
    devices = nvidia(LIBRARY + H100.format("5E") + H100.format("3B")).devices or ()
    assert [(device.index, device.uuid) for device in devices] == [(0, "GPU-3B"), (1, "GPU-5E")]


def test_more_processes_than_there_is_room_for_are_asked_for_again(nvidia: Probe) -> None:
    lines = "".join(f"process pid={pid} memory=1\n" for pid in range(1, 51))
    device = one(nvidia(LIBRARY + H100.format("3B") + lines))
    assert [process.pid for process in device.processes] == list(range(1, 51))


def test_what_a_gpu_does_not_support_is_none_with_a_reason(nvidia: Probe) -> None:
    device = one(nvidia(LIBRARY + "gpu name=GT_710 uuid=GPU-1 pci=00000000:01:00.0 total=2048 used=0\n"))
    assert unknown(device) == {"utilization_percent", "temperature_celsius", "power_watts", "architecture"}
    assert device.reasons["power_watts"] == "not supported by this device"
    assert (device.memory_used_bytes, device.processes) == (0, ())


def test_a_driver_that_knows_memory_of_the_first_version_only_is_asked_for_that(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, sysfs: Sysfs
) -> None:
    use(monkeypatch, compiled(tmp_path_factory.mktemp("old"), "-DOLD"), LIBRARY + H100.format("3B"))
    device = one(_gpu_probe.probe(60, str(sysfs.root)))
    assert (device.memory_total_bytes, device.memory_used_bytes) == (80 * GIB, (1024 + 512) * MIB)


def test_the_instances_of_a_divided_gpu_come_after_all_whole_ones(nvidia: Probe) -> None:
    divided = H100.format("3B").replace("mig=0", "mig=1 memory=4")
    instances = "instance name=H100_MIG_1g.10gb uuid=MIG-{0} total=10240 used=512\n"
    found = nvidia(LIBRARY + divided + instances.format("a") + instances.format("b") + H100.format("5E"))
    parent, whole, first, second = found.devices or ()
    assert (parent.divided, parent.memory_total_bytes, parent.reasons["memory_used_bytes"]) == (
        True, None, "no permission",
    )  # fmt: skip
    assert (whole.index, whole.uuid) == (1, "GPU-5E")
    assert [(first.index, first.uuid, first.parent), (second.index, second.uuid, second.parent)] == [
        (2, "MIG-a", "GPU-3B"), (3, "MIG-b", "GPU-3B"),
    ]  # fmt: skip
    assert (first.memory_kind, first.memory_total_bytes, first.memory_used_bytes) == ("dedicated", 10 * GIB, 512 * MIB)
    assert "utilization_percent" in first.reasons


def test_a_gpu_without_memory_of_its_own_shares_that_of_the_host(nvidia: Probe) -> None:
    device = one(nvidia(LIBRARY + H100.format("01").replace("cc=90", "memory=3 cc=121")))
    assert (device.memory_kind, device.memory_total_bytes, device.memory_used_bytes) == (
        "unified", 128 * MIB, 96 * MIB,
    )  # fmt: skip
    assert unknown(device) == set()


def test_memory_that_may_not_be_read_is_not_called_unified(nvidia: Probe) -> None:
    device = one(nvidia(LIBRARY + H100.format("01").replace("cc=90", "memory=4")))
    assert (device.memory_kind, device.memory_total_bytes) == ("dedicated", None)
    assert device.reasons["memory_total_bytes"] == "no permission"


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "not loaded"), (18, "a reboot is due"), (4, "no permission"), (999, "NVML error 999 of nvmlInit_v2")],
)
def test_a_driver_that_cannot_be_asked_says_why(nvidia: Probe, code: int, words: str) -> None:
    found = nvidia(f"library init={code}\n")
    assert found.devices == ()
    assert found.reason.startswith("nvidia: ")
    assert words in found.reason


def test_a_lost_gpu_keeps_its_place_and_hides_no_other(nvidia: Probe) -> None:
    devices = nvidia(LIBRARY + H100.format("3B").replace("cc=90", "handle=15") + H100.format("5E")).devices or ()
    assert [(device.index, device.uuid) for device in devices] == [(0, None), (1, "GPU-5E")]
    assert unknown(devices[0]) >= {"name", "uuid", "memory_total_bytes", "utilization_percent"}
    assert "lost" in devices[0].reasons["uuid"]


def test_a_driver_whose_library_is_gone_is_told(
    sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(_gpu_probe._nvml, "LIBRARIES", (str(tmp_path / "none.so"),))
    assert _gpu_probe.probe(60, str(sysfs.root)) == Found((), "")
    sysfs.write("proc/driver/nvidia/version", "NVRM version: 580.65.06")
    assert "libnvidia-ml.so.1 is not on this host" in _gpu_probe.probe(60, str(sysfs.root)).reason


# A driver that hangs


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetName"])
def test_a_driver_that_hangs_is_given_up_and_its_process_ended(
    nvidia: Probe, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[int] = []
    fork = os.fork

    def watched() -> int:
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", watched)
    found = nvidia(f"library driver=1 hang={function}\n{H100.format('3B')}", timeout=0.2)
    assert found == Found(None, "a GPU driver hangs: it gave no answer in 0.2 s")
    assert not _processes.exists(children[0])
    assert not _gpu_probe._left


def test_a_child_that_cannot_be_ended_is_left_behind_and_no_second_one_made(
    nvidia: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    monkeypatch.setattr(_gpu_probe, "_REAP", 0.0)
    hanging = f"library driver=1 hang=nvmlInit\n{H100.format('3B')}"
    assert nvidia(hanging, timeout=0.1).devices is None
    (stuck,) = _gpu_probe._left
    try:
        found = nvidia(TWO)
        assert found.devices is None
        assert f"process {stuck}" in found.reason
        # It holds on to nothing of ours: no lock, no pipe, no terminal.
        wait_until(lambda: len(os.listdir(f"/proc/{stuck}/fd")) == 4)
        held = {os.readlink(f"/proc/{stuck}/fd/{name}") for name in os.listdir(f"/proc/{stuck}/fd")}
        assert {path for path in held if path != os.devnull and not path.startswith("pipe:")} == set()
    finally:
        kill(stuck, signal.SIGKILL)
        os.waitpid(stuck, 0)
    assert len(nvidia(TWO).devices or ()) == 2


def test_a_driver_that_crashes_takes_only_the_child(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gpu_probe, "look", lambda _root: os.kill(os.getpid(), signal.SIGSEGV))
    assert _gpu_probe.probe(60, str(sysfs.root)) == Found(None, "a GPU driver crashed the process that asked it")


def test_a_host_that_has_no_process_left_is_told(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", full)
    assert _gpu_probe.probe(60, str(sysfs.root)) == Found(
        None, "the GPU drivers cannot be asked: Resource temporarily unavailable"
    )
    assert os.listdir("/proc/self/fd") == before


# The agent's watch


def test_a_look_serves_until_it_is_old() -> None:
    looks: list[int] = []
    watch = _gpu_probe.Watch(lambda: looks.append(1) or Found(), fresh=60, patience=60)
    assert watch.get() == watch.get() == Found()
    assert len(looks) == 1


def test_drivers_that_hang_leave_the_last_look_with_a_reason() -> None:
    known, end, asked = Found((Device("nvidia", 0, "one"),)), threading.Event(), threading.Event()

    def hang() -> Found:
        asked.set()
        end.wait(60)
        return known

    watch = _gpu_probe.Watch(lambda: known, fresh=0, patience=60)
    assert watch.get() == known
    watch._ask, watch._patience = hang, 0.01
    found = watch.get()
    assert asked.wait(60)
    assert found.devices == known.devices
    assert "the GPU drivers do not answer" in found.reason
    asked.clear()
    assert watch.get().devices == known.devices
    assert not asked.is_set()  # there is one look at a time
    end.set()


def test_before_the_first_answer_nothing_is_known() -> None:
    end = threading.Event()
    watch = _gpu_probe.Watch(lambda: (end.wait(60), Found())[1], patience=0.01)
    assert watch.get() == Found(None, "the GPUs have not answered yet")
    end.set()


def test_a_probe_that_gives_up_does_not_forget_what_was_known() -> None:
    known = Found((Device("nvidia", 0, "one"),))
    answers = iter([known, Found(None, "a GPU driver hangs")])
    watch = _gpu_probe.Watch(lambda: next(answers), fresh=0, patience=60)
    watch.get()
    assert watch.get() == Found(known.devices, "a GPU driver hangs")


# AMD and Intel


@pytest.fixture
def none_of_nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gpu_probe._nvml, "LIBRARIES", ())


@pytest.mark.usefixtures("none_of_nvidia")
class TestSysfs:
    def test_a_radeon(self, sysfs: Sysfs) -> None:
        sysfs.kfd(0, 0, 0)
        sysfs.amd("0000:03:00.0", 1, unique=0xA1B2C3D4E5F60718, product_name="Radeon PRO W7900")
        sysfs.write("sys/module/amdgpu/version", "6.10.5")
        sysfs.write("sys/class/kfd/kfd/proc/4711/vram_1001", 3 * GIB)
        sysfs.write("sys/class/kfd/kfd/proc/4712/vram_1001", 0)
        device = one(_gpu_probe.probe(60, str(sysfs.root)))
        assert (device.vendor, device.name, device.uuid, device.pci) == (
            "amd", "Radeon PRO W7900", "GPU-a1b2c3d4e5f60718", "0000:03:00.0",
        )  # fmt: skip
        assert (device.architecture, device.driver) == ("gfx1100", "amdgpu 6.10.5")
        assert (device.memory_kind, device.memory_total_bytes, device.memory_used_bytes) == (
            "dedicated", 24 * GIB, 2 * GIB,
        )  # fmt: skip
        assert (device.utilization_percent, device.temperature_celsius, device.power_watts) == (12, 47, 18.5)
        assert [(process.pid, process.memory_bytes) for process in device.processes] == [(4711, 3 * GIB)]
        assert unknown(device) == set()

    def test_an_apu_shares_the_memory_of_the_host_and_nothing_is_added(self, sysfs: Sysfs) -> None:
        files = {"mem_info_vram_total": 512 * MIB, "mem_info_gtt_total": 62 * GIB}
        sysfs.amd("0000:c5:00.0", 1, **files)
        device = one(_gpu_probe.probe(60, str(sysfs.root)))
        assert (device.memory_kind, device.memory_total_bytes, device.memory_used_bytes) == (
            "unified", 128 * MIB, 96 * MIB,
        )  # fmt: skip
        assert unknown(device) == {"uuid"}
        assert device.name == "AMD GPU 1002:744c (gfx1100)"

    def test_a_small_card_with_much_less_gtt_is_no_apu(self, sysfs: Sysfs) -> None:
        sysfs.amd("0000:03:00.0", 1, mem_info_vram_total=4 * GIB, mem_info_gtt_total=7 * GIB)
        assert one(_gpu_probe.probe(60, str(sysfs.root))).memory_total_bytes == 4 * GIB

    def test_cards_are_in_the_order_of_rocm(self, sysfs: Sysfs) -> None:
        sysfs.amd("0000:03:00.0", 10, unique=3)
        sysfs.amd("0000:83:00.0", 2, unique=8)
        devices = _gpu_probe.probe(60, str(sysfs.root)).devices or ()
        assert [(device.index, device.pci) for device in devices] == [(0, "0000:83:00.0"), (1, "0000:03:00.0")]

    def test_a_card_that_kfd_does_not_have_is_there_too(self, sysfs: Sysfs) -> None:
        sysfs.card("0000:01:00.0", "0x1002", "0x6611", "amdgpu")
        device = one(_gpu_probe.probe(60, str(sysfs.root)))
        assert unknown(device) >= {"uuid", "architecture", "memory_total_bytes", "memory_used_bytes"}
        assert "processes" in device.reasons

    @pytest.mark.parametrize(
        ("driver", "pci", "kind", "total"),
        [("i915", "0000:00:02.0", "unified", 128 * MIB), ("xe", "0000:03:00.0", "dedicated", None)],
    )
    def test_intel_tells_little(self, sysfs: Sysfs, driver: str, pci: str, kind: str, total: int | None) -> None:
        sysfs.card(pci, "0x8086", "0xe20b", driver, hwmon__hwmon1__temp2_input=39000)
        device = one(_gpu_probe.probe(60, str(sysfs.root)))
        assert (device.vendor, device.driver, device.memory_kind, device.memory_total_bytes) == (
            "intel", driver, kind, total,
        )  # fmt: skip
        assert (device.name, device.temperature_celsius) == ("Intel GPU 8086:e20b", 39)
        assert {"uuid", "utilization_percent", "power_watts"} <= unknown(device)
        assert device.key == pci

    def test_a_host_without_any_has_none_and_nothing_to_explain(self, sysfs: Sysfs) -> None:
        assert _gpu_probe.probe(60, str(sysfs.root)) == Found((), "")

    def test_a_card_without_a_driver_is_told(self, sysfs: Sysfs) -> None:
        sysfs.write("sys/bus/pci/devices/0000:3b:00.0/class", "0x030200")
        sysfs.write("sys/bus/pci/devices/0000:3b:00.1/class", "0x040300")
        fields = "\t".join(["0"] * 14)
        sound = f"3b01\t10de22ba\t10\t{fields}\tsnd_hda_intel\n"
        for driver, sleeps in (("", True), ("nouveau", True), ("nvidia", False), ("vfio-pci", False)):
            sysfs.write("proc/bus/pci/devices", f"{sound}3b00\t10de2684\t10\t{fields}\t{driver}")
            assert _gpu_kinds.asleep(str(sysfs.root)) == (frozenset({"nvidia"}) if sleeps else frozenset())
        sysfs.write("proc/bus/pci/devices", f"3b00\t10de2684\t10\t{fields}\t")
        found = _gpu_probe.probe(60, str(sysfs.root))
        assert found == Found((), "nvidia: there is a card, and no driver for it is loaded")


def test_vendors_stand_side_by_side(nvidia: Probe, sysfs: Sysfs) -> None:
    sysfs.card("0000:00:02.0", "0x8086", "0x4680", "i915")
    sysfs.amd("0000:03:00.0", 1)
    assert [device.vendor for device in nvidia(TWO).devices or ()] == ["nvidia", "nvidia", "amd", "intel"]
    found = nvidia("library init=18\n")
    assert [device.vendor for device in found.devices or ()] == ["amd", "intel"]
    assert "a reboot is due" in found.reason


# Whose processes


def test_a_process_belongs_to_the_service_it_descends_from() -> None:
    script = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as engine:
        try:
            wait_until(lambda: _processes.children(engine.pid))
            child = next(iter(_processes.children(engine.pid)))
            services = {engine.pid: "chat"}
            assert _gpu_owners.owner(child, services) == _gpu_owners.owner(engine.pid, services) == "chat"
            assert _gpu_owners.owner(child, {}) == ""
        finally:
            os.killpg(engine.pid, signal.SIGKILL)
    assert _gpu_owners.owner(engine.pid, {}) == ""


# The module


def test_the_module_tells_it_all(
    nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    use(monkeypatch, nvml_stand_in, TWO)
    settings = {
        "LD_LIBRARY_PATH": str(nvml_stand_in.parent),
        "ANSIBLE_COLLECTIONS_PATH": str(TREE),
        "ANSIBLE_CONFIG": str(tmp_path / "none.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_NOCOLOR": "1",
    }
    ansible = pathlib.Path(sys.executable).parent / "ansible"
    done = subprocess.run(
        [ansible, "localhost", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
         "-m", "rbee.fleet.gpu_info"],
        cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout.partition(" => ")[2])
    assert [(device["index"], device["uuid"]) for device in found["devices"]] == [(0, "GPU-3B"), (1, "GPU-5E")]
    assert (found["devices_reason"], found["changed"]) == ("", False)
