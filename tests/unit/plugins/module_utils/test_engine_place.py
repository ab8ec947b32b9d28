# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an engine that somebody else started is, by what the kernel, systemd and the cache of Hugging Face say."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _engine_place
from ansible_collections.rbee.fleet.plugins.module_utils._engine_place import Origin
from ansible_collections.rbee.fleet.plugins.module_utils._engines import Engine
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Device, Found

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = "/home/ops/.cache/huggingface/hub"


def origin(engine: Engine, files: t.Mapping[str, str] | None = None, **environ: str) -> Origin | None:
    known = files or {}
    return _engine_place.origin_of(engine, "/srv", environ, known.__contains__, lambda path: known.get(path, ""))


@pytest.mark.parametrize(
    ("engine", "found"),
    [
        (Engine("vllm", 1, model="org/m"), Origin("org/m")),
        (Engine("vllm", 1, model="org/m", revision="v2"), Origin("org/m", "v2")),
        (Engine("vllm", 1, model="/m/llama"), Origin(path="/m/llama")),
        (Engine("vllm", 1, model=f"{HUB}/models--org--m-8b/snapshots/{COMMIT}/"), Origin("org/m-8b", COMMIT)),
        (
            Engine("llama-cpp", 1, model=f"hub/models--org--m/snapshots/{COMMIT}/q4/m.gguf"),
            Origin("org/m", COMMIT, "q4/m.gguf"),
        ),
        (Engine("llama-cpp", 1, model="m.gguf"), Origin(path="/srv/m.gguf")),
        (Engine("llama-cpp", 1, model="models/m.gguf"), Origin(path="/srv/models/m.gguf")),
        (Engine("llama-cpp", 1, model="org/m:Q8_0"), Origin("org/m", quantisation="Q8_0")),
        (Engine("llama-cpp", 1, model="org/m", file="m.gguf"), Origin("org/m", file="m.gguf")),
        (Engine("llama-cpp", 1, url="https://x/m.gguf"), Origin(url="https://x/m.gguf")),
        (Engine("llama-cpp", 1), None),
        (Engine("comfyui", 1), None),
    ],
)
def test_where_a_model_is_from(engine: Engine, found: Origin | None) -> None:
    assert origin(engine) == found


def test_a_folder_of_that_name_is_no_repository() -> None:
    assert origin(Engine("vllm", 1, model="org/m"), {"/srv/org/m": ""}) == Origin(path="/srv/org/m")


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/ops"}, HUB),
        ({"HOME": "/home/ops", "HF_HOME": "/hf"}, "/hf/hub"),
        ({"HF_HUB_CACHE": "/cache", "HF_HOME": "/hf"}, "/cache"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
    ],
)
def test_the_commit_is_the_one_that_was_fetched(environ: dict[str, str], folder: str) -> None:
    files = {f"{folder}/models--org--m/refs/main": f"{COMMIT}\n", f"{folder}/models--org--m/refs/v2": "f" * 40}
    assert origin(Engine("vllm", 1, model="org/m"), files, **environ) == Origin("org/m", COMMIT)
    assert origin(Engine("vllm", 1, model="org/m", revision="v2"), files, **environ) == Origin("org/m", "f" * 40)
    assert origin(Engine("vllm", 1, model="org/m", revision="v3"), files, **environ) == Origin("org/m", "v3")


@pytest.mark.parametrize(
    ("groups", "container", "unit"),
    [
        ("0::/system.slice/vllm.service\n", "", ("vllm.service", False)),
        ("0::/system.slice/system-llama.slice/llama@0.service\n", "", ("llama@0.service", False)),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/comfyui.service\n",
            "",
            ("comfyui.service", True),
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "", ("", False)),
        ("0::/user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope\n", "", ("", False)),
        ("0::/system.slice/ssh.service\n", "", ("", False)),
        ("0::/system.slice/docker-3f2a9c1b7d44" + "0" * 52 + ".scope\n", "docker 3f2a9c1b7d44", ("", False)),
        ("12:cpu:/docker/3f2a9c1b7d44" + "0" * 52 + "\n0::/\n", "docker 3f2a9c1b7d44", ("", False)),
        (
            "0::/machine.slice/libpod-3f2a9c1b7d44" + "0" * 52 + ".scope/container\n",
            "podman 3f2a9c1b7d44",
            ("", False),
        ),
        (
            "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-3f2a9c1b7d44" + "0" * 52 + ".scope\n",
            "cri-containerd 3f2a9c1b7d44",
            ("", False),
        ),
        ("0::/kubepods/burstable/pod1/3f2a9c1b7d44" + "0" * 52 + "\n", "kubernetes 3f2a9c1b7d44", ("", False)),
        ("0::/\n", "", ("", False)),
    ],
)
def test_what_runs_it_is_in_its_control_groups(groups: str, container: str, unit: tuple[str, bool]) -> None:
    assert _engine_place.container_of(groups) == container
    assert _engine_place.unit_of(groups) == unit


UNIT = """
[Unit]
Description=vLLM
[Service]
Environment=CUDA_VISIBLE_DEVICES=0 "VLLM_A=b c"
EnvironmentFile=/etc/vllm.env
ExecStartPre=/usr/bin/true
ExecStart=-/opt/vllm/bin/vllm serve org/m \\
    --port 8001
"""


def test_the_commands_of_a_service() -> None:
    ((words, environ),) = _engine_place.commands_in(UNIT)
    assert words == ["/opt/vllm/bin/vllm", "serve", "org/m", "--port", "8001"]
    assert environ == {"CUDA_VISIBLE_DEVICES": "0", "VLLM_A": "b c"}
    ((words, _environ),) = _engine_place.commands_in("ExecStart=/bin/bash -lc 'x' -c \"exec vllm serve org/m\"")
    assert words == ["vllm", "serve", "org/m"]
    assert _engine_place.commands_in('ExecStart=/bin/a "b') == [(["/bin/a", '"b'], {})]
    assert _engine_place.commands_in("ExecStart=\n") == []


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
   2: 00000000000000000000000000000000:1F40 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4713 1 0 100 0 0 10 0
"""


def test_ports_are_those_of_listening_sockets() -> None:
    assert _engine_place.listening(TCP) == {"4711": 8080, "4713": 8000}


def test_the_port_is_the_one_that_was_told_as_far_as_it_listens_there() -> None:
    engine = Engine("vllm", 8000)
    assert [_engine_place.port_of(engine, ports) for ports in ({8000, 7}, {9001, 9000}, set())] == [8000, 9000, 8000]


def test_only_the_first_process_of_an_engine_counts() -> None:
    parents = {10: 1, 11: 10, 12: 11, 20: 1, 30: 20, 40: 99, 99: 40}
    kinds = {10: "vllm", 12: "vllm", 20: "llama-cpp", 30: "vllm", 40: "vllm"}
    assert _engine_place.leaders(kinds, lambda pid: parents.get(pid, 0)) == [10, 20, 30, 40]


CARDS = Found(
    (
        Device("nvidia", 0, "H100", "GPU-aaaa"),
        Device("nvidia", 1, "H100", "GPU-bbbb"),
        Device("amd", 2, "MI300", "0xcc"),
        Device("nvidia", 3, "MIG", "MIG-dddd", parent="GPU-aaaa"),
    )
)


@pytest.mark.parametrize(
    ("visible", "devices", "gpus"),
    [
        (None, (), None),
        (("CUDA_VISIBLE_DEVICES", ""), (), []),
        (("CUDA_VISIBLE_DEVICES", "-1"), (), []),
        (("CUDA_VISIBLE_DEVICES", "1,0"), (), [1, 0]),
        (("CUDA_VISIBLE_DEVICES", "GPU-bb, MIG-dddd"), (), [1, 3]),
        (("ROCR_VISIBLE_DEVICES", "0"), (), [2]),
        (("CUDA_VISIBLE_DEVICES", "1,0"), (1,), [0]),
        (None, (1,), [1]),
    ],
)
def test_gpus_are_numbered_as_ours_are(
    visible: tuple[str, str] | None, devices: tuple[int, ...], gpus: list[int] | None
) -> None:
    assert _engine_place.gpus_of(Engine("vllm", 1, visible=visible, devices=devices), CARDS) == (gpus, "")


def test_what_is_uncertain_about_gpus_is_said() -> None:
    told = Engine("vllm", 1, visible=("CUDA_VISIBLE_DEVICES", "5"))
    assert _engine_place.gpus_of(told, CARDS)[1].endswith("this host has no such GPU")
    assert _engine_place.gpus_of(told, Found(None, "a driver hangs"))[1].endswith("a driver hangs")
    mixed = Found((Device("nvidia", 0, "T4"), Device("nvidia", 1, "H100")))
    told = Engine("vllm", 1, visible=("CUDA_VISIBLE_DEVICES", "0"))
    gpus, reason = _engine_place.gpus_of(told, mixed)
    assert gpus == [0] and "these GPUs differ" in reason
    by_address = Engine("vllm", 1, visible=("CUDA_VISIBLE_DEVICES", "0"), order="PCI_BUS_ID")
    assert _engine_place.gpus_of(by_address, mixed) == ([0], "")
