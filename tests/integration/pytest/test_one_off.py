# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One-offs, as a user types them: hives and workers that come and go without a file being edited first."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import socket
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

RBEE = """
    fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
    queen = {{ port = {queen} }}
    """
HIVES = "# nothing yet\n"
TEMPORARY = ".rbee/temporary.conf"


class Fleet:
    """A queen on this machine; what else there is, one-offs bring."""

    def __init__(self, found: Machine, supervisor: pathlib.Path) -> None:
        self.machine, self.folder = found, found.folder
        self.manager = SupervisorManager(str(found.prefix), str(supervisor))
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        found.write("hives.conf", HIVES)

    def play(self, playbook: str, *words: str, inventory: str = "rbee.yml", status: int = 0) -> str:
        """What a run shows, which ends as it should. words: variables, and options with their dash."""
        options = [part for word in words for part in ([word] if word.startswith("-") else ["-e", word])]
        done = self.machine.play(f"rbee.fleet.{playbook}", "-i", inventory, *options)
        sys.stdout.write(done.stdout + done.stderr)  # shown when the test fails
        assert "Traceback" not in done.stderr
        assert done.returncode == status
        return done.stdout + done.stderr

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def pids(self) -> dict[str, int]:
        """The processes of the components that run."""
        names = [path.name for path in (self.machine.prefix / "components").iterdir()]
        return {name: state.pid for name, state in self.manager.states(names).items() if state.active}

    def sync(self, *words: str, inventory: str = "rbee.yml") -> tuple[set[str], set[str]]:
        """What differed, and what was only told."""
        self.play("sync", *words, inventory=inventory)
        found = json.loads((self.folder / inventory).parent.joinpath(".rbee/last-sync.json").read_text())
        drift, notes = ({f"{item['component']} {item['kind']}" for item in found[key]} for key in ("drift", "notes"))
        return drift, notes

    def elsewhere(self) -> str:
        """The inventory of another checkout of the same files."""
        other = self.folder / "elsewhere"
        shutil.rmtree(other, ignore_errors=True)
        other.mkdir()
        for name in ("rbee.yml", "rbee.conf", "hives.conf"):
            shutil.copy(self.folder / name, other)
        shutil.copytree(self.folder / "catalog", other / "catalog")
        return "elsewhere/rbee.yml"


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Fleet]:
    """A fleet whose only hive comes and goes by command; every test leaves it as it was."""
    with machine(supervisor_environment) as found:
        fleet = Fleet(found, supervisor_environment)
        port = found.ports["hive"]
        said = fleet.play("install_hive", "alias=desk", "hostname=localhost", f"hive_port={port}", "workers=engine")
        assert "wrote hives.conf" in said
        declared = f'\n[[hive]]\nalias = "desk"\nhostname = "localhost"\nhive_port = {port}\nworkers = ["engine"]\n'
        assert fleet.text("hives.conf") == HIVES + declared
        assert fleet.pids().keys() == {"queen", "hive", "engine"}
        assert fleet.sync("--check") == (set(), set())
        yield fleet
        fleet.play("remove_hive", "alias=desk", "rbee_purge=true")
        assert fleet.text("hives.conf") == HIVES
        assert fleet.pids().keys() == {"queen"}
        assert fleet.sync("--check") == (set(), set())


def test_a_worker_that_fails_at_first_and_for_which_the_same_command_goes_on(fleet: Fleet) -> None:
    before, pids, port = fleet.text("hives.conf"), fleet.pids(), free_port()
    words = ("hive=desk", "type=engine", "name=spare", f"port={port}", """args='--greet "you there"'""")
    with socket.create_server(("127.0.0.1", port)):
        said = fleet.play("install_worker", *words, status=2)
    assert "The worker stays declared, in hives.conf. The same command goes on" in said
    entry = f', {{ type = "engine", name = "spare", port = {port}, args = ["--greet", "you there"] }}'
    declared = before.replace('["engine"', f'["engine"{entry}')
    assert fleet.text("hives.conf") == declared and "spare" not in fleet.pids()
    fleet.play("install_worker", *words)
    assert fleet.text("hives.conf") == declared
    wait_until(
        lambda: fleet.machine.get("queen", "/workers/desk/spare/") == (200, "--greet you there")
    )  # she checks it
    assert fleet.pids().items() > {name: pids[name] for name in ("hive", "engine")}.items()  # restarted nobody else
    said = fleet.play("remove_worker", "hive=desk", "worker=spare")
    assert re.search(r"queen: updated in [\d.]+ s: her map loses desk/spare$", said, re.MULTILINE)
    assert fleet.text("hives.conf") == before and fleet.pids().keys() == {"queen", "hive", "engine"}


def test_mistakes_change_nothing(fleet: Fleet) -> None:
    before, pids = fleet.text("hives.conf"), fleet.pids()
    said = fleet.play("install_worker", "hive=desk", "type=engin", "name=b", "port=70000", status=2)
    assert "-e port: expected an integer from 1 to 65535" in said
    assert "-e type: unknown worker type; did you mean 'engine'?" in said
    said = fleet.play("install_worker", "hive=desk", "type=engine", "args=--a --b", status=2)
    assert "a value with spaces needs quotes" in said
    assert "unknown worker of desk 'engin'; did you mean 'engine'?" in fleet.play(
        "remove_worker", "hive=desk", "worker=engin", status=2
    )
    assert "unknown hive 'dek'; did you mean 'desk'?" in fleet.play("remove_hive", "alias=dek", status=2)
    assert "leave out --limit" in fleet.play("remove_hive", "alias=desk", "--tags=workers", status=4)
    assert (fleet.text("hives.conf"), fleet.pids()) == (before, pids)


def test_what_is_temporary_is_left_alone_by_everybody_and_removed_by_name(fleet: Fleet) -> None:
    before, port = fleet.text("hives.conf"), free_port()
    words = ("hive=desk", "type=engine", "name=trial", f"port={port}")
    said = fleet.play("install_worker", *words, "--check", "--diff")
    assert "would write hives.conf" in said and '"trial"' in said and fleet.text("hives.conf") == before
    fleet.play("install_worker", *words, "temp=true")
    assert fleet.text("hives.conf") == before and '"trial"' in fleet.text(TEMPORARY)
    wait_until(lambda: fleet.machine.get("queen", "/workers/desk/trial/")[0] == 200)
    assert fleet.sync("--check") == (set(), {"trial temporary"})
    other = fleet.elsewhere()
    assert fleet.sync("rbee_extra=remove", inventory=other) == ({"queen gateway"}, {"trial temporary"})
    assert "trial" in fleet.pids()
    # Her map is that of the other checkout.
    wait_until(lambda: fleet.machine.get("queen", "/workers/desk/trial/")[0] == 404)
    fleet.play("remove_worker", "hive=desk", "worker=trial", inventory=other)
    assert "trial" not in fleet.pids()
    said = fleet.play("install_worker", *words)
    assert "worker trial: wrote hives.conf; removed .rbee/temporary.conf" in said
    assert '"trial"' in fleet.text("hives.conf") and fleet.text(TEMPORARY) == ""
    assert fleet.machine.get("queen", "/workers/desk/trial/")[0] == 200
    fleet.play("remove_worker", "hive=desk", "worker=trial")
    assert fleet.text("hives.conf") == before and "trial" not in fleet.pids()


def test_old_names(fleet: Fleet) -> None:
    said = fleet.play("stop_worker", "hive=desk", "worker=engine")
    assert "ansible-playbook rbee.fleet.stop --limit desk -e rbee_only=engine" in said
    assert fleet.pids().keys() == {"queen", "hive"}
    misspelt = ("stop_worker", "hive=desk", "worker=engin")
    assert "unknown worker of desk 'engin'" in fleet.play(*misspelt, "--tags=workers", status=2)
    assert "leave out --limit" in fleet.play(*misspelt, "--limit=desk", status=4)
    fleet.play("stop_hive", "alias=desk")
    assert fleet.pids().keys() == {"queen"}
    assert "unknown component 'engin'; did you mean 'engine'?" in fleet.play("start", "rbee_only=engin", status=2)
    fleet.play("start", "rbee_only=engine")
    assert fleet.pids().keys() == {"queen", "engine"}
    fleet.play("start_hive", "alias=desk")
    fleet.play("uninstall_queen", "--tags=workers")
    assert fleet.pids().keys() == {"queen", "hive", "engine"}
    fleet.play("uninstall_queen")
    assert fleet.pids().keys() == {"hive", "engine"}
    assert "rbee.fleet.install --tags queen" in fleet.play("install_queen")
    assert fleet.pids().keys() == {"queen", "hive", "engine"}
