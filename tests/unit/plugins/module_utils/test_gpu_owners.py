# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a process is, by its control groups."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_owners import component_of


@pytest.mark.parametrize(
    ("groups", "component"),
    [
        ("0::/system.slice/rbee-llama-cpp.service\n", "llama-cpp"),
        ("0::/system.slice/rbee-chat.service/workers\n", "chat"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/rbee-chat.service\n", "chat"),
        ("12:pids:/system.slice/rbee-chat.service\n1:name=systemd:/system.slice/rbee-chat.service\n", "chat"),
        ("0::/system.slice/xrbee-chat.service\n", ""),
        ("0::/system.slice/docker.service\n", ""),
        ("0::/\n", ""),
    ],
)
def test_a_unit_of_ours_names_its_component(groups: str, component: str) -> None:
    assert component_of(groups) == component
