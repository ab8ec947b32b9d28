# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Catalog entries of engines that cannot be had here, with stand-ins in their place, behind the queen of one fleet.

comfyui is ours: an archive and an environment. sglang is what the guide to types of one's own shows.
"""

from __future__ import annotations

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
from ansible_collections.rbee.fleet.tests.integration.pytest import comfyui_stand_in, guide
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine
from ansible_collections.rbee.fleet.tests.integration.pytest.test_pyenv import make_wheel

pytestmark = NEEDS

HERE = pathlib.Path(__file__).resolve().parent
CATALOG = HERE.parents[2] / "catalog"
PAGE = "own-types.md"
MODEL = "org/tiny"
CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": """
        fleet = {{ name = "play", scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}
        workers = [
            {{ type = "comfyui", port = {comfyui}, variant = "cpu" }},
            {{ type = "sglang", port = {sglang}, model = "{model}" }},
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


def sglang() -> str:
    """The guide's entry; the stand-in needs no GPU."""
    return guide.changed(guide.files(PAGE)["catalog/sglang.toml"], ('device = "nvidia"\n', ""))


@pytest.fixture(scope="module")
def fleet(supervisor_environment: pathlib.Path) -> t.Iterator[Machine]:
    with machine(supervisor_environment) as found, pytest.MonkeyPatch.context() as patch:
        found.write("catalog/comfyui.toml", comfyui(found.folder))
        found.write("catalog/locks/comfyui.txt", "")
        found.write("catalog/sglang.toml", sglang())
        # PEP 440: a local version is one of 0.5.23, and the newest of them, so that the real one is not taken.
        make_wheel(found.folder, "sglang", "0.5.23+stand.in", text=(HERE / "sglang_stand_in.py").read_text())
        patch.setenv("UV_FIND_LINKS", str(found.folder))
        found.ports.update(comfyui=free_port(), sglang=free_port())
        model = found.folder / "tiny.tar.gz"
        values = {"prefix": found.prefix, "model": MODEL, "archive": model, **found.ports}
        values["sha256"] = archive(model, {"config.json": "{}"})
        for name, text in CONFIGURATION.items():
            found.write(name, text.format(**values) if name != "rbee.yml" else text)
        assert found.changes("rbee.fleet.install", "-i", "rbee.yml") == 2  # with rbee.lock
        for path in ("comfyui/system_stats", "sglang/health"):
            wait_until(lambda path=path: found.get("queen", f"/workers/desk/{path}")[0] == 200)  # the queen sees it
        yield found
        assert found.changes("rbee.fleet.uninstall", "-i", "rbee.yml", "-e", "rbee_purge=true") == 1


def test_comfyui_is_reached_through_the_queen(fleet: Machine) -> None:
    status, stats = fleet.get("queen", "/workers/desk/comfyui/system_stats")
    argv = json.loads(stats)["system"]["argv"]
    assert status == 200
    assert (argv["listen"], argv["port"], argv["cpu"]) == ("127.0.0.1", fleet.ports["comfyui"], True)
    assert fleet.get("queen", "/workers/desk/comfyui/queue") == (200, '{"queue_running": [], "queue_pending": []}')


def test_comfyui_writes_into_its_data_and_not_into_its_release(fleet: Machine) -> None:
    data = fleet.prefix / "data" / "comfyui"
    assert {"custom_nodes", "comfyui.db"} <= set(os.listdir(data))
    (release,) = (fleet.prefix / "releases" / "comfyui").iterdir()
    assert (release / "main.py").is_file() and not (release / "user").exists()


def test_a_websocket_of_comfyui_goes_through_the_queen(fleet: Machine) -> None:
    with socket.create_connection(("127.0.0.1", fleet.ports["queen"]), timeout=20) as client:
        client.sendall(
            b"GET /workers/desk/comfyui/ws?clientId=1 HTTP/1.1\r\nHost: queen\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        said = b"".join(iter(lambda: client.recv(4096), b""))
    head, _blank, frame = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert json.loads(frame[2:]) == comfyui_stand_in.GREETING


def test_a_type_of_ones_own_serves_its_model_through_the_queen(fleet: Machine) -> None:
    _status, models = fleet.get("queen", "/v1/models")
    assert [model["id"] for model in json.loads(models)["data"]] == [MODEL]
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    url = f"http://127.0.0.1:{fleet.ports['queen']}/v1/chat/completions"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        assert json.loads(answer.read())["choices"][0]["message"]["content"] == "Hello"
    assert fleet.get("queen", "/workers/desk/sglang/metrics")[1].startswith("sglang:")


def test_a_mistake_in_it_is_told_as_the_guide_shows(fleet: Machine) -> None:
    shown = re.search(r"^```text\n(catalog/sglang\.toml:.*)\n```$", (guide.DOCS / PAGE).read_text(), re.MULTILINE)
    assert shown
    page = guide.files(PAGE)["catalog/sglang.toml"]
    # On the page, the first line is the name of the file.
    fleet.write("catalog/sglang.toml", "# catalog/sglang.toml\n" + guide.changed(page, ("{address}", "{adress}")))
    try:
        done = fleet.play("rbee.fleet.validate", "-i", "rbee.yml")
    finally:
        fleet.write("catalog/sglang.toml", sglang())
    assert done.returncode != 0
    assert f"\n{shown[1]}\n" in done.stdout + done.stderr
