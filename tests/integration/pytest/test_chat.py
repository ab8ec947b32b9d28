# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook chat: a real model behind a real queen, asked, and brought to a hive where nobody serves it yet."""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import shlex
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import Hub, Repository
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine
from ansible_collections.rbee.fleet.tests.integration.pytest.test_models import (
    CLIENT,
    FILE,
    LLAMA,
    WEIGHTS,
    client,
    write_entry,
)

pytestmark = NEEDS

KEY = "a-key-that-nobody-is-shown"
RBEE = """
    fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
    queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen}, api_key = "env:CHAT_KEY" }}
    """
HIVES = """
    [[hive]]
    alias = "desk"
    hostname = "localhost"
    hive_port = {hive}
    workers = [{{ type = "llama", model = "alone" }}]
    """


@pytest.fixture(scope="module")
def found(
    supervisor_environment: pathlib.Path,
    huggingface_environment: pathlib.Path,
    llama_server: pathlib.Path,
    smollm2: pathlib.Path,
) -> t.Iterator[Machine]:
    """An installed hive on this machine that serves one model, and a hub with others."""
    with machine(supervisor_environment) as found, Hub() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("CHAT_KEY", KEY)
        weights = smollm2.read_bytes()
        hub.repositories["org/fresh"] = Repository({"fresh.Q4_K_M.gguf": weights, "fresh.Q2_K.gguf": WEIGHTS})
        hub.repositories["org/tensors"] = Repository({"config.json": b"{}", "model.safetensors": WEIGHTS})
        found.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        found.write("hives.conf", HIVES.format(**found.ports))
        sha256 = hashlib.sha256(weights).hexdigest()
        found.write("models.conf", FILE.format(name="alone", path=smollm2, sha256=sha256))
        program = found.folder / "llama-server"
        program.write_text(f'exec {shlex.quote(str(llama_server))} "$@"\n')
        write_entry(found, "llama", LLAMA, program, port=found.ports["engine"])
        write_entry(found, "huggingface", CLIENT, client(found.folder, huggingface_environment))
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # the hive and rbee.lock
        yield found
        assert (found.folder / ".rbee" / "temporary.conf").exists()
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 2  # that file, too
        assert not (found.folder / ".rbee" / "temporary.conf").exists()


def chat(found: Machine, *words: str, status: int = 0) -> str:
    """What a run shows. words: variables."""
    options = [part for word in ("prompt=What is 2+2?", *words) for part in ("-e", quoted(word))]
    done = found.play("rbee.fleet.chat", "-i", "rbee.yml", "-v", *options)
    sys.stdout.write(done.stdout + done.stderr)  # shown when the test fails
    assert KEY not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert done.returncode == status
    return done.stdout + done.stderr


def quoted(word: str) -> str:
    name, _sign, value = word.partition("=")
    return f"{name}={shlex.quote(value)}"


def answered(said: str) -> tuple[list[str], int]:
    """The lines of the answer, and how many tokens the engine counted."""
    match = re.search(r"TASK \[Ask\] \*+\n(.*?)^ok: \[localhost\] => (.*)", said, re.MULTILINE | re.DOTALL)
    assert match
    tokens = re.search(r'"completion_tokens": (\d+)', match[2])
    return match[1].splitlines(), int(tokens[1]) if tokens else 0


def test_the_only_model_that_is_served(found: Machine) -> None:
    lines, tokens = answered(chat(found, "system=Answer in one word.", "max_tokens=12"))
    assert any(lines) and 0 < tokens <= 12


def test_a_model_that_nobody_serves_is_brought_first(found: Machine) -> None:
    before = (found.folder / "hives.conf").read_text(), (found.folder / "models.conf").read_text()
    said = chat(found, "model=org/fresh", "max_tokens=8")
    assert re.search(r"Nobody serves org/fresh yet. It goes to desk: .* of memory, .* on the disk free.", said)
    assert "It is downloaded first, 93.8 MiB; the temporary worker llama-fresh (llama, port " in said
    assert any(answered(said)[0])
    assert ((found.folder / "hives.conf").read_text(), (found.folder / "models.conf").read_text()) == before
    assert 'file = "fresh.Q4_K_M.gguf"' in (found.folder / ".rbee" / "temporary.conf").read_text()
    assert "Nobody serves" not in chat(found, "model=org/fresh", "max_tokens=2")
    assert "several models are served; name one with -e model=NAME: alone, org/fresh" in chat(found, status=2)


def test_what_cannot_be_met_says_why(found: Machine) -> None:
    said = chat(found, "model=org/tensors", status=2)
    assert "fits on no hive. desk: none of its workers is of a type that serves safetensors models" in said
    assert "no model alon; did you mean 'alone'?" in chat(found, "model=alon", status=2)
    assert "rbee_serve=false says not to bring it" in chat(found, "model=org/tensors", "rbee_serve=false", status=2)


def test_a_model_whose_worker_was_stopped_is_to_be_started(found: Machine) -> None:
    assert found.changes("rbee.fleet.stop", "-i", "rbee.yml", "--tags", "workers") == 1
    wait_until(lambda: all(not one["up"] for one in json.loads(found.get("queen", "/v1/load", KEY)[1])["models"]))
    assert "start --limit desk -e rbee_only=llama" in chat(found, "model=alone", status=2)
