# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin inside ansible-core."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

HIVE = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\nworkers = ["comfyui"]\n'


@pytest.fixture
def plugin() -> t.Any:
    return inventory_loader.get("rbee.fleet.hives")


def inventory(plugin: t.Any, source: pathlib.Path) -> InventoryData:
    data = InventoryData()
    plugin.parse(data, DataLoader(), str(source))
    return data


@pytest.mark.parametrize(
    ("name", "ours"),
    [("rbee.yml", True), ("prod.rbee.yaml", True), ("hives.conf", True), ("rbee.conf", False), ("hosts.yml", False)],
)
def test_sources_are_known_by_their_name(plugin: t.Any, tmp_path: pathlib.Path, name: str, ours: bool) -> None:
    (tmp_path / name).touch()
    assert plugin.verify_file(str(tmp_path / name)) is ours


def test_a_source_that_is_not_there_is_not_ours(plugin: t.Any, tmp_path: pathlib.Path) -> None:
    assert plugin.verify_file(str(tmp_path / "rbee.yml")) is False


def test_hosts_and_groups_come_from_hives_conf(plugin: t.Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_text(HIVE)
    data = inventory(plugin, tmp_path / "hives.conf")
    assert sorted(data.hosts) == ["gpu-1", "queen"]
    groups = {name: sorted(map(str, group.get_hosts())) for name, group in data.groups.items() if "rbee" in name}
    assert groups == {
        "rbee": ["gpu-1", "queen"],
        "rbee_queen": ["queen"],
        "rbee_hives": ["gpu-1"],
        "rbee_worker_comfyui": ["gpu-1"],
    }


def test_a_mistake_leaves_nothing_in_the_inventory(
    plugin: t.Any, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hives.conf").write_text(HIVE + "ssh_prot = 22\n")
    data = InventoryData()
    plugin.parse(data, DataLoader(), str(tmp_path / "hives.conf"))
    assert data.groups["all"].get_vars()["rbee_mistakes"].startswith("1 mistake in the configuration")
    assert "hives.conf:5: hive[0].ssh_prot: unknown key; did you mean 'ssh_port'?" in capsys.readouterr().err
    assert not data.hosts
