# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as AWX does them: through ansible-runner, from an inventory that was read before, nobody to ask and no home.

AWX itself needs a cluster. What it hands to ansible-runner is made here in the same way: a project that cannot be
written, the inventory as data, the ssh key for an agent, survey answers as text, a credential in the environment.
The files and the commands are those of docs/awx.md.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.plugin_utils._run_variables import VARIABLES
from ansible_collections.rbee.fleet.tests import pages
from ansible_collections.rbee.fleet.tests.integration.pytest import play_machine
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.ssh_server import Server, find

ROOT = pathlib.Path(__file__).resolve().parents[3]
NO_HOME = "/proc/none"  # nobody can make it
KEY = "sesame-for-tests-only"
PLAYBOOKS = ("install", "status", "sync", "uninstall")
IMAGE, BUILD, BUILD_IMAGE, INSTALL, RUN = pages.steps((ROOT / "docs/awx.md").read_text())
# An image needs a registry. What stands in for podman keeps what it is asked to do.
PODMAN_STAND_IN = '#!/bin/sh\necho "$@" >>asked\n'


class Awx:
    """A private data folder of ansible-runner, and the server that its one hive is reached through."""

    def __init__(self, folder: pathlib.Path, programs: pathlib.Path, server: Server) -> None:
        self.folder, self.programs, self.server = folder, programs, server
        self.prefix = folder / "prefix"
        key = server.new_key("id_ed25519")
        server.admit(key)
        (folder / "known_hosts").write_text(server.known())
        project = folder / "project"
        project.mkdir()
        for name, text in self._project().items():
            (project / name).write_text(text)
        (project / ".rbee").write_text("so that root cannot write there either\n")
        project.chmod(0o555)
        (folder / "env").mkdir()
        shutil.copy(key, folder / "env" / "ssh_key")
        (folder / "inventory").mkdir()
        (folder / "imported.json").write_text(self._imported())
        (folder / "inventory" / "hosts").write_text(f"#!/bin/sh\nexec cat {folder}/imported.json\n")
        (folder / "inventory" / "hosts").chmod(0o755)

    def _project(self) -> dict[str, str]:
        ports = [free_port(), free_port()]
        return {
            "rbee.yml": "plugin: rbee.fleet.hives\n",
            "rbee.conf": f'[fleet]\nname = "awx"\nscope = "user"\nprefix = "{self.prefix}"\n'
            f'[queen]\nmode = "attached-hive"\nattached_hive_alias = "h"\nport = {ports[0]}\n'
            'api_key = "env:RBEE_API_KEY"\n',
            "hives.conf": f'[[hive]]\nalias = "h"\nhostname = "127.0.0.1"\nconnection = "ssh"\n'
            f"ssh_port = {self.server.ports[0]}\nhive_port = {ports[1]}\n",
            **{INSTALL.name.replace("install", name): INSTALL.content.replace("install", name) for name in PLAYBOOKS},
        }

    def _imported(self) -> str:
        """What AWX keeps of an inventory source."""
        source = self.folder / "project" / "rbee.yml"
        command = [self.programs / "ansible-inventory", "-i", source, "--list", "--export"]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=True)
        return done.stdout

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.programs), os.defpath, "/usr/sbin", "/sbin"])
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),  # AWX sets it to a folder of its own too
            "ANSIBLE_SSH_COMMON_ARGS": f"-o UserKnownHostsFile={self.folder}/known_hosts",
            "HOME": NO_HOME,
            "LC_ALL": "C.UTF-8",
            "PATH": path,
            "RBEE_API_KEY": KEY,
        }

    def job(self, playbook: str, survey: t.Mapping[str, t.Any] | None = None, options: str = "") -> Job:
        (self.folder / "env" / "extravars").write_text(json.dumps(survey or {}))
        (self.folder / "env" / "cmdline").write_text(options)
        artifacts = self.folder / "artifacts"
        shutil.rmtree(artifacts, ignore_errors=True)
        command = pages.filled_in(RUN.text, {"FOLDER": str(self.folder), INSTALL.name: f"{playbook}.yml"})
        done = subprocess.run(
            ["bash", "-c", command],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            start_new_session=True,  # without a terminal
            check=False,
        )
        events = [json.loads(path.read_text()) for path in artifacts.glob("*/job_events/*.json")]
        return Job(done.returncode, done.stdout, events)


class Job(t.NamedTuple):
    """One that has ended: exit code, output, events."""

    status: int
    said: str
    events: list[dict[str, t.Any]]

    @property
    def artifacts(self) -> t.Any:
        """What AWX keeps as artifacts."""
        (last,) = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return last["event_data"]["artifact_data"].get("rbee_run")

    @property
    def changed(self) -> int:
        (last,) = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return sum(last["event_data"]["changed"].values())


@pytest.fixture(scope="module")
def programs() -> pathlib.Path:
    """The programs of an environment with ansible-runner and ansible-builder."""
    made = subprocess.run(
        [sys.executable, ROOT / "script" / "bootstrap.py", "awx", "--python", sys.executable],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return pathlib.Path(made.stdout.strip()) / "bin"


@pytest.fixture(scope="module")
def awx(programs: pathlib.Path, supervisor_environment: pathlib.Path) -> t.Iterator[Awx]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    server = Server(folder / "sshd", find(ROOT / ".cache" / "tests"))
    found = Awx(folder, programs, server)
    try:
        yield found
    finally:
        if (found.prefix / "supervisor").exists():
            SupervisorManager(str(found.prefix), str(supervisor_environment)).shutdown()
        server.stop()
        (folder / "project").chmod(0o755)
        shutil.rmtree(folder)


def needs(test: t.Any) -> t.Any:
    for mark in play_machine.NEEDS:
        test = mark(test)
    return test


@needs
def test_job_templates_install_show_compare_and_remove(awx: Awx) -> None:
    texts = {name: "false" for name, variable in VARIABLES.items() if variable.check.__name__ == "_boolean"}
    install = awx.job("install", {**texts, "rbee_verify": "", "rbee_extra": ""})
    assert install.status == 0, install.said
    assert install.artifacts["action"] == "install"
    assert install.artifacts["hosts"] == {"h": "changed"}
    assert KEY not in install.said + json.dumps(install.events)
    status = awx.job("status", {"rbee_verify": "deep"})
    assert (status.status, status.changed) == (0, 0), status.said
    shutil.rmtree(awx.prefix / "components" / "hive" / "current" / "files")
    drift = awx.job("sync", options="--check --diff")
    assert (drift.status, drift.artifacts["result"]) == (2, "drift"), drift.said
    gone = awx.job("uninstall", {"rbee_purge": "true"})
    assert (gone.status, gone.artifacts["hosts"]) == (0, {"h": "changed"}), gone.said
    assert not awx.prefix.exists()


def test_mistakes_of_a_survey_and_of_job_tags_touch_no_host(awx: Awx) -> None:
    job = awx.job("install", {"rbee_forse": "true", "rbee_verify": "depe", "rbee_purge": "maybe"}, "--tags wrokers")
    assert job.status == 2
    for mistake in (
        "rbee_forse: unknown variable; did you mean 'rbee_force'?",
        "rbee_verify: unknown value; did you mean 'deep'?",
        "rbee_purge: expected true or false, not 'maybe'",
        "tag wrokers: unknown; did you mean 'workers'?",
    ):
        assert mistake in job.said
    assert not awx.prefix.exists()
    job = awx.job("install", options="--tags engines")  # and so with --skip-tags of one of ours
    assert job.status == 2 and "Nothing of the fleet is left by --tags engines." in job.said


def test_the_image_of_the_documentation_has_the_collection_and_what_it_needs(
    programs: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / IMAGE.name).write_text(IMAGE.content)
    podman = tmp_path / "bin" / "podman"
    podman.parent.mkdir()
    podman.write_text(PODMAN_STAND_IN)
    podman.chmod(0o755)
    path = os.pathsep.join([str(podman.parent), str(programs), os.defpath])
    for command in (BUILD.text.replace("PATH/OF/THE/CLONE", str(ROOT)), BUILD_IMAGE.text):
        subprocess.run(["bash", "-c", command], cwd=tmp_path, env={"PATH": path, "LC_ALL": "C.UTF-8"}, check=True)
    assert (tmp_path / "asked").read_text() == "build -f context/Containerfile -t rbee-fleet context\n"
    assert "docker.io/redhat/ubi9:latest" in (tmp_path / "context" / "Containerfile").read_text()
    built = tmp_path / "context" / "_build" / "collections" / "rbee-fleet-0.1.0.tar.gz"
    place = tmp_path / "ansible_collections" / "rbee" / "fleet"
    shutil.unpack_archive(built, place)
    # What the Containerfile calls for each collection in the image.
    command = [programs / "ansible-builder", "introspect", tmp_path, "--write-pip", "pip", "--write-bindep", "bindep"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    wanted = {line.split("#")[0].strip() for line in (tmp_path / "pip").read_text().splitlines()}
    assert wanted == {"paramiko", "tomli", "tomlkit"}
    assert "openssh-clients [platform:rpm]" in (tmp_path / "bindep").read_text()
