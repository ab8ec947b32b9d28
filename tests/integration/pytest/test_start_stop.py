# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks start and stop on a fleet that install made."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": """
        fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}
        workers = ["engine"]
        """,
}


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Machine]:
    """An installed fleet, which every test leaves running."""
    with machine(supervisor_environment) as found:
        for name, text in CONFIGURATION.items():
            found.write(name, text.format(prefix=found.prefix, **found.ports) if name != "rbee.yml" else text)
        assert changes(found, "install") == 2  # with rbee.lock
        yield found
        assert changes(found, "uninstall", "-e", "rbee_purge=true") == 1


def changes(fleet: Machine, playbook: str, *options: str) -> int:
    return fleet.changes(f"rbee.fleet.{playbook}", "-i", "rbee.yml", *options)


def running(fleet: Machine) -> list[str]:
    return [name for name in fleet.ports if fleet.get(name, "/health")[0] == 200]


def test_a_stop_holds_until_the_next_start(fleet: Machine) -> None:
    assert running(fleet) == ["queen", "hive", "engine"]
    done = fleet.play("rbee.fleet.stop", "-i", "rbee.yml")
    assert done.returncode == 0 and re.findall(r"(\w+): stopped in", done.stdout) == ["queen", "hive", "engine"]
    assert running(fleet) == []
    assert changes(fleet, "install") == 0
    assert running(fleet) == []
    assert changes(fleet, "start") == 1
    assert running(fleet) == ["queen", "hive", "engine"]
    assert changes(fleet, "start") == 0


def test_a_run_that_fails_says_where_to_look(fleet: Machine, tmp_path: pathlib.Path) -> None:
    nowhere = tmp_path / "none.json"
    retry = ("-e", "rbee_retry_failed=true", "-e", f"rbee_result_file={nowhere}")
    done = fleet.play("rbee.fleet.install", "-i", "rbee.yml", *retry)
    assert done.returncode == 2
    assert f"See the summary above and {nowhere}" in done.stdout


def test_tags_choose_what_stops(fleet: Machine) -> None:
    assert changes(fleet, "stop", "--tags", "workers,hives") == 1
    assert running(fleet) == ["queen"]
    assert changes(fleet, "start", "--tags", "hives") == 1
    assert running(fleet) == ["queen", "hive"]
    assert changes(fleet, "start") == 1


def test_files_that_were_read_as_another_format_are_an_error(fleet: Machine) -> None:
    fleet.write("other.ini", "[rbee]\nlocalhost\n")
    done = fleet.play("rbee.fleet.install", "-i", "other.ini")
    assert done.returncode == 2
    assert "there is no host of an rbee fleet here" in done.stdout + done.stderr


def test_an_inventory_without_a_fleet_is_an_error(fleet: Machine) -> None:
    done = fleet.play("rbee.fleet.stop", "-i", "other,")
    assert done.returncode != 0
    assert "there is no host of an rbee fleet here" in done.stdout + done.stderr
