# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The install playbook upgrades a fleet under load: two hives and a queen, all on this machine, and nothing replaced."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import HERE, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine
from ansible_collections.rbee.fleet.tests.integration.pytest.rolling_load import Load

pytestmark = NEEDS

HOSTS = ("queen", "one", "two")
MODEL = "m"
RELEASE = """
    [[release]]
    version = "{version}"
    [release.source.any]
    kind = "file"
    name = "serve.py"
    path = "{path}"
    sha256 = "{sha256}"
    """
TYPE = """
    kind = "worker"
    summary = "answers with its version"
    model = "optional"
    model_format = "gguf"
    port = {port}
    command = ["{{python}}", "{{release}}/serve.py", "{{address}}", "{{port}}"]
    health.path = "/health"
    health.timeout = 10
    """


class Fleet:
    """Two hives that are reached like this machine, each with a prefix of its own."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.port = machine, machine.ports["queen"]
        serve = (HERE / "rolling_stand_in.py").read_text()
        text = TYPE.format(port=machine.ports["engine"])
        for version, status in (("sick", 500), ("1", 200), ("2", 200), ("3", 200)):
            path = machine.folder / f"serve-{version}.py"
            path.write_text(serve.replace("@VERSION@", version).replace(", 200  #", f", {status}  #"))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            text += RELEASE.format(version=version, path=path, sha256=digest)
        machine.write("catalog/chat.toml", text)
        (machine.folder / "m.gguf").write_text("weights")
        machine.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        machine.write(
            "rbee.conf",
            f"""
            [fleet]
            scope = "user"
            [queen]
            port = {self.port}
            [package]
            health_check_timeout = 10
            """,
        )
        machine.write(
            "models.conf",
            f'[[model]]\nname = "{MODEL}"\nsource = "file"\npath = "{machine.folder}/m.gguf"\n',
        )
        settings = {"name": "default", "scope": "user", "fetch": "host", "max_concurrent_installs": 10}
        variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        hosts = {name: {**variables, "rbee_fleet": {**settings, "prefix": self.prefix(name)}} for name in HOSTS}
        machine.write("local.yml", json.dumps({"all": {"hosts": hosts}}))

    def prefix(self, name: str) -> str:
        return str(self.machine.folder / name)

    def declare(self, **versions: str) -> None:
        """The versions of the worker of each hive."""
        text = ""
        for number, (alias, version) in enumerate(versions.items(), 2):
            text += f"""
                [[hive]]
                alias = "{alias}"
                hostname = "127.0.0.{number}"
                connection = "ssh"
                ssh_port = {2200 + number}
                hive_port = {self.machine.ports["hive"]}
                workers = [{{ type = "chat", model = "{MODEL}", version = "{version}" }}]
                """
        self.machine.write("hives.conf", text)

    def install(self, *options: str) -> t.Any:
        return self.machine.play("rbee.fleet.install", "-i", "rbee.yml", "-i", "local.yml", "-v", *options)


@pytest.fixture
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Fleet]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    fleet = Fleet(Machine(folder))
    try:
        yield fleet
    finally:
        for name in HOSTS:
            if (folder / name / "supervisor").exists():
                SupervisorManager(str(folder / name), str(supervisor_environment)).shutdown()
        shutil.rmtree(folder)


def test_not_one_request_fails_while_the_playbook_upgrades_the_fleet(fleet: Fleet) -> None:
    fleet.declare(one="1", two="1")
    done = fleet.install()
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert "waves" not in done.stdout.replace("rbee_waves", "")
    with Load(fleet.port, MODEL) as load:
        wait_until(lambda: load.answers["1"] > 20)
        fleet.declare(one="2", two="2")
        done = fleet.install()
        print(done.stdout)
        enough = load.count + 20
        wait_until(lambda: load.count > enough)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load.failures == []
    assert load.count > 100
    assert load.answers["1"] and load.answers["2"]
