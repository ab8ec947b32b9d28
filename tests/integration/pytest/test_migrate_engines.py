# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that nobody declared, as real processes, and the machines that migrate is given."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _machine
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Device, Found
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine as Given
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate import Migration
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_fleet import Installed, Looked
from ansible_collections.rbee.fleet.tests.integration.pytest import ssh_server
from ansible_collections.rbee.fleet.tests.integration.pytest.engine_stand_in import Engines
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import ROOT, Machine

SECRET = "s3cret-of-the-test"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TWO = Found((Device("nvidia", 0, "H100", "GPU-aa"), Device("nvidia", 1, "H100", "GPU-bb")))


@pytest.fixture
def engines(tmp_path: pathlib.Path) -> t.Iterator[Engines]:
    found = Engines(tmp_path)
    yield found
    found.stop()


def look(pids: t.Collection[int]) -> list[dict[str, t.Any]]:
    """What is found of these processes and their children; other tests may run engines beside them."""
    found = _machine.look(gpus=lambda: TWO)
    assert SECRET not in json.dumps(found)
    return [engine for engine in found["engines"] if _group(engine["pid"]) in pids]


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def test_engines_are_found_by_their_processes_and_declared(engines: Engines, tmp_path: pathlib.Path) -> None:
    hub = tmp_path / ".cache" / "huggingface" / "hub"
    for repository in ("org/m", "org/g"):
        ref = hub / f"models--{repository.replace('/', '--')}" / "refs" / "main"
        ref.parent.mkdir(parents=True)
        ref.write_text(COMMIT)
    gguf = hub / "models--org--g" / "snapshots" / COMMIT / "g.gguf"
    ports = [free_port() for _number in range(4)]
    pids = [
        engines.start(
            ports[0], "bin/vllm", "serve", "org/m", "--port", str(ports[0]), "--api-key", SECRET, "--seed", "1",
            CUDA_VISIBLE_DEVICES="GPU-bb", VLLM_API_KEY=SECRET, VLLM_LOGGING_LEVEL="DEBUG", HF_TOKEN=SECRET,
        ),
        engines.start(ports[1], "bin/llama-server", "-m", str(gguf), LLAMA_ARG_PORT=str(ports[1])),
        engines.start(ports[2], "ComfyUI/main.py", "--listen", "--port", str(ports[2])),
        engines.start(ports[3], "bin/ollama", "serve", OLLAMA_HOST=f"127.0.0.1:{ports[3]}"),
    ]  # fmt: skip
    found = look(pids)
    assert {engine["pid"]: (engine["type"], engine["port"]) for engine in found} == {
        pid: (kind, port)
        for pid, kind, port in zip(pids, ("vllm", "llama-cpp", "comfyui", "ollama"), ports, strict=True)
    }

    catalog = _load.merged_catalog()
    migration = Migration([Looked(Given("desk", "localhost"), engines=found)], Installed(), catalog)
    fleet = _config.parse(migration.texts, catalog, str(tmp_path))
    workers = {worker.type: worker for worker in fleet.hives[0].workers}
    assert set(workers) == {"vllm", "llama-cpp", "comfyui"}
    assert (workers["vllm"].port, workers["vllm"].model, workers["vllm"].gpus) == (ports[0], "org/m", (1,))
    assert (workers["vllm"].args, workers["vllm"].env) == (("--seed", "1"), {"VLLM_LOGGING_LEVEL": "DEBUG"})
    assert (workers["llama-cpp"].port, workers["llama-cpp"].model) == (ports[1], "org/g")
    models = {model.name: (model.revision, model.file) for model in fleet.models}
    assert models == {"org/m": (COMMIT, ""), "org/g": (COMMIT, "g.gguf")}
    assert any("no worker type 'ollama'" in note for note in migration.notes)
    assert any("--api-key, VLLM_API_KEY may be secret" in note for note in migration.notes)


def test_an_engine_that_was_told_no_port_is_found_where_it_listens(engines: Engines) -> None:
    port = free_port()
    (found,) = look([engines.start(port, "bin/llama-server", "--models-dir", "models")])
    assert (found["port"], found["model"], found["folder"]) == (port, None, "models")


def test_a_service_that_does_not_run_is_told(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    units = engines.folder / ".config/systemd/user"
    units.mkdir(parents=True)
    (units / "vllm.service").write_text("[Service]\nExecStart=/opt/vllm/bin/vllm serve org/m --port 8001\n")
    (units / "rbee-vllm.service").write_text("[Service]\nExecStart=/opt/vllm/bin/vllm serve org/m\n")
    (units / "other.service").write_text("[Service]\nExecStart=/bin/true\n")
    monkeypatch.setenv("HOME", str(engines.folder))
    monkeypatch.delenv("SUDO_UID", raising=False)
    found = [one for one in _machine.look()["engines"] if one["of_user"]]
    assert [(one["unit"], one["state"], one["port"]) for one in found] == [("vllm.service", "stopped", 8001)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_who_is_not_root_sees_what_there_is_to_see(engines: Engines) -> None:
    port = free_port()
    pid = engines.start(port, "bin/vllm", "serve", "org/m", "--port", str(port), CUDA_VISIBLE_DEVICES="0")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        os.write(writing, json.dumps(_machine.look(gpus=lambda: TWO)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        found = json.load(stream)
    os.waitpid(child, 0)
    assert "without the rights of root" in found["blind"]
    (engine,) = [one for one in found["engines"] if one["pid"] == pid]
    assert (engine["port"], engine["gpus"]) == (port, None)


# The playbook


OLDER = """
Host localhost
    HostName 127.0.0.1
    User {user}
    HivePort 8081
    BinaryPath /usr/local/bin/rbee-hive
"""
QUIET = ("-e", "scope=user", "-e", "engines=false", "-e", "prefixes=/nowhere/at/all")


@pytest.fixture
def project(tmp_path: pathlib.Path) -> t.Iterator[Machine]:
    with contextlib.closing(Machine(tmp_path)) as found:
        yield found


def test_the_older_format_becomes_toml_in_another_folder(project: Machine) -> None:
    older = project.folder / ".config" / "rbee" / "hives.conf"
    older.parent.mkdir(parents=True)
    older.write_text(OLDER.format(user=getpass.getuser()))
    done = project.play("rbee.fleet.migrate", *QUIET)
    assert done.returncode == 2
    assert f"{older} is in the older format and is not overwritten" in done.stdout + done.stderr
    done = project.play("rbee.fleet.migrate", *QUIET, "-e", f"hives_conf={older}", "-e", "config=new")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Note: localhost: BinaryPath was not taken over" in done.stdout
    (hive,) = _load.load(str(project.folder / "new"))[0].hives
    assert (hive.alias, hive.hostname, hive.connection, hive.hive_port) == ("local-hive", "localhost", "local", 8081)
    assert older.read_text().startswith("\nHost localhost")


def test_nothing_is_written_when_a_machine_cannot_be_looked_at(project: Machine) -> None:
    hosts = f"hosts=here=localhost,far=127.0.0.1:{free_port()}"
    done = project.play("rbee.fleet.migrate", *QUIET, "-e", "config=new", "-e", hosts)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and "Traceback" not in said
    assert "Nothing was written. far could not be looked at: Failed to connect to the host via ssh" in said
    assert not (project.folder / "new").exists()
    done = project.play("rbee.fleet.migrate", *QUIET, "-e", "config=new", "-e", hosts, "-e", "without=far", "--check")
    assert done.returncode == 0 and f"{project.folder}/new: would write rbee.conf" in done.stdout
    assert not (project.folder / "new").exists()


@pytest.fixture
def server(tmp_path: pathlib.Path) -> t.Iterator[ssh_server.Server]:
    found = ssh_server.Server(tmp_path / "sshd", ssh_server.find(ROOT / ".cache"))
    yield found
    found.stop()


def test_a_machine_of_an_inventory_is_looked_at_by_ssh_as_it_says(project: Machine, server: ssh_server.Server) -> None:
    key = server.new_key("me")
    server.admit(key)
    known = project.folder / "known"
    known.write_text(server.known())
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": server.ports[0],
        "ansible_ssh_private_key_file": str(key),
        # The path of a socket in this folder may be too long.
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o ControlPath=none",
    }
    project.write("all.json", json.dumps({"gpus": {"hosts": {"gpu-1": variables}}, "web": {"hosts": {"web-1": {}}}}))
    options = ("-e", "config=new", "-e", "from_inventory=all.json", "-e", "group=gpus")
    done = project.play("rbee.fleet.migrate", *QUIET, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gpu-1: nothing that runs models\n" in done.stdout
    assert "Note: ansible_ssh_private_key_file of gpu-1 was not taken over" in done.stdout
    (hive,) = _load.load(str(project.folder / "new"))[0].hives
    assert (hive.alias, hive.hostname, hive.ssh_port, hive.connection) == ("gpu-1", "127.0.0.1", server.ports[0], "ssh")
