# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The install playbook upgrades a fleet under load: two hives and a queen, all on this machine."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import subprocess
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
    model_command = ["{{model_path}}"]
    health.path = "/health"
    health.timeout = 1
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
        weights = b"weights"
        (machine.folder / "m.gguf").write_bytes(weights)
        machine.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        machine.write(
            "models.conf",
            f"""
            [[model]]
            name = "{MODEL}"
            source = "file"
            path = "{machine.folder}/m.gguf"
            sha256 = "{hashlib.sha256(weights).hexdigest()}"
            """,
        )
        settings = {"name": "default", "scope": "user", "fetch": "host", "max_concurrent_installs": 10}
        hosts = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": self._python(name),
                "rbee_fleet": {**settings, "prefix": str(machine.folder / name)},
            }
            for name in HOSTS
        }
        machine.write("local.yml", json.dumps({"all": {"hosts": hosts}}))

    def _python(self, host: str) -> str:
        """An interpreter for which the host has a home of its own."""
        home = self.machine.folder / f"home-{host}"
        home.mkdir()
        self.machine.write(f"python-{host}", f"""\
            #!/bin/sh
            HOME={home} exec {sys.executable} "$@"
            """)  # fmt: skip
        path = self.machine.folder / f"python-{host}"
        path.chmod(0o755)
        return str(path)

    def declare(self, health_check_timeout: int = 60, **versions: str) -> None:
        """The versions of the worker of each hive."""
        self.machine.write(
            "rbee.conf",
            f"""
            [fleet]
            scope = "user"
            [queen]
            port = {self.port}
            [package]
            health_check_timeout = {health_check_timeout}
            """,
        )
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

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.machine.play("rbee.fleet.install", "-i", "rbee.yml", "-i", "local.yml", "-v", *options)


@pytest.fixture
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Fleet]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    fleet = Fleet(Machine(folder))
    try:
        yield fleet
    finally:
        fleet.machine.close()
        for log in (folder / "queen").rglob("*queen*.log"):  # shown when the test fails
            sys.stdout.write("".join(line for line in log.open() if line.startswith("Server ")))
        for name in HOSTS:
            if (folder / name / "supervisor").exists():
                SupervisorManager(str(folder / name), str(supervisor_environment)).shutdown()
        shutil.rmtree(folder)


def well(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_not_one_request_fails_while_a_fleet_grows_and_is_upgraded(fleet: Fleet) -> None:
    fleet.declare(one="1")
    assert "downtime:" not in well(fleet.install())
    fleet.declare(one="2")
    said = well(fleet.install())
    assert said.index("downtime: model m has one replica, on one,") < said.index("chat: restart service")
    with Load(fleet.port, MODEL) as load:
        wait_until(lambda: load.answers["2"] > 20)
        fleet.declare(one="2", two="2")
        assert "switching in" not in well(fleet.install())  # one task a host, as on every run that restarts no worker
        fleet.declare(one="3", two="3")
        said = well(fleet.install())
        assert "switching in 2 waves: one; two" in said and "downtime:" not in said
        enough = max(100, load.count + 20)
        wait_until(lambda: load.count > enough and load.answers["3"] > 20)
    assert load.failures == []


def test_a_wave_that_fails_is_the_last_and_a_retry_takes_up_the_rest(fleet: Fleet) -> None:
    fleet.declare(one="1", two="1")
    well(fleet.install())
    with Load(fleet.port, MODEL) as load:
        fleet.declare(health_check_timeout=5, one="sick", two="sick")
        done = fleet.install()
        assert done.returncode == 2
        assert "not switched, because one failed in an earlier wave" in done.stdout
        result = json.loads((fleet.machine.folder / ".rbee" / "last-run.json").read_text())
        assert result["failed"] == {"one": ["chat"], "two": []}
        fleet.declare(one="2", two="2")
        said = well(fleet.install("-e", "rbee_retry_failed=true"))
        assert "switching in 2 waves: one; two" in said
        enough = load.answers["2"] + 20
        wait_until(lambda: load.answers["2"] > enough and load.count > 100)
    assert load.failures == []
    assert load.answers.keys() == {"1", "2"}
