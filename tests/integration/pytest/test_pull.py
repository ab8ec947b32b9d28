# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pull, as its service starts it: real git over a real sshd, real ansible-pull, and a playbook that says it ran.

The machines of the molecule scenario ``pull`` converge themselves; here is what would take them long.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.ssh_server import Server, find

ROOT = pathlib.Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is missing")

# Stands in for the installation, which the machines do.
STAND_IN = """
- hosts: gpu-1
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ ansible_connection }} {{ ansible_become }} {{ rbee_result_file }} {{ said }}"
        dest: "{{ rbee_result_file }}"
        mode: "0600"
"""


class Host:
    """The folders of one host, and the repository that it is to pull."""

    def __init__(self, folder: pathlib.Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.files, self.data, self.work = (folder / name for name in ("files", "data", "work"))
        for path in (self.files, self.data, self.work / "site"):
            path.mkdir(parents=True)
        self.key = server.new_key("id_ed25519")
        server.admit(self.key)
        (folder / "known_hosts").write_text(server.known())
        (self.files / "ansible.cfg").write_text("[defaults]\nnocolor = True\n")
        (self.files / "install.yml").write_text(STAND_IN)
        self.first: tuple[dict[str, t.Any], str] = ({}, "")
        self.git("init", "--quiet", "--initial-branch=main")
        self.ask(f"ssh://{server_user()}@127.0.0.1:{server.ports[0]}{self.work}")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=ops", "-c", "user.email=ops@example.com")
        done = subprocess.run(["git", *who, *words], cwd=self.work, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def commit(self, said: str) -> str:
        (self.work / "site" / "rbee.yml").write_text(f"all: {{hosts: {{gpu-1: {{said: {said}}}}}}}\n")
        (self.work / "ansible.cfg").write_text("[defaults]\nstdout_callback = json\n")  # for people
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", said)
        return self.git("rev-parse", "HEAD")

    def ask(self, repository: str) -> None:
        asked = {"repository": repository, "version": "main", "folder": "site", "key": str(self.key), "host": "gpu-1"}
        (self.files / "pull.json").write_text(json.dumps(asked))

    def pull(self) -> tuple[dict[str, t.Any], str]:
        """What it recorded, and what it printed."""
        options = {"release": self.folder, "files": self.files, "data": self.data, "python": sys.executable}
        command = [sys.executable, str(ROOT / "catalog" / "pull.py")]
        command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        hosts = f"-o UserKnownHostsFile={self.folder}/known_hosts -o IdentityAgent=none"
        environment = {**os.environ, "GIT_SSH_COMMAND": f"ssh -o BatchMode=yes {hosts}"}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        recorded: dict[str, t.Any] = json.loads((self.data / "last-pull.json").read_text())
        assert recorded["rc"] == done.returncode, done.stdout
        return recorded, done.stdout


def server_user() -> str:
    return subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def host() -> t.Iterator[Host]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    server = Server(folder / "sshd", find(ROOT / ".cache" / "tests"))
    found = Host(folder, server)
    found.commit("first")
    found.first = found.pull()
    yield found
    server.stop()
    shutil.rmtree(folder)


def test_it_pulls_with_its_key_and_records_what_it_did(host: Host) -> None:
    recorded, said = host.first
    made = host.git("rev-list", "--max-parents=0", "HEAD")
    assert (recorded["rc"], recorded["commit"], recorded["reason"], recorded["log"]) == (0, made, "", []), said
    assert (host.data / "last-run.json").read_text().startswith(f"local False {host.data}/last-run.json ")
    assert stat.S_IMODE((host.data / "checkout").stat().st_mode) == 0o700
    assert stat.S_IMODE((host.data / "last-pull.json").stat().st_mode) == 0o644


def test_what_a_power_cut_left_is_fetched_anew(host: Host) -> None:
    """And so is what somebody changed in the checkout."""
    checkout = host.data / "checkout"
    made = host.commit("second")
    (checkout / ".git" / "index.lock").touch()
    (checkout / "site" / "rbee.yml").write_text("changed: by hand\n")
    for part in (checkout / ".git" / "objects").rglob("*"):
        if part.is_file():
            part.chmod(0o644)
            part.write_bytes(b"")
    recorded, said = host.pull()
    assert (recorded["rc"], recorded["commit"]) == (0, made), said
    assert (host.data / "last-run.json").read_text().endswith(" second")


def test_a_repository_that_cannot_be_had_changes_nothing_and_says_why(host: Host) -> None:
    host.commit("third")
    before = (host.data / "last-run.json").read_text()
    (host.folder / "known_hosts").write_text("")
    recorded, said = host.pull()
    assert recorded["rc"] != 0
    assert recorded["reason"].endswith("Host key verification failed.")
    assert recorded["log"][0] in said
    assert (host.data / "last-run.json").read_text() == before
    (host.folder / "known_hosts").write_text(host.server.known())
