# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.lock over the life of a fleet: real playbooks, a collection that becomes newer, a stand-in for the hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import sys
import typing as t
import zipfile

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Lock
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import COMMIT, Hub, Repository
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import ENGINE, NEEDS, ROOT, Machine, machine

pytestmark = NEEDS

LATER = "decade" + "0" * 34
WEIGHTS = os.urandom(100_000)
RBEE = """
    fleet = {{ name = "locked", scope = "user", prefix = "{prefix}" }}
    queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
    """
HIVES = """
    [[hive]]
    alias = "desk"
    hostname = "localhost"
    hive_port = {hive}
    workers = [{{ type = "echo", model = "org/m" }}]
    """
MODELS = """
    [[model]]
    name = "org/m"
    """
TYPE = """
    kind = "worker"
    summary = "answers with its arguments"
    port = {port}
    model = "optional"
    command = ["{{python}}", "{{release}}/engine.py", "{{address}}", "{{port}}", "{said}"]
    model_command = ["{{model_path}}"]
    health.path = "/health"
    [[release]]
    version = "{version}"
    [release.source.any]
    kind = "file"
    name = "engine.py"
    url = "{url}"
    sha256 = "{sha256}"
    """
TOOL = """
    kind = "tool"
    summary = "the client that the tests have"
    [[release]]
    version = "1"
    [release.source.any]
    kind = "archive"
    url = "{url}"
    sha256 = "{sha256}"
    """


class Fleet:
    """A hive on this machine, installed by a copy of the collection whose catalog has the type ``echo``."""

    def __init__(self, found: Machine, hub: Hub, hf: pathlib.Path) -> None:
        self.machine, self.hub, self.lock = found, hub, found.folder / "rbee.lock"
        found.collections = found.folder / "collections"
        self.collection = found.collections / "ansible_collections" / "rbee" / "fleet"
        self.collection.mkdir(parents=True)
        for name in ("plugins", "playbooks", "roles", "meta", "catalog"):
            shutil.copytree(ROOT / name, self.collection / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("galaxy.yml", "LICENSE"):
            shutil.copy(ROOT / name, self.collection)
        found.environment |= {"HF_ENDPOINT": hub.url}
        self._publish_client(hf)
        self.publish("1")
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        found.write("models.conf", MODELS)
        self.declare(HIVES)

    def declare(self, hives: str) -> None:
        self.machine.write("hives.conf", hives.format(**self.machine.ports))

    def publish(self, version: str) -> None:
        """The collection becomes one whose catalog has this version of ``echo``, run in its own way, and no other."""
        engine = self.machine.folder / f"engine-{version}.py"
        engine.write_text(f"{ENGINE}# {version}\n")
        digest = hashlib.sha256(engine.read_bytes()).hexdigest()
        more = {"version": version, "said": f"as-{version}", "url": engine.as_uri(), "sha256": digest}
        entry = TYPE.format(port=self.machine.ports["engine"], **more)
        (self.collection / "catalog" / "echo.toml").write_text(entry)

    def _publish_client(self, hf: pathlib.Path) -> None:
        archive = self.machine.folder / "hf.zip"
        with zipfile.ZipFile(archive, "w") as file:
            about = zipfile.ZipInfo("bin/hf")
            about.external_attr = 0o755 << 16
            file.writestr(about, f'#!/bin/sh\nexec {hf}/bin/hf "$@"\n')
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        (self.collection / "catalog" / "huggingface.toml").write_text(TOOL.format(url=archive.as_uri(), sha256=digest))

    def play(self, *options: str, playbook: str = "install") -> tuple[int, str]:
        """Exit code and what was said."""
        done = self.machine.play(f"rbee.fleet.{playbook}", "-i", "rbee.yml", *options)
        said = done.stdout + done.stderr
        sys.stdout.write(said)  # shown when the test fails
        assert "Traceback" not in said
        return done.returncode, " ".join(said.split())

    @contextlib.contextmanager
    def hub_for_the_hive_alone(self) -> t.Iterator[None]:
        """The controller cannot reach the hub meanwhile, and the hive can."""
        python, settings = self.machine.folder / "python", self.machine.folder / "host_vars" / "desk.yml"
        python.write_text(f'#!/bin/sh\nHF_ENDPOINT={self.hub.url} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.machine.write("host_vars/desk.yml", f"ansible_python_interpreter: {python}\n")
        self.machine.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
        yield
        settings.unlink()
        self.machine.environment["HF_ENDPOINT"] = self.hub.url

    def install(self, *options: str) -> str:
        status, said = self.play(*options)
        assert status == 0
        return said

    def changed(self) -> dict[str, t.Any]:
        """The steps that the last run took, by component."""
        run = json.loads((self.machine.folder / ".rbee" / "last-run.json").read_text())
        return {item["name"]: item["steps"] for item in run["hosts"]["desk"]["components"] if item["changed"]}

    def releases(self) -> set[str]:
        """The names of all releases of workers and models."""
        return {path.name for kind in ("releases", "models") for path in (self.machine.prefix / kind).glob("*/*")}

    def read(self) -> Lock:
        return _load.read_lock(self.lock)

    def served(self) -> str:
        """The arguments of the worker: how the catalog runs it, and where its model lies."""
        status, body = self.machine.get("engine", "/")
        assert status == 200
        return body

    def process(self) -> str:
        """What changes when the worker is started anew."""
        words = "\0".join(["engine.py", "127.0.0.1", str(self.machine.ports["engine"])])
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # of others, which end meanwhile
                if words in path.read_text(errors="replace"):
                    found.append(path.parent.name)
        (pid,) = found
        return pid


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path, huggingface_environment: pathlib.Path) -> t.Iterator[Fleet]:
    files = {"config.json": b"{}", "README.md": b"one", "m.safetensors": WEIGHTS}
    with Hub() as hub, machine(supervisor_environment) as found:
        hub.repositories["org/m"] = Repository(files, frozenset({"m.safetensors"}))
        yield Fleet(found, hub, huggingface_environment)


def test_a_dry_run_tells_and_writes_nothing(fleet: Fleet) -> None:
    said = fleet.install("--check", "--diff")
    assert "rbee.lock would be written:" in said and "echo: 1" in said and f"org/m: {COMMIT[:12]}" in said
    assert re.search(r"\+\([0-9]+ lines\)", said) and '+echo = "1"' not in said
    assert not fleet.lock.exists() and not fleet.machine.prefix.exists()


def test_an_installation_without_the_hub_is_not_kept_from_its_work(fleet: Fleet) -> None:
    fleet.hub.secretive = True
    said = fleet.install()
    fleet.hub.secretive = False
    assert "org/m is not locked" in said and "Service unavailable" in said
    assert fleet.read().models == {} and fleet.read().latest["echo"] == "1"
    assert fleet.served().startswith("as-1 ")


def test_a_controller_that_cannot_reach_the_hub_asks_a_hive(fleet: Fleet) -> None:
    before = fleet.lock.read_bytes()
    with fleet.hub_for_the_hive_alone():
        said = fleet.install("--check", "--diff")
    assert f"org/m: {COMMIT[:12]}" in said and "is not locked" not in said
    assert fleet.lock.read_bytes() == before


def test_what_is_installed_already_is_locked_and_neither_fetched_nor_restarted(fleet: Fleet) -> None:
    fleet.hub.asked.clear()
    before = fleet.process(), fleet.served()
    assert f"org/m: {COMMIT[:12]}" in fleet.install()
    changed = fleet.changed()
    assert changed["model-org-m"] == ["record receipt"] and "echo" not in changed
    assert (fleet.process(), fleet.served()) == before and fleet.hub.asked == []
    assert fleet.read().models["org/m"].commit == COMMIT
    assert stat.S_IMODE(fleet.lock.stat().st_mode) == 0o644


def test_a_second_run_changes_nothing_and_asks_nobody(fleet: Fleet) -> None:
    before = fleet.lock.stat()
    fleet.hub.told.clear()
    assert fleet.machine.changes("rbee.fleet.install", "-i", "rbee.yml", "-e", "rbee_frozen=true") == 0
    after = fleet.lock.stat()
    assert (after.st_ino, after.st_mtime_ns, fleet.hub.told) == (before.st_ino, before.st_mtime_ns, [])


def test_what_is_locked_stays_when_the_catalog_and_the_hub_move_on(fleet: Fleet) -> None:
    fleet.publish("2")
    fleet.hub.repositories["org/m"].move(LATER, {"README.md": b"two"})
    before = fleet.lock.read_bytes(), fleet.process()
    assert fleet.machine.changes("rbee.fleet.install", "-i", "rbee.yml") == 0
    assert (fleet.lock.read_bytes(), fleet.process()) == before
    status, said = fleet.play("--check", playbook="sync")
    assert status == 0 and "echo: 1 -> 2" in said


def test_a_one_off_may_name_a_version_that_the_lock_alone_holds(fleet: Fleet) -> None:
    words = ("hive=desk", "type=echo", "version=1", "name=second", "port=65000")
    options = [part for word in words for part in ("-e", word)]
    status, said = fleet.play("--check", *options, playbook="install_worker")
    assert status == 0 and "worker second: would write hives.conf" in said


def test_what_is_temporary_is_not_for_the_lock(fleet: Fleet) -> None:
    folder = fleet.machine.folder / ".rbee"
    (folder / "temporary.conf").write_text('[[hive]]\nalias = "desk"\nworkers = ["comfyui"]\n')
    before = fleet.lock.read_bytes()
    assert "comfyui" in fleet.install("--check", "-e", "rbee_frozen=true", "-e", "rbee_only=comfyui")
    assert fleet.lock.read_bytes() == before
    (folder / "temporary.conf").unlink()


def test_the_dry_run_of_an_update_names_what_the_update_then_does(fleet: Fleet) -> None:
    before = fleet.lock.read_bytes()
    said = fleet.install("--check", "--diff", "-e", "rbee_update=true")
    assert "rbee.lock would be changed:" in said and "echo: 1 -> 2" in said
    assert f"org/m: {COMMIT[:12]} -> {LATER[:12]}" in said
    assert fleet.lock.read_bytes() == before
    wanted, had = set(re.findall(r"fetch release (\w+)", said)), fleet.releases()
    assert len(wanted) == 2 and not wanted & had  # of the worker and of the model
    fleet.hub.asked.clear()
    fleet.install("-e", "rbee_update=true")
    assert wanted == fleet.releases() - had
    assert fleet.served().startswith("as-2 ")
    # The weights are those that were here.
    assert {asked.path for asked in fleet.hub.asked} == {"config.json", "README.md"}


def test_an_update_with_nothing_new_changes_nothing(fleet: Fleet) -> None:
    before = fleet.lock.stat().st_ino
    assert fleet.machine.changes("rbee.fleet.install", "-i", "rbee.yml", "-e", "rbee_update=true") == 0
    assert fleet.lock.stat().st_ino == before


def test_what_leaves_the_configuration_leaves_the_lock(fleet: Fleet) -> None:
    fleet.declare(HIVES.replace("workers", "# workers"))
    status, said = fleet.play("-e", "rbee_frozen=true")
    assert status != 0 and "rbee.lock does not fit the configuration: echo" in said
    said = fleet.install()
    assert "echo: 2, no longer used" in said
    assert not {"echo", "huggingface"} & fleet.read().latest.keys() and fleet.read().models == {}


def test_a_model_that_is_brought_by_hand_is_locked_first(fleet: Fleet) -> None:
    fleet.hub.repositories["org/late"] = Repository({"config.json": b"{}"})
    waiting = '[[model]]\nname = "org/late"\nhives = ["desk"]\npre_download = false\n'
    fleet.machine.write("models.conf", waiting)
    assert fleet.play(playbook="models")[0] == 0
    wanted = ("-e", "model=org/late")
    status, said = fleet.play("--check", *wanted, playbook="models")
    assert status == 0 and f"org/late: {COMMIT[:12]}" in said
    assert fleet.read().models == {}  # neither a list nor a dry run writes it
    (release,) = re.findall(r"fetch release (\w+)", said)
    assert fleet.play(*wanted, playbook="models")[0] == 0
    assert fleet.read().models["org/late"].commit == COMMIT
    assert release in fleet.releases()


def test_what_a_hive_was_told_is_in_the_lock_and_nobody_asks_again(fleet: Fleet) -> None:
    fleet.machine.write("models.conf", MODELS)
    fleet.declare(HIVES)
    with fleet.hub_for_the_hive_alone():
        fleet.install()
        fleet.hub.told.clear()
        assert fleet.machine.changes("rbee.fleet.install", "-i", "rbee.yml", "-e", "rbee_frozen=true") == 0
    assert fleet.read().models["org/m"].commit == LATER and fleet.hub.told == []
    assert fleet.served().startswith("as-2 ")
