# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook models, and what serves models: llama.cpp's own server with a real model, behind a real queen."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tarfile
import typing as t
import urllib.error
import urllib.request

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import Hub, Repository
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

RBEE = """
    fleet = {{ name = "play", fetch = "controller", scope = "user", prefix = "{prefix}" }}
    queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
    """
HIVES = """
    [[hive]]
    alias = "desk"
    hostname = "localhost"
    hive_port = {hive}
    models = {models}
    workers = ["llama", {{ type = "llama", name = "solo", port = {solo}, model = "alone" }}]
    """
FILE = """
    [[model]]
    name = "{name}"
    source = "file"
    path = "{path}"
    sha256 = "{sha256}"
    """
LATER = """
    [[model]]
    name = "org/later"
    hives = ["desk"]
    pre_download = false
    """
LLAMA = """
    kind = "worker"
    summary = "llama.cpp's own server"
    port = {port}
    model = "required"
    model_format = "gguf"
    command = ["/bin/sh", "{{release}}/llama-server", "--host", "{{address}}", "--port", "{{port}}", "--parallel", "1"]
    model_command = ["--model", "{{model_path}}", "--alias", "{{model}}"]
    models_command = ["--models-preset", "{{files}}/models.ini", "--models-max", "1"]
    files."models.ini" = {{ each_model = "[{{model}}]\\nmodel = {{model_path}}\\n" }}
    health = {{ path = "/health", timeout = 120 }}
    [[release]]
    version = "1"
    source.any = {{ kind = "file", name = "llama-server", path = "{path}", sha256 = "{sha256}" }}
    """
CLIENT = """
    kind = "tool"
    summary = "hf"
    [[release]]
    version = "1"
    source.any = {{ kind = "archive", url = "file://{path}", sha256 = "{sha256}" }}
    """
WEIGHTS = os.urandom(100_000)


@dataclasses.dataclass
class Fleet:
    """A hive on this machine that is its queen's, too; and the hub that it knows."""

    machine: Machine
    hub: Hub
    solo: int

    def declare(self, *models: str) -> None:
        text = HIVES.format(models=json.dumps(models), solo=self.solo, **self.machine.ports)
        self.machine.write("hives.conf", text)

    def models(self, *options: str) -> subprocess.CompletedProcess[str]:
        done = self.machine.play("rbee.fleet.models", "-i", "rbee.yml", *options)
        sys.stdout.write(done.stdout + done.stderr)  # shown when the test fails
        assert "Traceback" not in done.stderr
        return done

    def changes(self, *options: str) -> int:
        return self.machine.changes("rbee.fleet.models", "-i", "rbee.yml", *options)

    def refused(self, *options: str) -> str:
        """What a run that fails says, on one line."""
        done = self.models(*options)
        assert done.returncode not in (0, None)
        return " ".join((done.stdout + done.stderr).split())

    def listed(self) -> dict[str, dict[str, t.Any]]:
        """The models of the hive, by name."""
        path = self.machine.folder / "models.json"
        assert self.models("-e", f"rbee_models_json={path}").returncode == 0
        self.host = json.loads(path.read_text())["hosts"]["desk"]
        return {model["name"]: model for model in self.host["models"]}

    def has(self, name: str) -> bool:
        """Whether there are files of a model, by the name of its component."""
        return any((self.machine.prefix / "models" / f"model-{name}").glob("*"))

    def served(self) -> list[str]:
        return [model["id"] for model in json.loads(self.machine.get("queen", "/v1/models")[1])["data"]]

    def ask(self, model: str) -> tuple[int, dict[str, t.Any]]:
        """What the queen answers to a question for a model, once she has seen its worker."""
        answers: list[tuple[int, dict[str, t.Any]]] = []
        wait_until(lambda: answers.append(self._ask(model)) or answers[-1][0] != 503)
        return answers[-1]

    def _ask(self, model: str) -> tuple[int, dict[str, t.Any]]:
        body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "What is 2+2?"}]}
        url = f"http://127.0.0.1:{self.machine.ports['queen']}/v1/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def fleet(
    supervisor_environment: pathlib.Path,
    huggingface_environment: pathlib.Path,
    llama_server: pathlib.Path,
    smollm2: pathlib.Path,
) -> t.Iterator[Fleet]:
    """An installed fleet, which every test leaves as it is declared."""
    with machine(supervisor_environment) as found, Hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        fleet = Fleet(found, hub, free_port())
        for name in ("later", "extra"):
            hub.repositories[f"org/{name}"] = Repository({"config.json": b"{}", "model.safetensors": WEIGHTS})
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        sha256 = hashlib.sha256(smollm2.read_bytes()).hexdigest()
        files = [FILE.format(name=name, path=smollm2, sha256=sha256) for name in ("org/one", "two", "alone")]
        found.write("models.conf", "".join([*files, LATER]))
        program = found.folder / "llama-server"
        program.write_text(f'exec {shlex.quote(str(llama_server))} "$@"\n')
        write_entry(found, "llama", LLAMA, program, port=found.ports["engine"])
        write_entry(found, "huggingface", CLIENT, client(found.folder, huggingface_environment))
        fleet.declare("org/one", "two")
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # with rbee.lock
        yield fleet
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 1


def write_entry(found: Machine, name: str, text: str, path: pathlib.Path, **values: t.Any) -> None:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    found.write(f"catalog/{name}.toml", text.format(path=path, sha256=sha256, **values))


def client(folder: pathlib.Path, environment: pathlib.Path) -> pathlib.Path:
    """The client of Hugging Face that is here already, as an archive."""
    path = folder / "client.tar"
    with tarfile.open(path, "w") as archive:
        program = tarfile.TarInfo("bin/hf")
        text = f'#!/bin/sh\nexec {shlex.quote(str(environment))}/bin/hf "$@"\n'.encode()
        program.size, program.mode = len(text), 0o755
        archive.addfile(program, io.BytesIO(text))
    return path


def test_a_worker_without_a_model_serves_those_of_its_hive_on_demand(fleet: Fleet) -> None:
    assert fleet.served() == ["alone", "org/one", "two"]
    for model in fleet.served():
        status, answer = fleet.ask(model)
        assert (status, answer["model"]) == (200, model)
        assert answer["usage"]["completion_tokens"] > 0
    assert fleet.ask("org/later")[0] == 404


def test_the_list_says_what_is_there_and_who_uses_it(fleet: Fleet) -> None:
    found = fleet.listed()
    assert {name: model["used_by"] for name, model in found.items()} == {
        "org/one": ["llama"],
        "two": ["llama"],
        "alone": ["solo"],
    }
    assert {(model["declared"], model["installed"]) for model in found.values()} == {(True, True)}
    assert found["two"]["bytes"] > 90_000_000
    assert fleet.host["free_bytes"] > 0


def test_a_model_that_a_worker_serves_is_not_removed(fleet: Fleet) -> None:
    said = fleet.refused("-e", "model=org/one,alone", "-e", "state=absent")
    assert "model-org-one: failed: is served by llama; remove that, or give it another model, first" in said
    assert "model-alone: failed: is served by solo" in said
    assert "org/one is declared for desk: the next install brings it back" in said
    assert fleet.ask("org/one")[0] == 200


def test_a_model_that_is_not_declared_for_any_hive_needs_one(fleet: Fleet) -> None:
    assert "--limit HIVE, where HIVE is one of desk, or --limit rbee_hives" in fleet.refused("-e", "model=org/extra")
    assert not fleet.has("org-extra")


def test_what_is_not_downloaded_beforehand_comes_when_it_is_asked_for(fleet: Fleet) -> None:
    assert not fleet.has("org-later")
    assert fleet.changes("-e", "model=org/later") == 1
    assert fleet.has("org-later")


def test_a_model_is_downloaded_by_hand_listed_adopted_and_removed(fleet: Fleet) -> None:
    wanted = ("-e", "model=org/extra", "--limit", "desk")
    assert fleet.changes(*wanted, "--check") == 1
    assert not fleet.has("org-extra")
    assert [fleet.changes(*wanted), fleet.changes(*wanted)] == [1, 0]
    found = fleet.listed()["org/extra"]
    assert (found["installed"], found["declared"], found["used_by"]) == (True, False, [])
    assert (found["version"], found["bytes"]) == ("main", len(WEIGHTS) + 2)
    before = (fleet.machine.folder / "models.conf").read_text()
    adopt = fleet.machine.play("rbee.fleet.sync", "-i", "rbee.yml", "-e", "rbee_extra=adopt")
    assert adopt.returncode == 0, adopt.stdout + adopt.stderr
    added = (fleet.machine.folder / "models.conf").read_text().removeprefix(before)
    assert added == '\n[[model]]\nname = "org/extra"\nhives = ["desk"]\n'
    fleet.machine.write("models.conf", before)
    assert fleet.changes("-e", "model=org/extra,org/later", "-e", "state=absent") == 1
    assert not fleet.has("org-extra") and not fleet.has("org-later")


def test_a_download_that_failed_is_listed_and_can_be_discarded(fleet: Fleet) -> None:
    fleet.hub.damaged.add("model.safetensors")
    wanted = ("-e", "model=org/extra", "-e", "fetch=host", "--limit", "desk")
    assert "model.safetensors of org/extra is not the expected file" in fleet.refused(*wanted)
    fleet.hub.damaged.clear()
    assert "org/extra" not in fleet.listed()
    (begun,) = fleet.host["downloads"]
    assert (begun["repository"], begun["revision"]) == ("org--extra", "main")
    assert fleet.changes("-e", "model=org/extra", "-e", "state=absent") == 1
    assert not list((fleet.machine.prefix / "cache").glob("hub-*"))


def test_the_queen_follows_and_a_model_that_was_served_before_can_be_removed(fleet: Fleet) -> None:
    fleet.declare("org/one")
    fleet.machine.changes("rbee.fleet.install", "-i", "rbee.yml")
    wait_until(lambda: fleet.served() == ["alone", "org/one"])  # while HAProxy's old process ends
    assert fleet.ask("two")[0] == 404
    assert fleet.changes("-e", "model=two", "-e", "state=absent") == 1
    assert not fleet.has("two")
    assert fleet.ask("org/one")[0] == 200


OWN = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    rbee.fleet.models:
      scope: user
      prefix: {prefix}
      models: [{{ name: weights, url: "{url}", sha256: {sha256} }}]
  tasks:
    - rbee.fleet.models:
      register: first
    - rbee.fleet.models:
      register: second
    - rbee.fleet.models:
        state: absent
      register: third
    - rbee.fleet.models:
        state: absent
      register: fourth
    - ansible.builtin.assert:
        that:
          - first.components | map(attribute="state") == ["installed"]
          - third.components | map(attribute="state") == ["removed"]
          - first is changed and second is not changed and third is changed and fourth is not changed
    - rbee.fleet.models:
        models: [{{ name: weights, ulr: "{url}" }}]
"""


def test_an_inventory_of_ones_own_needs_no_configuration(supervisor_environment: pathlib.Path) -> None:
    with machine(supervisor_environment) as found, Hub() as hub:
        hub.repositories["org/m"] = Repository({"m.bin": WEIGHTS})
        url, sha256 = f"{hub.url}/org/m/resolve/main/m.bin", hashlib.sha256(WEIGHTS).hexdigest()
        found.write("site.yml", OWN.format(prefix=found.prefix, url=url, sha256=sha256))
        done = found.play("site.yml")
        said = " ".join((done.stdout + done.stderr).split())
        assert "models: ulr: unknown key; did you mean 'url'?" in said, said
        assert [asked.path for asked in hub.asked] == ["m.bin"]
        assert not list(found.prefix.glob("models/*"))
