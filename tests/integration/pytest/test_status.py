# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks where there is little to see: no fleet, no installation, no way to a host."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import TREE, free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.plays import Plays

Play = t.Callable[..., subprocess.CompletedProcess[str]]

NO_FLEET = "there is no host of an rbee fleet here."


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Play]:
    """Runs a playbook of the collection."""
    folder = tmp_path_factory.mktemp("controller")
    (folder / "ansible.cfg").write_text("")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(TREE),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    with contextlib.closing(Plays(folder)) as plays:
        yield lambda name, *arguments: plays.run({**kept, **settings}, f"rbee.fleet.{name}", *arguments)


@pytest.fixture
def fleet(tmp_path: pathlib.Path) -> pathlib.Path:
    """The inventory of a fleet in user scope, one hive of which cannot be reached, with nothing installed."""
    (tmp_path / "rbee.yml").write_text("plugin: rbee.fleet.hives\n")
    (tmp_path / "rbee.conf").write_text(
        f'[fleet]\nscope = "user"\nprefix = "{tmp_path}/rbee"\n'
        '[queen]\nmode = "attached-hive"\nattached_hive_alias = "near"\n'
    )
    (tmp_path / "hives.conf").write_text(
        '[[hive]]\nalias = "near"\nhostname = "localhost"\n'
        f'[[hive]]\nalias = "far"\nhostname = "127.0.0.1"\nconnection = "ssh"\nssh_port = {free_port()}\n'
        "hive_port = 8601\n"
    )
    return tmp_path / "rbee.yml"


@pytest.fixture
def strangers(tmp_path: pathlib.Path) -> pathlib.Path:
    """An inventory that is none of ours."""
    path = tmp_path / "hosts.ini"
    path.write_text("web ansible_connection=local\n")
    return path


@pytest.mark.parametrize("name", ["install", "uninstall", "status"])
def test_without_an_inventory_a_playbook_stops_and_says_what_to_type(play: Play, name: str) -> None:
    done = play(name)
    assert done.returncode != 0
    assert NO_FLEET in " ".join(done.stdout.split() + done.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["--limit", "web"], ["--tags", "workers"]], ids=" ".join)
def test_an_inventory_of_others_is_not_taken_for_a_fleet(
    play: Play, strangers: pathlib.Path, arguments: list[str]
) -> None:
    done = play("install", "-i", str(strangers), *arguments)
    assert done.returncode != 0
    assert NO_FLEET in " ".join(done.stdout.split() + done.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["--limit", "near"]], ids=" ".join)
def test_a_mistake_in_the_configuration_is_not_success(play: Play, fleet: pathlib.Path, arguments: list[str]) -> None:
    (fleet.parent / "models.conf").write_text("[[modle]]\n")
    done = play("install", "-i", str(fleet), *arguments)
    assert done.returncode != 0
    assert "models.conf:1: modle" in done.stdout + done.stderr


def test_a_limit_to_no_host_of_the_fleet_is_not_success(
    play: Play, fleet: pathlib.Path, strangers: pathlib.Path
) -> None:
    done = play("status", "-i", str(fleet), "-i", str(strangers), "--limit", "web")
    assert done.returncode != 0
    assert "with --limit, name hosts of that fleet" in " ".join(done.stdout.split() + done.stderr.split())


def test_a_host_with_nothing_installed_says_so(play: Play, fleet: pathlib.Path) -> None:
    done = play("status", "-i", str(fleet), "--limit", "near")
    assert done.returncode == 0, done.stdout
    title = done.stdout.splitlines().index("near (127.0.0.1:8600): drift, over local")
    assert "drift: queen is missing; hive is missing" in done.stdout.splitlines()[title + 1]
    absent = [line.split()[0] for line in done.stdout.splitlines()[title:] if " not installed " in line]
    assert absent == ["queen", "hive"]
    assert not (fleet.parent / "rbee").exists()


def test_a_host_that_cannot_be_reached_is_named_and_hides_no_other(play: Play, fleet: pathlib.Path) -> None:
    done = play("status", "-i", str(fleet))
    assert done.returncode != 0
    assert "\nfar (127.0.0.1:8601): unreachable: " in done.stdout
    assert "\nnear (127.0.0.1:8600): drift, over local\n" in done.stdout
    assert "\n  hive   not installed" in done.stdout
    assert re.search(r"^far +: .*failed=1", done.stdout, re.MULTILINE)
    assert re.search(r"^near +: .*failed=0", done.stdout, re.MULTILINE)
