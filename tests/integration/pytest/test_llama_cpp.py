# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog's llama-cpp entry: its own command, runner and environment, serving a real model."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import pathlib
import signal
import subprocess
import time
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Entry
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclasses.dataclass
class Server:
    """A running worker. log: what it said so far."""

    process: subprocess.Popen[bytes]
    port: int
    log: pathlib.Path
    health: Health

    def request(self, path: str, body: t.Any = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def chat(self, question: str, model: str = MODEL) -> dict[str, t.Any]:
        messages = [{"role": "user", "content": question}]
        body = {"model": model, "messages": messages, "max_tokens": 24, "temperature": 0}
        status, answer = self.request("/v1/chat/completions", body)
        assert status == 200, answer
        found: dict[str, t.Any] = json.loads(answer)
        return found

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + self.health.timeout
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def wait_for_health(self) -> None:
        """Ready is what the catalog says; a process that died is an error at once."""
        deadline = time.monotonic() + self.health.timeout
        while True:
            with contextlib.suppress(ConnectionError):
                if self.request(self.health.path)[0] == 200:
                    return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


Start = t.Callable[..., Server]


@pytest.fixture(scope="module")
def start(
    llama_cpp: Entry,
    llama_cpp_environment: pathlib.Path,
    smollm2: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> t.Iterator[Start]:
    """Starts the entry's command as a host does, with further arguments of the user's own."""
    running = contextlib.ExitStack()

    def run(*arguments: str, model: pathlib.Path = smollm2) -> Server:
        files = tmp_path_factory.mktemp("files")
        for file in llama_cpp.files:
            (files / file.path).write_text(file.content)
        port = free_port()
        values = {
            "release": llama_cpp_environment,
            "files": files,
            "address": "127.0.0.1",
            "port": port,
            "model": MODEL,
            "model_path": model,
        }
        command = [word.format(**values) for word in (*llama_cpp.command, *llama_cpp.model_command, *arguments)]
        log = files / "log"
        with open(log, "wb") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
        running.callback(end, process)
        return Server(process, port, log, llama_cpp.health)

    with running:
        yield run


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    found = start()
    found.wait_for_health()
    return found


def test_it_answers_a_chat_request(server: Server) -> None:
    answer = server.chat("What is 2+2?")
    assert "4" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


def test_it_serves_the_model_under_the_name_clients_use(server: Server) -> None:
    _status, answer = server.request("/v1/models")
    assert [model["id"] for model in json.loads(answer)["data"]] == [MODEL]
    assert server.chat("Say hello.")["model"] == MODEL


def test_it_counts_what_it_does(server: Server) -> None:
    server.chat("Say hello.")
    status, metrics = server.request("/metrics")
    counters = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert status == 200
    assert float(counters["llamacpp:tokens_predicted_total"]) > 0


def test_the_arguments_of_a_user_are_those_of_llama_server(start: Start) -> None:
    server = start("--ctx-size", "512", "-np", "1")
    server.wait_for_health()
    _status, answer = server.request("/props")
    assert json.loads(answer)["default_generation_settings"]["n_ctx"] == 512
    assert json.loads(answer)["total_slots"] == 1


def test_it_stops_cleanly_on_sigterm_while_it_serves(start: Start) -> None:
    server = start()
    server.wait_for_log(f"serving {MODEL} on 127.0.0.1:{server.port}")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0


def test_it_stops_on_sigterm_while_the_model_loads(start: Start) -> None:
    server = start()
    server.wait_for_log("load")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) in (0, -signal.SIGTERM)


def test_it_ends_at_once_without_a_model_it_can_read(start: Start, tmp_path: pathlib.Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but not really")
    server = start(model=broken)
    assert server.process.wait(timeout=60) not in (0, None)
    assert "broken.gguf" in server.log.read_text()


def test_an_argument_it_does_not_know_is_named(start: Start) -> None:
    server = start("--ctx-sise", "512")
    assert server.process.wait(timeout=60) == 2
    assert "--ctx-sise" in server.log.read_text()
