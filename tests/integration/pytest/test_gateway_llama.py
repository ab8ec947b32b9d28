# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real model behind the real queen: llama.cpp with SmolLM2, asked through HAProxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayWorker
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_queen import Queen, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

CHAT = "/v1/chat/completions"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def port(
    llama_cpp: Entry,
    llama_cpp_environment: pathlib.Path,
    smollm2: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> t.Iterator[int]:
    """Where the catalog's llama.cpp serves the model."""
    files, port = tmp_path_factory.mktemp("llama"), free_port()
    for file in llama_cpp.files:
        (files / file.path).write_text(file.content)
    values = {
        "release": llama_cpp_environment,
        "files": files,
        "address": "127.0.0.1",
        "port": port,
        "model": MODEL,
        "model_path": smollm2,
    }
    command = [word.format(**values) for word in (*llama_cpp.command, *llama_cpp.model_command)]
    with (files / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def queen(tmp_path_factory: pytest.TempPathFactory, llama_cpp: Entry, port: int) -> t.Iterator[Queen]:
    worker = GatewayWorker("h1", "llama-cpp", "llama-cpp", "127.0.0.1", port, (MODEL,), llama_cpp.health.path)
    queen = Queen(tmp_path_factory.mktemp("queen"), Gateway("lab", workers=(worker,), api_key_secret="key"))
    queen.wait()
    timeout = llama_cpp.health.timeout
    wait_until(lambda: queen.get("/workers/h1/llama-cpp/health").status == 200, "llama.cpp to be up", timeout)
    yield queen
    queen.close()


def chat(content: str, **options: t.Any) -> dict[str, t.Any]:
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, **options, "model": MODEL}


def requests_in_progress(queen: Queen) -> int:
    metrics = queen.get("/workers/h1/llama-cpp/metrics").body.decode()
    line = next(line for line in metrics.splitlines() if line.startswith("llamacpp:requests_processing "))
    return int(line.split()[1])


def test_a_question_is_answered(queen: Queen) -> None:
    answer = queen.post(CHAT, chat("What is 2+2?", max_tokens=16)).json
    assert answer["model"] == MODEL and "4" in answer["choices"][0]["message"]["content"]


def test_a_stream_comes_to_its_end(queen: Queen) -> None:
    with queen.stream(chat("Tell a long story.", max_tokens=40, ignore_eos=True, stream=True)) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = [line for line in response.read().split(b"\n\n") if line]
    assert events[-1] == b"data: [DONE]" and len(events) > 30


def test_words_arrive_while_the_model_writes_and_a_client_that_hangs_up_frees_it(queen: Queen) -> None:
    with queen.stream(chat("Tell a long story.", max_tokens=100_000, ignore_eos=True, stream=True)) as response:
        assert response.readline().startswith(b"data: {")
        assert requests_in_progress(queen) == 1
    wait_until(lambda: requests_in_progress(queen) == 0, "llama.cpp to stop")


def test_a_prompt_of_several_hundred_kilobytes_reaches_the_model_and_its_answer_comes_through_unchanged(
    queen: Queen, port: int
) -> None:
    body = chat("The quick brown fox jumps over the lazy dog. " * 9000)
    assert len(json.dumps(body)) > 400_000
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as client:
        client.request("POST", CHAT, json.dumps(body), {"Content-Type": "application/json"})
        response = client.getresponse()
        status, direct = response.status, response.read()
    answer = queen.post(CHAT, body)
    assert (answer.status, answer.body) == (status, direct)
    assert status == 400 and json.loads(direct)["error"]["type"] == "exceed_context_size_error"
