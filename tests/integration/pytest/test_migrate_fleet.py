# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook migrate on a fleet that install made: what it writes declares that fleet, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import shutil
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

KEY = "a-key-of-the-test"
RBEE = """
    fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
    package = {{ health_check_timeout = 90 }}
    [queen]
    port = {queen}
    api_key = "file:key"
    max_request_bytes = 65536
    """
HIVES = """
    [[hive]]
    alias = "desk"
    hostname = "localhost"
    hive_port = {hive}
    models = ["spare"]
    workers = [
      "engine",
      {{ type = "engine", name = "b", port = {b}, model = "parrot", args = ["--say", "{{}} hi"], env = {{ A = "1" }} }},
    ]
    """
MODELS = """
    [[model]]
    name = "parrot"
    source = "file"
    path = "models/parrot.txt"
    sha256 = "{sha256}"
    [[model]]
    name = "spare"
    source = "file"
    path = "models/spare.txt"
    sha256 = "{sha256}"
    """


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Machine]:
    """An installed fleet of a queen, an agent, two workers and two models, with catalog and key in again/, too."""
    with machine(supervisor_environment) as found:
        catalog = found.folder / "catalog" / "engine.toml"
        catalog.write_text('model = "optional"\nmodel_command = ["{model_path}"]\n' + catalog.read_text())
        for name in ("parrot", "spare"):
            found.write(f"models/{name}.txt", "hello\n")
        found.write("key", KEY + "\n")
        (found.folder / "key").chmod(0o600)
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        found.write("hives.conf", HIVES.format(b=free_port(), **found.ports))
        found.write("models.conf", MODELS.format(sha256=hashlib.sha256(b"hello\n").hexdigest()))
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # with rbee.lock
        again = found.folder / "again"
        shutil.copytree(catalog.parent, again / "catalog")
        shutil.copy(found.folder / "key", again / "api_key")
        yield found
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 1


def migrate(fleet: Machine, *options: str) -> str:
    """Looks at this fleet alone: other tests may have fleets and engines of their own beside it."""
    narrowed = ["-e", f"prefixes={fleet.prefix}", "-e", "engines=false"]
    done = fleet.play("rbee.fleet.migrate", "-e", "scope=user", *narrowed, *options)
    sys.stdout.write(done.stdout + done.stderr)  # shown when the test fails
    assert done.returncode == 0
    return done.stdout


def test_an_installed_fleet_is_declared_as_it_is(fleet: Machine) -> None:
    said = migrate(fleet, "-e", "config=again")
    assert "local-hive: queen, hive, b, engine, model-parrot, model-spare of fleet play" in said
    assert f"put it into {fleet.folder}/again/api_key" in said
    assert KEY not in said
    shutil.rmtree(fleet.folder / "models")  # what is installed needs no source
    assert fleet.changes("rbee.fleet.install", "-i", "again/rbee.yml") == 1  # rbee.lock, which is as it was
    assert fleet.changes("rbee.fleet.validate", "-i", "again/rbee.yml") == 0
    assert (fleet.folder / "again" / "rbee.lock").read_bytes() == (fleet.folder / "rbee.lock").read_bytes()
    before, _catalog = load(str(fleet.folder))
    after, _catalog = load(str(fleet.folder / "again"))
    assert after.hives == before.hives
    assert dataclasses.replace(after.queen, api_key="") == dataclasses.replace(before.queen, api_key="")


def test_a_second_run_changes_nothing(fleet: Machine) -> None:
    migrate(fleet, "-e", "config=twice", "-e", "fleet=play")
    assert "changed=0" in migrate(fleet, "-e", "config=twice").partition("localhost  ")[2]


def test_an_installation_is_found_where_its_agent_runs(fleet: Machine) -> None:
    found = _machine.look()
    assert str(fleet.prefix) in [item["prefix"] for item in found["installations"]]
    ours = set(fleet.ports.values())
    assert not [engine for engine in found["engines"] if engine["port"] in ours]
