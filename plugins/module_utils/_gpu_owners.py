# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose process it is: the component by the control group of its service, or by the service that it descends from."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _processes
from ansible_collections.rbee.fleet.plugins.module_utils._layout import UNIT_PREFIX

_UNIT = re.compile(rf"/{UNIT_PREFIX}([^/]+)\.service(?:/|$)", re.MULTILINE)
_GENERATIONS = 32


def component_of(groups: str) -> str:
    """The component that the control groups of a process name, cgroups(7); empty for none of ours."""
    unit = _UNIT.search(groups)
    return unit[1] if unit else ""


def owner(pid: int, services: t.Mapping[int, str]) -> str:
    """The component that a process belongs to, or an empty string. services: component by its main process."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            name = component_of(stream.read())
    except OSError:
        return services.get(pid, "")
    if name:
        return name
    for _generation in range(_GENERATIONS):
        if pid in services:
            return services[pid]
        pid = _processes.parent(pid)
    return ""
