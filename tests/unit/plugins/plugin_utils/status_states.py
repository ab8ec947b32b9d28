# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observed states for the tests of the status, in the shape of rbee.fleet.components_info."""

from __future__ import annotations

import typing as t

FLEET = "demo"
GIB = 1024**3


def component(name: str = "llama-cpp", kind: str = "worker", **options: t.Any) -> dict[str, t.Any]:
    return {
        "name": name, "type": name, "kind": kind, "fleet": FLEET, "version": "1", "variant": "", "address": "10.0.0.1",
        "port": 8080, "model": "", "served_name": "", "state": "running", "reason": "", "healthy": True, "health": "",
        "pid": 7, "since": 1000.0, "restarts": 0, "auto_start": True, "held": False, "problems": [], **options,
    }  # fmt: skip


def agent(**options: t.Any) -> dict[str, t.Any]:
    return component("hive", "hive", **{"port": 8600, **options})


def model(name: str = "model-m", **options: t.Any) -> dict[str, t.Any]:
    nothing = {"address": "", "port": 0, "state": "installed", "healthy": None, "pid": None, "since": None}
    return component(name, "model", **{**nothing, "restarts": None, "auto_start": False, **options})


def state(*components: dict[str, t.Any], **host: t.Any) -> dict[str, t.Any]:
    about = {
        "platform": "linux-x86_64", "python": "3.12.1", "interpreter": "/usr/bin/python3", "prefix": "/opt/rbee",
        "service_manager": "systemd", "device_kinds": [], "busy": False, "holder": None, "reasons": {}, **host,
    }  # fmt: skip
    return {"host": about, "components": list(components)}


def gpu(index: int = 0, **options: t.Any) -> dict[str, t.Any]:
    return {
        "index": index, "vendor": "nvidia", "name": "NVIDIA L4", "uuid": "GPU-1", "memory_kind": "dedicated",
        "memory_total_bytes": 24 * GIB, "memory_used_bytes": 16 * GIB, "utilization_percent": 87,
        "temperature_celsius": 61, "power_watts": 50.0, "driver": "550", "reasons": {}, "processes": [], **options,
    }  # fmt: skip


def spec(name: str = "llama-cpp", kind: str = "worker", **options: t.Any) -> dict[str, t.Any]:
    """What is declared, and what the components above are like."""
    where = {} if kind == "model" else {"address": "10.0.0.1", "port": 8600 if kind == "hive" else 8080}
    return {"name": name, "type": name, "kind": kind, "fleet": FLEET, "version": "1", **where, **options}
