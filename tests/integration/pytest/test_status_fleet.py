# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status on a fleet that install made: a queen with a key, a real agent and a worker."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

KEY = "sesame-for-tests-only"
CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": """
        fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen}, api_key = "file:{key}" }}
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
    with machine(supervisor_environment) as found:
        key = found.folder / "key"
        key.write_text(KEY + "\n")
        for name, text in CONFIGURATION.items():
            values = {"prefix": found.prefix, "key": key, **found.ports}
            found.write(name, text.format(**values) if name != "rbee.yml" else text)
        play(found, "install")
        yield found
        play(found, "uninstall", "-e", "rbee_purge=true")


def play(fleet: Machine, playbook: str, *options: str) -> str:
    """What a run that succeeds shows."""
    done = fleet.play(f"rbee.fleet.{playbook}", "-i", "rbee.yml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def status(fleet: Machine, *options: str) -> dict[str, t.Any]:
    path = fleet.folder / "status.json"
    play(fleet, "status", "-e", f"rbee_status_json={path.name}", *options)
    found: dict[str, t.Any] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def looked(fleet: Machine) -> tuple[dict[str, t.Any], str]:
    """What one run found, and all that it shows."""
    shown = play(fleet, "status", "-vvvv", "-e", "rbee_status_json=looked.json")
    return json.loads((fleet.folder / "looked.json").read_text()), shown


def test_the_agent_tells_everything(fleet: Machine, looked: tuple[dict[str, t.Any], str]) -> None:
    desk = looked[0]["hosts"]["desk"]
    assert (desk["state"], desk["source"], desk["agent"], desk["drift"]) == ("ok", "http", "", [])
    assert [item["name"] for item in desk["components"]] == ["queen", "hive", "engine"]
    assert [item["port"] for item in desk["components"]] == list(fleet.ports.values())
    assert all(item["healthy"] and item["since"] for item in desk["components"])


def test_the_queen_is_asked_with_her_key_which_nobody_sees(looked: tuple[dict[str, t.Any], str]) -> None:
    found, shown = looked
    queen = found["queen"]
    assert (queen["answers"], queen["info"]["fleet"], queen["info"]["workers"]) == (True, "play", 1)
    assert "1 hive, 1 worker, 0 models" in shown
    assert KEY not in shown


def test_without_her_key_the_queen_is_known_to_answer_and_no_more(fleet: Machine) -> None:
    key = fleet.folder / "key"
    key.rename(f"{key}.away")
    try:
        queen = status(fleet)["queen"]
    finally:
        pathlib.Path(f"{key}.away").rename(key)
    assert (queen["answers"], queen["info"]) == (True, None)
    assert "cannot be read" in queen["info_reason"]


def test_a_person_reads_the_same(fleet: Machine, looked: tuple[dict[str, t.Any], str]) -> None:
    _found, shown = looked
    assert "\nqueen: ok; 1 hive: 1 ok\n" in shown
    row = rf"\n  engine +running +ok +- +{fleet.ports['engine']} +1 +\d+ \w+"
    assert re.search(row, shown), shown


def test_drift_of_the_configuration_is_seen_without_a_connection(fleet: Machine) -> None:
    hives = (fleet.folder / "hives.conf").read_text()
    fleet.write("hives.conf", hives.replace('["engine"]', '[{ type = "engine", name = "other", port = 9 }]'))
    try:
        found = status(fleet)
    finally:
        fleet.write("hives.conf", hives)
    assert found["summary"] == {"hives": 1, "ok": 0, "drift": 1, "unreachable": 0, "failed": 0}
    assert found["hosts"]["desk"]["drift"] == ["other is missing", "engine is extra"]


def test_a_stopped_agent_is_looked_past(fleet: Machine) -> None:
    play(fleet, "stop", "--tags", "hives")
    try:
        desk = status(fleet)["hosts"]["desk"]
    finally:
        play(fleet, "start")
    assert desk["source"] == "local"
    assert desk["agent"] == f"connection refused on 127.0.0.1:{fleet.ports['hive']}"
    assert (desk["state"], desk["drift"]) == ("ok", [])  # a hold is shown, and no drift
    assert [item["state"] for item in desk["components"] if item["name"] == "hive"] == ["held"]


def test_a_deep_look_is_taken_on_the_host(fleet: Machine) -> None:
    assert status(fleet, "-e", "rbee_verify=deep")["hosts"]["desk"]["source"] == "local"
