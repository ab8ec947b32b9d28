# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines by their command lines, as /proc shows them on machines where people started them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._engines import Engine, recognise

VENV = "/home/ops/venv/bin/python3.12"


def read(line: str, environ: t.Mapping[str, str] | None = None, folder: str = "/") -> Engine:
    found = recognise(line.split(" "), environ or {}, folder)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{VENV} /home/ops/venv/bin/vllm serve org/m", "vllm"),
        ("vllm serve org/m", "vllm"),
        ("python3 -m vllm.entrypoints.openai.api_server --model org/m", "vllm"),
        ("python3 -u -W ignore -m vllm.entrypoints.openai.api_server --model org/m", "vllm"),
        ("python -m vllm.entrypoints.cli.main serve org/m", "vllm"),
        ("/usr/bin/python3 /opt/vllm/vllm/entrypoints/openai/api_server.py --model org/m", "vllm"),
        ("/usr/local/bin/llama-server -m m.gguf", "llama-cpp"),
        ("./llama-server-vulkan -m m.gguf", "llama-cpp"),
        ("/srv/ComfyUI/venv/bin/python /srv/ComfyUI/main.py", "comfyui"),
        ("python main.py --listen --lowvram", "comfyui"),
        ("/usr/local/bin/ollama serve", "ollama"),
    ],
)
def test_an_engine_is_recognised_however_it_was_started(line: str, kind: str) -> None:
    assert read(line).type == kind


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bash -c vllm serve org/m",
        "vim /etc/systemd/system/llama-server.service",
        "python3 -c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)",
        "VLLM::EngineCore",
        "vllm bench serve",
        "ollama run llama3",
        "ollama runner --model /usr/share/ollama/.ollama/models/blobs/sha256-6a0746a1ec1a --port 40001",
        "docker run --gpus all vllm/vllm-openai --model org/m",
        "python main.py",
        "python3 /srv/app/main.py --port 8000",
        "tail -f llama-server.log",
        "python3",
        "python3 -m",
    ],
)
def test_everything_else_is_none(line: str) -> None:
    assert recognise(line.split(" "), {}, "/srv") is None


def test_what_a_vllm_was_told() -> None:
    found = read(
        f"{VENV} /home/ops/venv/bin/vllm serve meta-llama/Llama-3-8b --host 0.0.0.0 --port=8001 --revision v2"
        " --served-model-name llama big-llama --max-model-len 8192 --enable-prefix-caching --tensor_parallel_size 2",
        {
            "CUDA_VISIBLE_DEVICES": "0,1",
            "VLLM_LOGGING_LEVEL": "DEBUG",
            "PATH": "/bin",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        },
    )
    assert found == Engine(
        "vllm",
        8001,
        model="meta-llama/Llama-3-8b",
        revision="v2",
        names=("llama", "big-llama"),
        visible=("CUDA_VISIBLE_DEVICES", "0,1"),
        order="PCI_BUS_ID",
        arguments=("--max-model-len", "8192", "--enable-prefix-caching", "--tensor_parallel_size", "2"),
        env={"VLLM_LOGGING_LEVEL": "DEBUG"},
    )


def test_what_a_llama_server_was_told() -> None:
    found = read(
        "llama-server -hf ggml-org/gemma-3-1b-it-GGUF:Q4_K_M -a gemma -ngl 99 -c 8192 --metrics"
        " --device CUDA1,CUDA3 -t -1"
    )
    assert (found.port, found.model, found.names) == (8080, "ggml-org/gemma-3-1b-it-GGUF:Q4_K_M", ("gemma",))
    assert (found.devices, found.arguments) == ((1, 3), ("-ngl", "99", "-c", "8192", "-t", "-1"))


def test_variables_of_llama_server_are_options_that_the_command_line_overrides() -> None:
    environ = {"LLAMA_ARG_MODEL": "/m/a.gguf", "LLAMA_ARG_PORT": "9000", "LLAMA_ARG_CTX_SIZE": "4096"}
    found = read("llama-server --port 9001", environ)
    assert (found.port, found.model, found.env) == (9001, "/m/a.gguf", {"LLAMA_ARG_CTX_SIZE": "4096"})


def test_devices_that_have_no_number_of_ours_stay_arguments() -> None:
    assert read("llama-server -m a.gguf -dev Vulkan1").arguments == ("--device", "Vulkan1")
    assert read("llama-server -m a.gguf --device none").devices == ()


def test_what_comfyui_and_ollama_were_told() -> None:
    found = read("python main.py --listen --port 8189 --cuda-device 1 --base-directory /data --lowvram", folder="/srv")
    assert (found.port, found.devices, found.folder, found.arguments) == (8189, (1,), "/data", ("--lowvram",))
    assert read("python /srv/ComfyUI/main.py --listen 0.0.0.0").arguments == ()
    for host, port in (("0.0.0.0:11500", 11500), ("http://10.0.0.1:80/", 80), ("0.0.0.0", 11434), ("[::1]:9", 9)):
        assert read("ollama serve", {"OLLAMA_HOST": host}).port == port


@pytest.mark.parametrize(
    ("line", "environ", "hidden"),
    [
        ("vllm serve org/m --api-key s3cret", {}, ["--api-key"]),
        ("vllm serve org/m --api-key s3cret s3cret2 --seed 1", {}, ["--api-key"]),
        ("vllm serve org/m --api-key=s3cret", {}, ["--api-key"]),
        ("vllm serve org/m --hf_token s3cret", {}, ["--hf-token"]),
        ("llama-server -m a.gguf --api-key s3cret", {}, ["--api-key"]),
        ("llama-server -m a.gguf -hft s3cret", {}, ["-hft"]),
        ("llama-server -mu https://me:s3cret@example.com/a.gguf", {}, ["-mu"]),
        ("llama-server -m a.gguf --proxy http://me:s3cret@example.com", {}, ["--proxy"]),
        ("vllm serve org/m --hf-overrides {\"token\":\"s3cret\"}", {}, ["--hf-overrides"]),
        ("vllm serve org/m --extra=sk-s3crets3crets3cret", {}, ["--extra"]),
        ("vllm serve org/m sk-s3crets3crets3cret", {}, ["an argument"]),
        ("vllm serve org/m", {"VLLM_API_KEY": "s3cret"}, ["VLLM_API_KEY"]),
        ("llama-server -m a.gguf", {"LLAMA_API_KEY": "s3cret", "HF_TOKEN": "s3cret"}, ["LLAMA_API_KEY"]),
        ("llama-server", {"LLAMA_ARG_MODEL_URL": "https://me:s3cret@example.com/a.gguf"}, ["LLAMA_ARG_MODEL_URL"]),
    ],
)  # fmt: skip
def test_what_may_be_a_secret_goes_no_further_than_its_name(
    line: str, environ: dict[str, str], hidden: list[str]
) -> None:
    found = read(line, environ)
    assert list(found.hidden) == hidden
    assert "s3cret" not in repr(found)


def test_what_only_sounds_like_a_secret_stays() -> None:
    line = "vllm serve org/m --max-num-batched-tokens 8192 --tokenizer org/t --skip-tokenizer-init"
    assert read(line).hidden == ()
    assert read(line).arguments == ("--max-num-batched-tokens", "8192", "--tokenizer", "org/t", "--skip-tokenizer-init")
