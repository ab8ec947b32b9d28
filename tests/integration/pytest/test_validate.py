# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""validate, against a real sshd: every cause of a failed connection is told apart, and nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _starter, _toml_text
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import TREE, free_port, snapshot
from ansible_collections.rbee.fleet.tests.integration.pytest.plays import Plays
from ansible_collections.rbee.fleet.tests.integration.pytest.ssh_server import Server, find

CACHE = pathlib.Path(__file__).resolve().parents[3] / ".cache" / "tests"


class Controller:
    """A folder with a fleet, an ssh configuration of its own and a home in which nothing is."""

    def __init__(self, plays: Plays) -> None:
        self.folder, self.hives, self.hosts = plays.folder, "", ""
        self._plays = plays
        (self.folder / "home").mkdir()
        self.write("rbee.yml", _starter.inventory())
        self.write("ansible.cfg", _starter.settings(str(self.folder / "ssh")).replace("callbacks_enabled", "#"))
        self.configure()

    def configure(self, **queen: t.Any) -> None:
        keys = "".join(f"{key} = {_toml_text.value(item)}\n" for key, item in {"port": free_port(), **queen}.items())
        self.write("rbee.conf", f'[fleet]\nscope = "user"\nprefix = "{self.folder}/prefix"\n[queen]\n{keys}')

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def hive(self, alias: str, port: int, *options: str, keys: str = "") -> None:
        """A hive on a port of this machine. options: of ssh_config(5). keys: further ones of the hive."""
        hostname = f"127.0.0.{self.hives.count('[[hive]]') + 2}"
        self.hosts += "\n  ".join([f"Host {hostname}", "HostName 127.0.0.1", *options]) + "\n"
        self.hives += f'[[hive]]\nalias = "{alias}"\nhostname = "{hostname}"\nssh_port = {port}\n'
        self.hives += f"hive_port = {free_port()}\n{keys}\n"
        self.write("hives.conf", self.hives)
        self.write("ssh", self.hosts)

    def validate(self, *options: str, **environment: str) -> tuple[int, dict[str, list[dict[str, str]]], str]:
        """Exit code, findings by host, and what was printed."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_", "SSH_"))}
        ours = {
            "ANSIBLE_COLLECTIONS_PATH": str(TREE),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(self.folder / "home"),
        }
        done = self._plays.run({**kept, **ours, **environment}, "rbee.fleet.validate", *options)
        result = self.folder / ".rbee" / "last-validation.json"
        found: dict[str, list[dict[str, str]]] = {}
        for row in json.loads(result.read_text())["findings"] if result.exists() else ():
            found.setdefault(row["host"], []).append(row)
        return done.returncode, found, done.stdout + done.stderr


@pytest.fixture(scope="module")
def plays() -> t.Iterator[Plays]:
    """In a folder whose path is short enough for a socket."""
    with (
        tempfile.TemporaryDirectory(prefix="rbee-") as folder,
        contextlib.closing(Plays(pathlib.Path(folder))) as plays,
    ):
        yield plays


@pytest.fixture
def controller(plays: Plays) -> Controller:
    """In one folder for all tests, empty for each."""
    plays.empty()
    return Controller(plays)


@pytest.fixture
def server(tmp_path: pathlib.Path) -> t.Iterator[Server]:
    server = Server(tmp_path / "sshd", find(CACHE))
    yield server
    server.stop()


@pytest.fixture
def way(server: Server, controller: Controller) -> list[str]:
    """The options that lead to the server, with a key that it admits."""
    key = server.new_key("mine")
    server.admit(key)
    known = controller.write("known_hosts", server.known())
    return [f"UserKnownHostsFile {known}", "IdentitiesOnly yes", f"IdentityFile {key}"]


@contextlib.contextmanager
def listener(answer: bytes, address: str = "127.0.0.1") -> t.Iterator[int]:
    """A port that takes connections. answer: what the first one gets; with none, nobody accepts it."""
    with socket.create_server((address, 0), backlog=8) as listening:
        port = listening.getsockname()[1]
        if not answer:
            yield port
            return
        code = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).accept()[0].sendall(sys.argv[2].encode())"
        words = [sys.executable, "-c", code, str(listening.fileno()), answer.decode()]
        with subprocess.Popen(words, pass_fds=[listening.fileno()]) as process:
            yield port
            process.kill()


def only(found: dict[str, list[dict[str, str]]], host: str) -> str:
    (row,) = found[host]
    return f"{row['severity']} {row['where']}: {row['problem']}; {row['fix']}"


def test_a_host_that_is_ready_has_nothing_to_report(controller: Controller, server: Server, way: list[str]) -> None:
    controller.hive("gpu-1", server.ports[0], *way)
    status, found, said = controller.validate()
    assert (status, found) == (0, {}), said
    assert "2 hosts looked at: no errors, no warnings" in said


def test_every_cause_is_told_apart_in_one_run(controller: Controller, server: Server, way: list[str]) -> None:
    pytest.importorskip("paramiko", reason="paramiko tells some of them apart")
    known, only_these, mine = way
    ports = iter(server.ports)
    server.new_key("other")
    server.new_key("locked", passphrase="a secret")
    server.admit(server.folder / "locked")
    empty, wrong = controller.write("known_none", ""), controller.write("known_wrong", "\n" + server.known("other"))
    closed = free_port()
    controller.hive("good", next(ports), *way)
    controller.hive("unknown", next(ports), f"UserKnownHostsFile {empty}", only_these, mine)
    controller.hive("changed", next(ports), f"UserKnownHostsFile {wrong}", only_these, mine)
    controller.hive("stranger", next(ports), known, only_these, f"IdentityFile {server.folder}/other")
    controller.hive("locked", next(ports), known, only_these, f"IdentityFile {server.folder}/locked")
    controller.hive("nobody", next(ports), *way, "User nobody-here")
    controller.hive("shut", closed)
    controller.hives += '[[hive]]\nalias = "nameless"\nhostname = "nowhere.invalid"\n'
    home = snapshot(server.home)
    kept = [(path, path.read_text()) for path in (empty, wrong, controller.folder / "known_hosts")]
    with listener(b"HTTP/1.1 400 Bad Request\r\n") as web:
        controller.hive("web", web)
        status, found, said = controller.validate()
    assert status == 2
    assert set(found) == {"unknown", "changed", "stranger", "locked", "nobody", "shut", "nameless", "web"}, said
    places = [f"[127.0.0.1]:{port}" for port in server.ports]
    shown = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    scans = [f"ssh-keyscan -p {port} 127.0.0.1 >> " for port in server.ports]
    assert only(found, "unknown") == (
        f"error ssh: host key of {places[1]} unknown, it shows ssh-ed25519 {shown}; "
        f"compare it with ssh-keygen -lf on the machine, then: {scans[1]}{empty}"
    )
    assert only(found, "changed") == (
        f"error ssh: host key changed: {wrong} line 4 has another, now it shows ssh-ed25519 {shown}; "
        f"if the machine was installed anew: ssh-keygen -f {wrong} -R '{places[2]}' && {scans[2]}{wrong}; "
        "else somebody is in between"
    )
    assert re.match(
        r"error ssh: \S+@127\.0\.0\.5: login refused \(publickey\); have your public key added", only(found, "stranger")
    )
    assert f"{server.folder}/locked needs a passphrase and no agent has it; ssh-add " in only(found, "locked")
    assert only(found, "nobody").startswith("error ssh: nobody-here@127.0.0.7: login refused")
    assert only(found, "shut") == (
        f"error ssh: nothing listens on 127.0.0.1 port {closed} (connection refused); "
        "start sshd there or correct ssh_port"
    )
    assert only(found, "nameless").startswith("error ssh: the name nowhere.invalid cannot be resolved: ")
    assert "is not ssh, it says 'HTTP/1.1 400 Bad Request'; correct ssh_port" in only(found, "web")
    for rows in found.values():
        assert all("\n" not in row["problem"] + row["fix"] for row in rows)
    assert f"changed   error    ssh: host key changed: {wrong} line 4" in said
    assert [(path, path.read_text()) for path, _text in kept] == kept
    assert snapshot(server.home) == home
    assert not (controller.folder / "prefix").exists()


def test_the_fix_for_an_unknown_host_key_is_a_fix(controller: Controller, server: Server, way: list[str]) -> None:
    empty = controller.write("known_none", "")
    controller.hive("gpu-1", server.ports[0], f"UserKnownHostsFile {empty}", *way[1:])
    _status, found, _said = controller.validate()
    command = found["gpu-1"][0]["fix"].partition("then: ")[2]
    subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    status, found, said = controller.validate()
    assert (status, found) == (0, {}), said


def test_without_paramiko_less_is_told_and_that_is_said(
    controller: Controller, server: Server, way: list[str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "paramiko.py").write_text("raise ImportError")
    empty = controller.write("known_none", "")
    controller.hive("unknown", server.ports[0], f"UserKnownHostsFile {empty}", *way[1:])
    status, found, _said = controller.validate(PYTHONPATH=str(tmp_path))
    assert status == 2
    assert f"host key of [127.0.0.1]:{server.ports[0]} unknown, it shows ED25519; " in only(found, "unknown")
    assert only(found, "controller").startswith("warning ssh: paramiko is not installed here")


def test_a_port_that_says_nothing_takes_no_longer_than_the_timeout(controller: Controller) -> None:
    with (controller.folder / "rbee.conf").open("a") as file:
        file.write("[package]\nssh_timeout = 1\n")
    with listener(b"") as port:
        controller.hive("mute", port)
        status, found, _said = controller.validate()
    assert status == 2
    assert f"127.0.0.1 port {port} accepts connections and says nothing within 1 s" in only(found, "mute")


def test_what_the_host_itself_lacks_is_found_without_changing_it(
    controller: Controller, server: Server, way: list[str]
) -> None:
    model = controller.write("tiny.gguf", "GGUF")
    sha256 = "0" * 64
    controller.write(
        "models.conf", f'[[model]]\nname = "tiny"\nsource = "file"\npath = "{model}"\nsha256 = "{sha256}"\n'
    )
    with listener(b"", "127.0.0.2") as taken:
        worker = f'{{ type = "llama-cpp", model = "tiny", port = {taken} }}'
        gpu = f'{{ type = "llama-cpp", name = "big", model = "tiny", variant = "cuda", port = {free_port()} }}'
        controller.hive("gpu-1", server.ports[0], *way, keys=f"workers = [{worker}, {gpu}]")
        home = snapshot(server.home)
        status, found, said = controller.validate()
    assert status == 2
    problems = {row["where"]: f"{row['problem']}; {row['fix']}" for row in found["gpu-1"]}
    assert problems["llama-cpp"].startswith(f"port {taken} on 127.0.0.2 is taken by another program; "), said
    assert problems["big"].startswith("needs a GPU of kind nvidia; ")
    assert snapshot(server.home) == home
    assert not (controller.folder / "prefix").exists()


def test_a_prefix_that_cannot_be_written_is_found(controller: Controller, server: Server, way: list[str]) -> None:
    controller.write("prefix", "a file")
    controller.hive("gpu-1", server.ports[0], *way)
    status, found, _said = controller.validate()
    assert status == 2
    assert {row["problem"] for row in found["gpu-1"]} >= {f"{controller.folder}/prefix is not a folder"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take Python away from a server")
def test_a_host_without_python_is_told_so(controller: Controller, tmp_path: pathlib.Path) -> None:
    server = Server(tmp_path / "bare", find(CACHE), without_python=True)
    try:
        key = server.new_key("mine")
        server.admit(key)
        known = controller.write("known_hosts", server.known())
        controller.hive("bare", server.ports[0], f"UserKnownHostsFile {known}", f"IdentityFile {key}")
        status, found, said = controller.validate()
    finally:
        server.stop()
    assert status == 2, said
    assert (
        only(found, "bare")
        == "error python: there is no python3; install it there, for example: apt-get install python3"
    )


def test_secrets_are_looked_at_on_the_controller_and_told_once(controller: Controller) -> None:
    controller.configure(api_key="env:RBEE_NOT_SET")
    controller.write("hives.conf", "")
    status, found, _said = controller.validate()
    assert status == 2
    assert found.keys() == {"controller"}
    assert only(found, "controller").startswith(
        "error secret: secret api_key: the environment variable RBEE_NOT_SET is not set"
    )


def test_a_key_that_others_can_read_is_a_warning(controller: Controller) -> None:
    controller.configure(api_key="file:key")
    controller.write("hives.conf", "")
    key = controller.write("key", "0123456789abcdef\n")
    key.chmod(0o644)
    status, found, said = controller.validate()
    assert status == 0, said
    assert only(found, "controller") == f"warning secret: secret api_key: {key} is open to others; chmod 600 {key}"
    assert "0123456789abcdef" not in said


def test_a_mistake_in_the_configuration_ends_it_before_any_host(controller: Controller) -> None:
    controller.write("hives.conf", '[[hive]]\nalias = "gpu-1"\nhostnam = "10.0.0.1"\n')
    status, found, said = controller.validate()
    assert status != 0
    assert found == {}
    assert "hives.conf:3: hive[0].hostnam: unknown key; did you mean 'hostname'?" in said
