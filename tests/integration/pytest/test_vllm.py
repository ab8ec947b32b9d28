# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog's vllm entry: installed by the playbook on this machine, it serves a model behind the queen.

2 GB are downloaded and a start takes a minute or two, so it runs in the tier ``long`` only. What it took is printed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _events, _plan
from ansible_collections.rbee.fleet.tests.integration.pytest import vllm_model
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = [*NEEDS, pytest.mark.long]

MODEL = "tiny"
SERVER, ENGINE = "api_server", "VLLM::EngineCore"  # what the titles of processes hold; the second has the model
START_TIMEOUT = 600  # seconds
CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": """
        fleet = {{ name = "long", scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}

        [[hive.workers]]
        type = "vllm"
        variant = "cpu"
        port = {vllm}
        model = "{model}"
        args = [
            "--load-format", "dummy", "--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "256",
            "--max-num-seqs", "2", "--kv-cache-memory-bytes", "67108864",
        ]
        """,
    "models.conf": """
        [[model]]
        name = "{model}"
        source = "file"
        path = "{archive}"
        sha256 = "{sha256}"
        """,
}


def package_locations() -> dict[str, str]:
    """Where pip of this machine looks besides PyPI, as uv's variables: uv does not read pip's settings."""
    pip = [getattr(sys, "_base_executable", sys.executable), "-m", "pip", "config", "list"]
    said = subprocess.run(pip, capture_output=True, text=True, check=False).stdout
    found = {key: value.split() for key, value in re.findall(r"^[^=]*\.([a-z-]+)='(.*)'$", said, re.MULTILINE)}
    if "find-links" not in found:
        return {}
    # They have PyTorch's builds, so that PyTorch's own index, which may be out of reach, need not be asked.
    return {"UV_FIND_LINKS": ",".join(found["find-links"]), "UV_TORCH_BACKEND": ""}


class Served:
    """An installed fleet."""

    def __init__(self, found: Machine) -> None:
        self.machine = found

    def took(self, first: str, last: str) -> float:
        """Seconds from one step of the worker's installation to another."""
        (journal,) = (self.machine.prefix / "journal").glob("*.jsonl")
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        steps = [event for event in events if (event["event"], event.get("component")) == (_events.STEP, "vllm")]
        times = {event["step"]: event["time"] for event in steps}
        return float(times[last] - times[first])

    def processes(self) -> dict[int, str]:
        """Title of each process that works in the worker's folder."""
        folder, found = str(self.machine.prefix / "data" / "vllm"), {}
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(path / "cwd") == folder:
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def titled(self, title: str) -> set[int]:
        return {pid for pid, found in self.processes().items() if title in found}

    def is_up(self) -> bool:
        return self.machine.get("queen", "/workers/desk/vllm/health")[0] == 200

    @contextlib.contextmanager
    def ask(self, **options: t.Any) -> t.Iterator[http.client.HTTPResponse]:
        """The queen's answer to a question, as soon as its head is there."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "ignore_eos": True, **options}
        client = http.client.HTTPConnection("127.0.0.1", self.machine.ports["queen"], timeout=120)
        with contextlib.closing(client):
            client.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            with client.getresponse() as response:
                assert response.status == 200, response.read()
                yield response


@pytest.fixture(scope="module")
def served(supervisor_environment: pathlib.Path) -> t.Iterator[Served]:
    with machine(supervisor_environment) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in package_locations().items():
            patch.setenv(name, value)
        archive = found.folder / "tiny.tar"
        found.ports["vllm"] = free_port()
        values = {"prefix": found.prefix, "model": MODEL, "archive": archive, "sha256": vllm_model.archive(archive)}
        for name, text in CONFIGURATION.items():
            found.write(name, text.format(**values, **found.ports) if name != "rbee.yml" else text)
        play(found, "install")
        yield Served(found)
        play(found, "uninstall", "-e", "rbee_purge=true")
        assert not found.prefix.exists()


def play(found: Machine, playbook: str, *options: str) -> None:
    done = found.play(f"rbee.fleet.{playbook}", "-i", "rbee.yml", *options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_model_is_listed_and_answers(served: Served) -> None:
    _status, models = served.machine.get("queen", "/v1/models")
    assert [model["id"] for model in json.loads(models)["data"]] == [MODEL]
    began = time.monotonic()
    with served.ask(max_tokens=8) as response:
        answer = json.loads(response.read())
    first = time.monotonic() - began
    assert answer["model"] == MODEL and answer["usage"]["completion_tokens"] == 8
    sys.stdout.write(
        f"vLLM on the CPU: environment built in {served.took(_plan.FETCH, _plan.WRITE):.0f} s, ready after"
        f" {served.took(_plan.GATE, _plan.RECORD):.0f} s, first answer of 8 tokens in {first:.2f} s\n"
    )


def test_its_words_arrive_one_by_one(served: Served) -> None:
    with served.ask(max_tokens=200, stream=True) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.readline().startswith(b"data: {")
        status, metrics = served.machine.get("queen", "/workers/desk/vllm/metrics")
        assert status == 200 and re.search(r"^vllm:num_requests_running\{.*\} 1\.0$", metrics, re.MULTILINE)
        events = [line for line in response.read().split(b"\n\n") if line]
    assert events[-1] == b"data: [DONE]"


def test_a_killed_server_takes_its_engine_with_it_and_is_started_again(served: Served) -> None:
    (server,), engines = served.titled(SERVER), served.titled(ENGINE)
    assert engines
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: served.titled(SERVER) - {server} and not served.titled(ENGINE) & engines)
    wait_until(lambda: not served.is_up())
    wait_until(served.is_up, START_TIMEOUT)
    with served.ask(max_tokens=8) as response:
        assert json.loads(response.read())["usage"]["completion_tokens"] == 8


def test_a_stop_ends_all_its_processes(served: Served) -> None:
    assert served.titled(ENGINE)
    play(served.machine, "stop", "--tags", "workers")
    wait_until(lambda: served.processes() == {})
