# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers change under load: a real HAProxy, real agents and services, two hives, and every request is counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _drain, _manager
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Service, Source, Spec, Variant
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayHive, GatewayWorker
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_queen import Queen
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import (
    HERE,
    TREE,
    Answer,
    Host,
    free_port,
    wait_until,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.rolling_load import Load

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

MODEL = "m"


class Hive:
    """A host with an address, an agent and one worker that serves the model."""

    def __init__(self, host: Host, address: str) -> None:
        self.host, self.address = host, address
        self.port = free_port()
        self.model = host.model("model-m", served_name=MODEL)
        self.agent = Spec(
            name="hive",
            type="hive",
            kind="hive",
            fleet=self.model.fleet,
            version="1",
            variants=(Variant("default", {"any": Source("bundled", name="rbee-hive")}),),
            command=(
                sys.executable, str(HERE / "agent_driver.py"), str(TREE),
                "serve", "--bind", "{address}", "--port", "{port}", "--prefix", "{prefix}",
            ),
            address=address,
            port=free_port(),
            health=Health("/health", 60),
        )  # fmt: skip

    def worker(self, version: str, name: str = "w", **options: t.Any) -> Spec:
        text = (HERE / "rolling_stand_in.py").read_text().replace("@VERSION@", version)
        if options.pop("sick", False):
            text = text.replace('ANSWERS = "@', "").replace(", 200", ", 500")
        values = {
            "source": self.host.file("serve.py", text),
            "address": self.address,
            "port": self.port,
            "model": self.model.name,
            "served_name": MODEL,
            "service": Service(stop_timeout=5),
            "files": (),
            "env": {},
            **options,
        }
        return self.host.worker(name, version, **values)

    def install(self, *workers: Spec, **options: t.Any) -> Answer:
        return self.host.run(self.model, self.agent, *workers, **options)

    def gateway(self, alias: str, *workers: Spec) -> tuple[GatewayWorker, ...]:
        return tuple(
            GatewayWorker(alias, worker.name, "x", self.address, worker.port, (MODEL,), "/health", self.agent.port)
            for worker in workers
        )

    @property
    def asked(self) -> dict[str, t.Any]:
        """How often the queen was answered, by worker."""
        connection = http.client.HTTPConnection(self.agent.address, self.agent.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/drain")
            found: dict[str, t.Any] = json.loads(connection.getresponse().read())["components"]
            return found

    def ask(self, line: bytes) -> bytes:
        with socket.create_connection((self.agent.address, self.agent.port), timeout=10) as connection:
            connection.sendall(line)
            return connection.makefile("rb").read()


@pytest.fixture
def hives(
    supervisor_environment: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[list[Hive]]:
    monkeypatch.setattr(_manager, "detect", lambda _scope, prefix, environment: SupervisorManager(prefix, environment))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # no test of these cuts the power
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    found = []
    for number in (2, 3):
        artefacts = tmp_path / str(number)
        artefacts.mkdir()
        found.append(Hive(Host(folder / str(number), artefacts, supervisor_environment), f"127.0.0.{number}"))
    yield found
    for hive in found:
        hive.host.close()
    shutil.rmtree(folder)


@pytest.fixture
def serve(hives: list[Hive], tmp_path: pathlib.Path) -> t.Iterator[t.Callable[[], Queen]]:
    """Installs version 1 on both hives, and a queen in front of them."""
    with contextlib.ExitStack() as stack:

        def begin() -> Queen:
            for hive in hives:
                states = hive.install(hive.worker("1")).states
                assert set(states.values()) == {"installed"}
            workers = [entry for hive in hives for entry in hive.gateway(hive.address, hive.worker("1"))]
            queen = Queen(tmp_path, Gateway("tests", hives=(GatewayHive("h", "127.0.0.1", 1),), workers=tuple(workers)))
            stack.callback(queen.close)
            queen.wait()
            wait_until(lambda: all("w" in hive.asked for hive in hives))
            return queen

        yield begin


def test_not_one_request_fails_while_workers_change_one_after_the_other(
    hives: list[Hive], serve: t.Callable[[], Queen]
) -> None:
    queen = serve()
    with Load(queen.gateway.port, MODEL) as load:
        wait_until(lambda: load.answers["1"] > 20)
        for hive in hives:
            answer = hive.install(hive.worker("2"))
            assert answer.of("w")["state"] == "updated"
            assert any(step.startswith("drain") for step in answer.taken["w"])
        enough = max(100, load.count + 20)
        wait_until(lambda: load.count > enough)
    assert load.failures == []
    assert all(load.answers[version] for version in "12"), load.answers


def test_not_one_request_fails_while_a_worker_that_nobody_declares_goes(
    hives: list[Hive], serve: t.Callable[[], Queen]
) -> None:
    queen = serve()
    with Load(queen.gateway.port, MODEL) as load:
        wait_until(lambda: load.answers["1"] > 20)
        answer = hives[1].install(extra="remove")
        enough = load.count + 20
        wait_until(lambda: load.count > enough)
    assert answer.of("w")["state"] == "removed"
    assert [step.split()[0] for step in answer.taken["w"]] == ["drain", "stop", "disable", "remove"]
    assert load.failures == []


def test_workers_of_one_model_on_one_host_take_turns(hives: list[Hive], tmp_path: pathlib.Path) -> None:
    hive, port = hives[0], free_port()

    def pair(version: str) -> tuple[Spec, Spec]:
        return hive.worker(version, "w"), hive.worker(version, "v", port=port)

    hive.install(*pair("1"))
    queen = Queen(tmp_path, Gateway("tests", workers=hive.gateway("h", *pair("1"))))
    with contextlib.closing(queen):
        queen.wait()
        wait_until(lambda: hive.asked.keys() == {"v", "w"})
        with Load(queen.gateway.port, MODEL) as load:
            wait_until(lambda: load.answers["1"] > 20)
            answer = hive.install(*pair("2"))
            enough = load.count + 20
            wait_until(lambda: load.count > enough)
    assert answer.states == {"model-m": "ok", "hive": "ok", "w": "updated", "v": "updated"}
    assert load.failures == []


def test_a_host_that_stages_keeps_what_runs_until_it_is_told_to_switch(hives: list[Hive]) -> None:
    hive = hives[0]
    hive.install(hive.worker("1"))
    before = hive.host.ask(hive.worker("1"))
    staged = hive.install(hive.worker("2"), stage=True)
    assert [step.split()[0] for step in staged.taken["w"]] == ["fetch", "write"]
    assert staged.result["staged"] and staged.result["standing"]["leaving"] == {MODEL: 1}
    assert hive.host.ask(hive.worker("1")) == before
    assert not hive.install(hive.worker("2"), stage=True).taken  # it is all there
    switched = hive.install(hive.worker("2"))
    assert [step.split()[0] for step in switched.taken["w"]] == ["drain", "switch", "restart", "gate", "record"]
    assert hive.host.ask(hive.worker("2"))["version"] == "2"


def test_the_agent_answers_the_queen_and_everybody_else(hives: list[Hive]) -> None:
    hive = hives[0]
    hive.install(hive.worker("1"))
    assert hive.ask(b"w\n") == b"ready\n"
    with _drain.mark(hive.host.layout, "w"):
        assert hive.ask(b"w\n") == b"drain\n"
    assert hive.ask(b"nobody\n").startswith(b"HTTP/1.0 400 ")
    assert hive.asked["w"]["answered"] == 2
