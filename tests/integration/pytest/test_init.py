# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""init, as a user runs it: without an inventory, and then again."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import TREE, snapshot
from ansible_collections.rbee.fleet.tests.integration.pytest.plays import Plays

FILES = {".gitignore", "ansible.cfg", "api_key", "hives.conf", "models.conf", "rbee.conf", "rbee.yml"}

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


def environment(home: pathlib.Path) -> dict[str, str]:
    """Of a user whose home is the temporary folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    ours = {
        "ANSIBLE_COLLECTIONS_PATH": str(TREE),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(home),
    }
    return {**kept, **ours}


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Plays]:
    with contextlib.closing(Plays(tmp_path_factory.mktemp("home"))) as plays:
        yield plays


@pytest.fixture
def tmp_path(plays: Plays) -> pathlib.Path:
    """One folder for all tests, empty for each."""
    return plays.empty()


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    """Runs an Ansible command in a folder."""

    def command(*words: str, cwd: pathlib.Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ansible", *words],
            cwd=cwd, env=environment(tmp_path), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return command


@pytest.fixture
def init(plays: Plays, tmp_path: pathlib.Path) -> Run:
    def command(*options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = plays.run(environment(tmp_path), "rbee.fleet.init", *options)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return command


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, t.Any]:
    """The output of ansible-inventory, with strings that are no templates as plain strings."""
    found: dict[str, t.Any] = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
    return found


def hives(folder: pathlib.Path) -> list[tuple[str, str, str, int]]:
    fleet, _catalog = load(str(folder))
    return [(hive.alias, hive.hostname, hive.ssh_user, hive.ssh_port) for hive in fleet.hives]


def test_without_anything_the_users_own_folder_gets_this_machine(init: Run, run: Run, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / ".config" / "rbee"
    said = init().stdout
    assert {path.name for path in folder.iterdir()} == FILES
    assert hives(folder) == [("local-hive", "localhost", "", 22)]
    assert stat.S_IMODE((folder / "api_key").stat().st_mode) == 0o600
    assert "ansible-playbook rbee.fleet.validate" in said
    assert (folder / "api_key").read_text().strip() not in said
    # The shortest command: no -i, no setting but those that were written.
    found = listed(run("inventory", "--list", cwd=folder))
    assert found["rbee"]["hosts"] == ["local-hive"]
    assert found["_meta"]["hostvars"]["local-hive"]["rbee_secrets"] == {"api_key": f"file:{folder}/api_key"}
    assert listed(run("inventory", "-i", "hives.conf", "--list", cwd=folder)) == found
    # From anywhere else the key is still found.
    assert listed(run("inventory", "-i", str(folder / "rbee.yml"), "--list")) == found


def test_a_second_run_changes_nothing(init: Run, tmp_path: pathlib.Path) -> None:
    init("-e", "config=fleet", "-e", "hosts=gpu-1,ops@10.0.0.5:2222")
    before = snapshot(tmp_path / "fleet")
    done = init("-e", "config=fleet", "-e", "hosts=gpu-1,ops@10.0.0.5:2222")
    assert "changed=0" in done.stdout
    assert "Note:" not in done.stdout
    assert snapshot(tmp_path / "fleet") == before
    assert hives(tmp_path / "fleet") == [("gpu-1", "gpu-1", "", 22), ("10.0.0.5", "10.0.0.5", "ops", 2222)]


def test_what_is_there_is_kept_and_the_rest_is_written(init: Run, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    mine = '[[hive]]\nalias = "mine"\nhostname = "10.0.0.9"\n'
    (folder / "hives.conf").write_text(mine)
    (folder / "rbee.conf").write_text("[queen]\nport = 9500\n")
    done = init("-e", "config=fleet", "-e", "hosts=gpu-1")
    assert (folder / "hives.conf").read_text() == mine
    assert "kept as they are: rbee.conf, hives.conf" in done.stdout
    assert "Note: hives.conf is kept, add to it by hand: gpu-1" in done.stdout
    # A key that nothing refers to would only lie about.
    assert {path.name for path in folder.iterdir()} == FILES - {"api_key"}


def test_a_link_is_not_written_through(init: Run, tmp_path: pathlib.Path) -> None:
    folder, outside = tmp_path / "fleet", tmp_path / "outside"
    folder.mkdir()
    (folder / "api_key").symlink_to(outside)
    init("-e", "config=fleet")
    assert not outside.exists()


def test_check_mode_writes_nothing_and_says_what_it_would(init: Run, tmp_path: pathlib.Path) -> None:
    done = init("-e", "config=fleet", "--check")
    assert f"{tmp_path}/fleet: would write rbee.conf, hives.conf" in done.stdout
    assert "changed=1" in done.stdout
    assert not (tmp_path / "fleet").exists()


@pytest.mark.skipif(not shutil.which("ssh"), reason="ssh is missing")
def test_the_hosts_of_an_ssh_configuration_are_reached_by_it(init: Run, run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "more").write_text("Host gpu-2\n  HostName 10.0.0.6\n")
    config = tmp_path / "ssh config"
    config.write_text(
        f"Include {tmp_path}/more\nHost *\n  User ops\nHost gpu-1 *.lab\n  HostName 10.0.0.5\n  Port 2222\n"
    )
    init("-e", '{"config": "fleet", "ssh_config": "ssh config"}')
    assert hives(tmp_path / "fleet") == [("gpu-2", "gpu-2", "ops", 22), ("gpu-1", "gpu-1", "ops", 2222)]
    fleet, _catalog = load(str(tmp_path / "fleet"))
    assert [hive.address for hive in fleet.hives] == ["10.0.0.6", "10.0.0.5"]
    settings = run("config", "dump", "--only-changed", cwd=tmp_path / "fleet")
    assert f"-F {config}" in settings.stdout or f'-F "{config}"' in (tmp_path / "fleet/ansible.cfg").read_text()


INVENTORY = """
all:
  vars: {domain: example.com}
  children:
    gpus:
      vars: {ansible_user: ops, ansible_ssh_private_key_file: ~/.ssh/gpus}
      hosts:
        gpu-1: {ansible_host: "g1.{{ domain }}"}
        gpu-2: {ansible_port: 2222}
    web:
      hosts: {queen: {}}
"""


def test_the_hosts_of_an_inventory_are_taken_by_group(init: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    said = init("-e", "config=fleet", "-e", "from_inventory=hosts.yml", "-e", "group=gpus").stdout
    assert hives(tmp_path / "fleet") == [("gpu-1", "g1.example.com", "ops", 22), ("gpu-2", "gpu-2", "ops", 2222)]
    assert "Note: ansible_ssh_private_key_file of gpu-1, gpu-2 was not taken over: set it in host_vars" in said
    init("-e", "config=other", "-e", "from_inventory=hosts.yml")
    assert [hive[:2] for hive in hives(tmp_path / "other")][-1] == ("hive-queen", "queen")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["hosts=a:b:c"], "hosts: 'a:b:c' is no host; expected [alias=][user@]host[:port]"),
        (["ssh_config=gone"], "gone cannot be read: No such file or directory"),
        (["from_inventory=gone"], "gone does not exist"),
        (["from_inventory=hosts.yml", "group=gpu"], "has no group 'gpu'; it has all, gpus, ungrouped, web"),
        (["config=hosts.yml"], "hosts.yml is not a folder; name another one with -e config=FOLDER"),
        (["config=broken"], "; hives.conf:2: hive[0].hostnam: unknown key; did you mean 'hostname'?"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_and_leaves_nothing(
    init: Run, tmp_path: pathlib.Path, options: list[str], message: str
) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "hives.conf").write_text('[[hive]]\nhostnam = "a"\n')
    (tmp_path / "ansible").mkdir()
    before = snapshot(tmp_path, "ansible")
    done = init("-e", "config=fleet", *(word for option in options for word in ("-e", option)), check=False)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert snapshot(tmp_path, "ansible") == before


def test_a_misspelt_variable_begins_nothing(init: Run, tmp_path: pathlib.Path) -> None:
    done = init("-e", f"confg={tmp_path}/fleet", "-e", "region=north", check=False)
    assert (done.returncode, "confg: unknown variable; did you mean 'config'?" in done.stdout + done.stderr) == (
        2,
        True,
    )
    assert not (tmp_path / "fleet").exists() and not list(tmp_path.glob("**/hives.conf"))
