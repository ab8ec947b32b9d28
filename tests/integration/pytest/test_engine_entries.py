# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Catalog entries of engines that cannot be had here, with stand-ins in their place, behind the queen of one fleet.

comfyui is ours: an archive and an environment. sglang is what the guide to types of one's own shows, whose files are
written and whose commands are typed here, in their order.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import socket
import tarfile
import typing as t
import urllib.request

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _starter
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import parse_entry
from ansible_collections.rbee.fleet.tests import pages
from ansible_collections.rbee.fleet.tests.integration.pytest import comfyui_stand_in
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import Hub, Repository
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine
from ansible_collections.rbee.fleet.tests.integration.pytest.test_models import CLIENT, client, write_entry
from ansible_collections.rbee.fleet.tests.integration.pytest.test_pyenv import make_wheel

pytestmark = NEEDS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CATALOG = ROOT / "catalog"
PAGE = "docs/own-types.md"
TEXT = (ROOT / PAGE).read_text()
ENTRY, VALIDATE, HIVES, MODELS, INSTALL, CHAT, METRICS, *LOCK = pages.steps(TEXT)
MODEL = "Qwen/Qwen3-8B"
RBEE = """
    fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
    queen = {{ mode = "attached-hive", attached_hive_alias = "gpu-1", port = {queen}, api_key = "file:api_key" }}
    """
HIVE = """
    [[hive]]
    alias = "gpu-1"
    hostname = "localhost"
    workers = [{{ type = "comfyui", port = {comfyui}, variant = "cpu" }}]
    """
KEY = "sesame-for-tests-only"


def archive(path: pathlib.Path, files: t.Mapping[str, str]) -> str:
    """Writes a tar archive and returns its SHA-256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def comfyui(folder: pathlib.Path) -> str:
    """Our entry, with what is downloaded replaced."""
    path = folder / "comfyui.tar.gz"
    sha256 = archive(path, {"ComfyUI-0.37.0/main.py": (HERE / "comfyui_stand_in.py").read_text()})
    text = (CATALOG / "comfyui.toml").read_text()
    text = re.sub(r'^url = ".*"$', f'url = "{path.as_uri()}"', text, flags=re.MULTILINE)
    return re.sub(r'^sha256 = ".*"$', f'sha256 = "{sha256}"', text, flags=re.MULTILINE)


def sglang(found: Machine) -> str:
    """The guide's entry, on a free port; the stand-in needs no GPU."""
    port = f"port = {found.ports['sglang']}\n"
    return pages.changed(ENTRY.content, ('device = "nvidia"\n', ""), ("port = 30000\n", port))


def hives(found: Machine) -> str:
    """The guide's hive, which is this machine here and has another worker as well."""
    (other,) = re.findall(r"^ *workers = \[(.*)\]$", HIVE.format(**found.ports), re.MULTILINE)
    return pages.changed(
        HIVES.content,
        ('hostname = "10.0.0.11"\n', f'hostname = "localhost"\nhive_port = {found.ports["hive"]}\n'),
        ("workers = [", f"workers = [{other}, "),
        (", gpus = [0]", ""),
    )


def here(found: Machine, command: str) -> str:
    """With the queen's address."""
    return command.replace("localhost:8500", f"127.0.0.1:{found.ports['queen']}")


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path, huggingface_environment: pathlib.Path) -> t.Iterator[Machine]:
    with machine(supervisor_environment) as found, Hub() as hub:
        hub.repositories[MODEL] = Repository({"config.json": b"{}", "model.safetensors": b"{}"})
        write_entry(found, "huggingface", CLIENT, client(found.folder, huggingface_environment))
        # PEP 440: a local version is one of 0.5.23, and the newest of them, so that the real one is not taken.
        make_wheel(found.folder, "sglang", "0.5.23+stand.in", text=(HERE / "sglang_stand_in.py").read_text())
        found.environment = {"HF_ENDPOINT": hub.url, "UV_FIND_LINKS": str(found.folder)}
        found.ports.update(comfyui=free_port(), sglang=free_port())
        found.write("catalog/comfyui.toml", comfyui(found.folder))
        found.write("catalog/locks/comfyui.txt", "")
        found.write("ansible.cfg", _starter.settings())
        found.write("rbee.yml", _starter.inventory())
        found.write("rbee.conf", RBEE.format(prefix=found.prefix, **found.ports))
        found.write("api_key", KEY)
        found.write(HIVES.name, HIVE.format(**found.ports))
        found.write(ENTRY.name, sglang(found))
        found.type(VALIDATE.text)
        found.write(HIVES.name, hives(found))
        found.write(MODELS.name, MODELS.content)
        found.type(INSTALL.text)
        for path in ("comfyui/queue", "sglang/metrics"):  # until the queen has seen them
            wait_until(lambda path=path: found.get("queen", f"/workers/gpu-1/{path}", KEY)[0] == 200)
        yield found
        assert found.changes("rbee.fleet.uninstall", "-e", "rbee_purge=true") == 1


def test_comfyui_is_reached_through_the_queen(fleet: Machine) -> None:
    status, stats = fleet.get("queen", "/workers/gpu-1/comfyui/system_stats", KEY)
    argv = json.loads(stats)["system"]["argv"]
    assert status == 200
    assert (argv["listen"], argv["port"], argv["cpu"]) == ("127.0.0.1", fleet.ports["comfyui"], True)
    queue = fleet.get("queen", "/workers/gpu-1/comfyui/queue", KEY)
    assert queue == (200, '{"queue_running": [], "queue_pending": []}')


def test_comfyui_writes_into_its_data_and_not_into_its_release(fleet: Machine) -> None:
    data = fleet.prefix / "data" / "comfyui"
    assert {"custom_nodes", "comfyui.db"} <= set(os.listdir(data))
    (release,) = (fleet.prefix / "releases" / "comfyui").iterdir()
    assert (release / "main.py").is_file() and not (release / "user").exists()


def test_a_websocket_of_comfyui_goes_through_the_queen(fleet: Machine) -> None:
    with socket.create_connection(("127.0.0.1", fleet.ports["queen"]), timeout=20) as client:
        client.sendall(
            b"GET /workers/gpu-1/comfyui/ws?clientId=1 HTTP/1.1\r\nHost: queen\r\n"
            b"Authorization: Bearer " + KEY.encode() + b"\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        said = b"".join(iter(lambda: client.recv(4096), b""))
    head, _blank, frame = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert json.loads(frame[2:]) == comfyui_stand_in.GREETING


def test_a_type_of_ones_own_serves_its_model_through_the_queen(fleet: Machine) -> None:
    metrics = here(fleet, METRICS.text)
    assert fleet.type(metrics).startswith("sglang:")
    assert json.loads(fleet.type(here(fleet, CHAT.text)))["choices"][0]["message"]["content"] == "Hello"
    _status, models = fleet.get("queen", "/v1/models", KEY)
    assert [model["id"] for model in json.loads(models)["data"]] == [MODEL]


def test_a_type_of_ones_own_is_locked(fleet: Machine, uv: pathlib.Path) -> None:
    """By the real packages where their index can be reached, else by the stand-in."""
    fleet.environment = {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv" / "cache"), **fleet.environment}
    fleet.environment["PATH"] = os.pathsep.join([str(uv.parent), os.environ["PATH"]])
    if reachable("https://pypi.org/simple/sglang/"):
        del fleet.environment["UV_FIND_LINKS"]
    else:
        fleet.environment["UV_NO_INDEX"] = "true"
    for command in LOCK:
        fleet.type(command.text)
    text = pages.changed(
        ENTRY.content,
        ('requirements = "sglang==0.5.23"', 'lock = "locks/sglang.txt"'),
        (">=3.11,<3.14", "==3.11.*"),
    )
    catalog = fleet.folder / "catalog"
    entry = parse_entry("sglang", text, ENTRY.name, lambda path: (catalog / path).read_text())
    (variant,) = entry.variants("0.5.23")
    env = variant.sources["any"].env
    assert env and re.search(r"^sglang==0\.5\.23\S* \\\n *--hash=sha256:", env.requirements, re.MULTILINE)


def reachable(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10):
        return True
    return False


def test_a_mistake_in_it_is_told_as_the_guide_shows(fleet: Machine) -> None:
    shown = re.search(r"^```text\n(catalog/sglang\.toml:.*)\n```$", TEXT, re.MULTILINE)
    assert shown
    fleet.write(ENTRY.name, pages.changed(ENTRY.content, ("{address}", "{adress}")))
    try:
        done = fleet.play("rbee.fleet.validate")
    finally:
        fleet.write(ENTRY.name, sglang(fleet))
    assert done.returncode != 0
    assert f"\n{shown[1]}\n" in done.stdout + done.stderr
