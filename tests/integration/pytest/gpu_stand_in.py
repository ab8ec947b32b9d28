# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs that are not there: NVIDIA's by a compiled stand-in of NVML, AMD's and Intel's as folders like sysfs's."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _nvml

SOURCE = pathlib.Path(__file__).with_name("nvml_stand_in.c")

LIBRARY = "library driver=580.65.06\n"
H100 = "gpu name=NVIDIA_H100 uuid=GPU-{0} pci=00000000:{0}:00.0 total=81920 used=1024 reserved=512 use=37 celsius=41 "
H100 += "milliwatts=71250 cc=90 mig=0\n"
TWO = LIBRARY + H100.format("3B") + H100.format("5E")

_NUMBERS = itertools.count()


def compiled(folder: pathlib.Path, *flags: str) -> pathlib.Path:
    """The stand-in as a library."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, *flags, SOURCE], check=True)
    return library


def use(monkeypatch: pytest.MonkeyPatch, library: pathlib.Path, description: str) -> None:
    """Make NVML answer what the description says."""
    file = library.with_name(f"description-{next(_NUMBERS)}")  # for who still reads an earlier one
    file.write_text(description)
    monkeypatch.setattr(_nvml, "LIBRARIES", (str(library),))
    monkeypatch.setenv("NVML_STAND_IN", str(file))


class Sysfs:
    """A folder that stands for ``/``."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self._minor = 128

    def write(self, path: str, content: t.Any) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def card(self, pci: str, vendor: str, device: str, driver: str, **files: t.Any) -> int:
        """A PCI device with a render node. files: content by path, '__' for '/'. Returns the node's minor."""
        minor, place = self._minor, f"sys/devices/pci0000:00/{pci}"
        self._minor += 1
        for name, content in {"vendor": vendor, "device": device, "class": "0x030000", **files}.items():
            self.write(f"{place}/{name.replace('__', '/')}", content)
        node = self.root / f"sys/class/drm/renderD{minor}"
        node.mkdir(parents=True)
        (self.root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(self.root / "sys/bus/pci/drivers" / driver, self.root / place / "driver")
        os.symlink(self.root / place, node / "device")
        self.write(f"sys/bus/pci/devices/{pci}/class", "0x030000")
        return minor

    def kfd(self, number: int, minor: int, gpu_id: int, gfx: int = 110000, unique: int = 0) -> None:
        """A node of kfd's topology; a gpu_id of 0 is a processor."""
        node = f"sys/class/kfd/kfd/topology/nodes/{number}"
        self.write(f"{node}/gpu_id", gpu_id)
        self.write(
            f"{node}/properties",
            f"cpu_cores_count {0 if gpu_id else 16}\nsimd_count {192 if gpu_id else 0}\n"
            f"drm_render_minor {minor}\ngfx_target_version {gfx}\nunique_id {unique}",
        )

    def amd(self, pci: str, node: int, unique: int = 0, **files: t.Any) -> int:
        """A Radeon with 24 GiB. Returns its minor."""
        known = {
            "mem_info_vram_total": 24 * 1024**3,
            "mem_info_vram_used": 2 * 1024**3,
            "mem_info_gtt_total": 16 * 1024**3,
            "gpu_busy_percent": 12,
            "hwmon__hwmon3__temp1_input": 47000,
            "hwmon__hwmon3__power1_average": 18500000,
            **files,
        }
        if unique:
            known["unique_id"] = f"{unique:016x}"
        minor = self.card(pci, "0x1002", "0x744c", "amdgpu", **known)
        self.kfd(node, minor, 1000 + node, unique=unique)
        return minor
