# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's queen and hive in the place of ours, as docs/upstream.md shows it, with stand-ins in their archives."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import sys
import tarfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests import pages
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

HERE = pathlib.Path(__file__).resolve().parent
PAGE = (HERE.parents[2] / "docs" / "upstream.md").read_text()
FILES = {step.name: step.content for step in pages.steps(PAGE) if isinstance(step, pages.File)}
PROGRAMS = {"queen": "queen-rbee", "hive": "rbee-hive"}
CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": """
        fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen}, insecure = true }}
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}
        workers = ["engine"]
        """,
}


def replace(found: Machine, kind: str, version: str) -> None:
    """Puts the guide's entry into the catalog, with an archive as upstream packs it: the program and nothing else."""
    program = PROGRAMS[kind]
    path = found.folder / f"{program}-linux-x86_64-{version}.tar.gz"
    text = (HERE / "upstream_stand_in.py").read_text().replace("@VERSION@", version)
    script = f"#!{sys.executable}\n{text}".encode()
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(program)
        member.size, member.mode = len(script), 0o755
        tar.addfile(member, io.BytesIO(script))
    url = f"https://github.com/rbee-keeper/rbee/releases/download/v0.1.0/{program}-linux-x86_64-0.1.0.tar.gz"
    entry = pages.changed(
        FILES[f"catalog/{kind}.toml"],
        (url, path.as_uri()),
        ("sha256sum of that file", hashlib.sha256(path.read_bytes()).hexdigest()),
        ('version = "0.1.0"', f'version = "{version}"'),
        ('"linux-x86_64"]', "any]"),
    )
    found.write(f"catalog/{kind}.toml", entry)


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Machine]:
    with machine(supervisor_environment) as found:
        for name, text in CONFIGURATION.items():
            found.write(name, text.format(prefix=found.prefix, **found.ports) if name != "rbee.yml" else text)
        for kind in PROGRAMS:
            replace(found, kind, "0.1.0")
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # the hive and rbee.lock
        yield found
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 1
        assert not found.prefix.exists()


def play(fleet: Machine, playbook: str, *options: str) -> str:
    """What a run that succeeds shows."""
    done = fleet.play(f"rbee.fleet.{playbook}", "-i", "rbee.yml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def hives(fleet: Machine) -> list[str]:
    """Those that have called the queen."""
    events = fleet.get("queen", "/v1/heartbeats/stream")[1]
    found: list[str] = json.loads(events.removeprefix("data: "))["hive_ids"]
    return found


def test_both_run_and_the_hive_knows_its_name_and_the_queen(fleet: Machine) -> None:
    assert fleet.get("queen", "/health") == (200, "")
    assert fleet.get("hive", "/health") == (200, "ok")
    assert json.loads(fleet.get("queen", "/v1/info")[1])["port"] == fleet.ports["queen"]
    wait_until(lambda: hives(fleet) == ["desk"])


def test_nothing_differs_and_nothing_of_our_queen_and_agent_is_beside_them(fleet: Machine) -> None:
    play(fleet, "sync", "--check", "--diff")  # which fails where something differs
    for name in PROGRAMS:
        assert not (fleet.prefix / "components" / name / "current" / "files").exists()


def test_the_status_says_what_they_do_not_tell(fleet: Machine) -> None:
    path = fleet.folder / "status.json"
    shown = play(fleet, "status", "-e", f"rbee_status_json={path}")
    desk = json.loads(path.read_text())["hosts"]["desk"]
    assert (desk["state"], desk["source"], desk["drift"]) == ("ok", "local", [])
    assert all(item["healthy"] for item in desk["components"])
    assert "agent: its hive, version 0.1.0 of your catalog, is another program, which tells no state" in shown
    url = f"http://127.0.0.1:{fleet.ports['queen']}"
    assert f"answers on {url}: another program than ours, which tells nothing of the fleet" in shown


def test_a_new_version_is_an_upgrade_like_any_other(fleet: Machine) -> None:
    for kind in PROGRAMS:
        replace(fleet, kind, "0.2.0")
    assert fleet.changes("rbee.fleet.install", "-i", "rbee.yml") == 1
    assert json.loads(fleet.get("queen", "/v1/info")[1])["version"] == "0.2.0"
    assert json.loads(fleet.get("hive", "/v1/capabilities")[1])["devices"][0]["name"] == "0.2.0"


def test_our_queen_routes_in_front_of_their_hive(fleet: Machine) -> None:
    (fleet.folder / "catalog" / "queen.toml").unlink()
    port = str(fleet.ports["engine"])
    shown = play(fleet, "install")
    assert "queen: updated" in shown
    assert json.loads(fleet.get("queen", "/v1/info")[1])["hives"] == 1
    wait_until(lambda: fleet.get("queen", "/workers/desk/engine/")[0] == 200)
    assert fleet.get("queen", "/hives/desk/health") == (200, "ok")
    fleet.write("hives.conf", CONFIGURATION["hives.conf"].format(**fleet.ports).replace(
        '["engine"]', f'[{{ type = "engine", port = {port}, args = ["again"] }}]'
    ))  # fmt: skip
    assert "engine: updated" in play(fleet, "install")
    wait_until(lambda: fleet.get("queen", "/workers/desk/engine/") == (200, "again"))


def test_ours_take_their_place_again(fleet: Machine) -> None:
    (fleet.folder / "catalog" / "hive.toml").unlink()
    assert fleet.changes("rbee.fleet.install", "-i", "rbee.yml") == 1
    wait_until(lambda: fleet.get("queen", "/hives/desk/v1/state")[0] == 200)  # she has seen the other agent
    state = json.loads(fleet.get("queen", "/hives/desk/v1/state")[1])
    assert {item["name"] for item in state["components"]} == {"queen", "hive", "engine"}
