# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hive as its agent sees and changes it: a real supervisor, stand-ins for engines."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _agent
from ansible_collections.rbee.fleet.plugins.module_utils._observed import observe
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Health, Source, Spec, Variant, to_dict
from ansible_collections.rbee.fleet.tests.integration.pytest.gpu_stand_in import TWO, use
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import (
    HERE,
    TREE,
    Host,
    free_port,
    wait_until,
)


@dataclasses.dataclass
class Hive:
    """A host with an agent on it that may install stand-ins for workers and the model ``small``."""

    host: Host
    spec: Spec
    home: pathlib.Path

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The agent's command line, under supervisor whatever this machine has."""
        command = [sys.executable, str(HERE / "agent_driver.py"), str(TREE), *arguments]
        command += ["--prefix", str(self.host.prefix)] if arguments else []
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def state(self, name: str = "") -> t.Any:
        """What the agent says of a component, or of all by name."""
        found = json.loads(self.call("state", "--json").stdout)["components"]
        by_name = {component["name"]: component for component in found}
        return by_name[name] if name else by_name

    @property
    def link(self) -> pathlib.Path:
        return self.home / ".local" / "bin" / "rbee-hive"


@pytest.fixture
def hive(host: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Hive:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    small = host.model("model-small", served_name="small")
    worker = host.worker("stand-in")
    catalog = {
        "fleet": worker.fleet,
        "scope": "user",
        "tools": [to_dict(tool) for tool in host.request().tools.values()],
        "models": {"small": to_dict(small)},
        "workers": {"stand-in": {"spec": to_dict(worker), "model": "optional", "model_command": ["{model_path}"]}},
    }
    spec = Spec(
        name="hive",
        type="hive",
        kind="hive",
        fleet=worker.fleet,
        version="1",
        variants=(Variant("default", {"any": Source("bundled", name="rbee-hive")}),),
        command=(
            sys.executable, str(HERE / "agent_driver.py"), str(TREE),
            "serve", "--bind", "{address}", "--port", "{port}", "--prefix", "{prefix}",
        ),
        files=(File("catalog.json", json.dumps(catalog)),),
        programs={"rbee-hive": ("{python}", "{release}/rbee-hive")},
        address="127.0.0.1",
        port=free_port(),
        health=Health("/health", 120),
    )  # fmt: skip
    answer = host.run(spec)
    assert answer.states == {"hive": "installed"}
    return Hive(host, spec, tmp_path / "home")


def ask(spec: Spec, path: str) -> t.Any:
    connection = http.client.HTTPConnection(spec.address, spec.port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())
    finally:
        connection.close()


def without_moments(state: t.Any) -> t.Any:
    """A state without what those who look see differently: themselves, and what changes from one look to the next."""
    for component in state["components"]:
        component["health"] = ""
    state["host"].update(interpreter="", python="", free_bytes=0, memory_available_bytes=0)
    return state


# Seeing


def test_server_command_line_and_module_see_the_same(hive: Hive) -> None:
    wait_until(lambda: ask(hive.spec, "/v1/state")["devices"] is not None)  # a busy machine may give up its first look
    served = without_moments(ask(hive.spec, "/v1/state"))
    told = without_moments(json.loads(hive.call("state", "--json").stdout))
    assert served == told == without_moments(observe(str(hive.host.prefix), "user"))
    assert [component["state"] for component in served["components"]] == ["running"]


def test_a_worker_that_runs_is_running_and_healthy(hive: Hive) -> None:
    worker = hive.host.worker("w")
    hive.host.run(worker)
    found = hive.state("w")
    assert (found["state"], found["healthy"], found["port"]) == ("running", True, worker.port)
    assert found["pid"] == hive.host.ask(worker)["pid"]
    assert found["problems"] == []


def test_a_worker_that_died_is_not_well(hive: Hive) -> None:
    hive.host.run(hive.host.worker("w"))
    hive.host.manager.stop("w")
    done = hive.call("state", "--json")
    found = {component["name"]: component for component in json.loads(done.stdout)["components"]}["w"]
    assert (found["state"], found["reason"], found["healthy"], found["pid"]) == ("stopped", "it should run", None, None)
    assert done.returncode == 1


def test_files_that_were_changed_are_named(hive: Hive) -> None:
    hive.host.run(hive.host.worker("w"))
    receipt = hive.host.receipt("w") or {}
    pathlib.Path(receipt["release_path"], "serve.py").write_text("changed")
    pathlib.Path(hive.host.layout.generation("w", receipt["generation"]), "start").write_text("changed")
    pathlib.Path(receipt["unit"]).write_text("changed")
    hive.link.unlink()
    state = hive.state()
    assert state["w"]["problems"] == [
        f"release {receipt['release']}: modified: serve.py",
        f"generation {receipt['generation']}: modified: start",
        f"{receipt['unit']} was changed by hand",
    ]
    assert state["hive"]["problems"] == [f"{hive.link} is gone"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "w", "kind": "worker", "generation": "g"}'])
def test_a_broken_receipt_hides_no_other_component(hive: Hive, text: str) -> None:
    hive.host.run(hive.host.worker("w"))
    pathlib.Path(hive.host.layout.receipt("w")).write_text(text)
    state = hive.state()
    assert (state["hive"]["state"], state["hive"]["healthy"]) == ("running", True)
    assert "w" in state
    assert state["w"]["reason"] or state["w"]["problems"]


def test_an_install_that_was_cut_short_is_listed(hive: Hive) -> None:
    hive.host.run(hive.host.worker("w"))
    os.unlink(hive.host.layout.receipt("w"))
    found = hive.state("w")
    assert (found["state"], found["reason"]) == (
        None,
        "has no receipt: its installation was not completed; install again",
    )


def test_a_host_with_nothing_is_empty(tmp_path: pathlib.Path) -> None:
    found = observe(str(tmp_path / "nothing"), "user")
    assert found["components"] == []
    assert found["host"]["platform"]


def test_a_run_at_work_is_seen_with_its_holder(hive: Hive) -> None:
    slow = hive.host.worker("w", mode="sick", health=Health("/health", 600))
    process = hive.host.start(slow, command="begin")
    process.communicate(timeout=60)
    wait_until(lambda: observe(str(hive.host.prefix), "user")["host"]["holder"])
    holder = observe(str(hive.host.prefix), "user")["host"]["holder"]
    assert holder["controller"] == "a test"
    os.kill(holder["pid"], signal.SIGKILL)
    wait_until(lambda: observe(str(hive.host.prefix), "user")["host"]["busy"] is False)


def test_a_gpu_is_seen_with_the_worker_that_uses_it(
    hive: Hive, nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hive.host.worker("w")
    hive.host.run(worker)
    pid = hive.host.ask(worker)["pid"]
    use(monkeypatch, nvml_stand_in, f"{TWO}process pid={pid} memory=512\nprocess pid={os.getpid()} memory=1\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_stand_in.parent))
    told = json.loads(hive.call("devices", "--json").stdout)
    assert told["devices_reason"] == ""
    assert [(device["index"], device["uuid"]) for device in told["devices"]] == [(0, "GPU-3B"), (1, "GPU-5E")]
    assert told["devices"][1]["processes"] == [
        {"pid": pid, "memory_bytes": 512 * 1024**2, "component": "w"},
        {"pid": os.getpid(), "memory_bytes": 1024**2, "component": ""},
    ]
    assert f"GPU 1: process {pid} (w), 0.5 GiB\n" in hive.call("devices").stdout
    assert "GPU: 2 x NVIDIA H100" in hive.call("state").stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("description", "devices", "reason"),
    [(TWO, ["GPU-3B", "GPU-5E"], ""), ("library hang=nvmlInit\n", None, "the GPUs have not answered yet")],
    ids=["well", "hangs"],
)
def test_the_server_tells_the_gpus_and_does_not_hang_with_their_driver(
    hive: Hive,
    nvml_stand_in: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    description: str,
    devices: t.Any,
    reason: str,
) -> None:
    use(monkeypatch, nvml_stand_in, description)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_stand_in.parent))
    port = free_port()
    with server_of(hive, port) as (process, own):

        def told() -> bool:
            """Also after a first look that a busy machine gave up."""
            found = ask(own, "/v1/state")
            assert [component["name"] for component in found["components"]] == ["hive"]
            uuids = None if found["devices"] is None else [device["uuid"] for device in found["devices"]]
            return bool((uuids, found["devices_reason"]) == (devices, reason))

        wait_until(told)
        process.terminate()
        process.wait(60)
    wait_until(lambda: not serving(port))  # nor does one that asks a driver stay


@contextlib.contextmanager
def server_of(hive: Hive, port: int) -> t.Iterator[tuple[subprocess.Popen[str], Spec]]:
    """A server of the hive's agent that answers, and where."""
    own = dataclasses.replace(hive.spec, port=port)
    command = [str(hive.link), "serve", "--bind", "127.0.0.1", "--port", str(port)]

    def answers() -> bool:
        try:
            return bool(ask(own, "/health"))
        except OSError:
            return False

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            wait_until(answers)
            yield process, own
        finally:
            process.kill()


def serving(port: int) -> list[str]:
    """The processes of a server, whichever way they came to be."""
    words = f"serve\0--bind\0127.0.0.1\0--port\0{port}\0".encode()
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_bytes().endswith(words):
                found.append(path.parent.name)
    return found


# Changing


def test_a_worker_is_installed_as_by_a_playbook_receipt_and_all(hive: Hive) -> None:
    port = free_port()
    done = hive.call("install-worker", "stand-in", "--name", "w", "--port", str(port), "--model", "small")
    assert (done.returncode, done.stdout) == (0, "model-small: installed\nw: installed\nchanged\n")
    by_hand = hive.host.receipt("w")
    spec = dataclasses.replace(
        hive.host.worker("w", port=port), type="stand-in", model="model-small", served_name="small"
    )
    declared = json.dumps({"model": "small", "name": "w", "port": port, "type": "stand-in"})
    spec = dataclasses.replace(spec, command=(*spec.command, "{model_path}"), declared=declared)
    by_playbook = hive.host.check(hive.host.model("model-small", served_name="small"), spec)
    assert by_playbook.steps == {}, by_hand


def test_the_same_worker_again_changes_nothing(hive: Hive) -> None:
    assert hive.call("install-worker", "--type", "stand-in").returncode == 0
    before = hive.host.snapshot("journal")
    done = hive.call("install-worker", "stand-in")
    assert (done.returncode, done.stdout) == (0, "stand-in: ok\nnothing changed\n")
    assert hive.host.snapshot("journal") == before


def test_another_worker_does_not_take_a_name_that_is_taken(hive: Hive) -> None:
    hive.call("install-worker", "stand-in")
    before = hive.host.snapshot()
    done = hive.call("install-worker", "stand-in", "--port", str(free_port()))
    assert done.returncode == 2
    assert "there is already a worker stand-in here, and it differs" in done.stderr
    assert hive.host.snapshot() == before


def test_a_worker_claims_gpus_by_hand(hive: Hive, nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, nvml_stand_in, TWO)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(nvml_stand_in.parent))
    done = hive.call("install-worker", "stand-in", "--gpus", "0")
    assert (done.returncode, done.stdout) == (
        1,
        "stand-in: failed (claims GPU 0, but its build uses none; take gpus away, or choose another variant)\n"
        "nothing changed\n",
    )


def test_a_dry_run_says_what_it_would_do_and_does_nothing(hive: Hive) -> None:
    before = hive.host.snapshot()
    done = hive.call("install-worker", "stand-in", "--check")
    assert (done.returncode, hive.host.snapshot()) == (0, before)
    assert "stand-in: start service\n" in done.stdout


def test_a_stopped_worker_stays_stopped_until_it_is_started(hive: Hive) -> None:
    worker = hive.host.worker("w")
    hive.host.run(worker)
    assert hive.call("stop", "w").returncode == 0
    assert (hive.state("w")["state"], hive.state("w")["held"]) == ("held", True)
    assert not hive.host.run(worker).changed
    assert hive.call("start", "w").returncode == 0
    assert hive.state("w")["state"] == "running"
    assert hive.host.answers(worker)


def test_starting_does_not_install_what_is_declared_by_now(hive: Hive) -> None:
    worker = hive.host.worker("w")
    hive.host.run(worker)
    hive.call("stop", "w")
    newer = hive.host.worker("w", version="2", port=worker.port)
    answer = hive.host.run(newer, state="started")
    assert answer.states == {"w": "started"}
    assert hive.host.answers(worker)


def test_a_removed_worker_is_gone_and_its_neighbours_are_not(hive: Hive) -> None:
    hive.call("install-worker", "stand-in")
    done = hive.call("remove-worker", "stand-in")
    assert (done.returncode, done.stdout) == (0, "stand-in: removed\nchanged\n")
    assert list(hive.state()) == ["hive"]
    assert ask(hive.spec, "/health") == {"status": "ok"}


def test_a_document_is_applied(hive: Hive, tmp_path: pathlib.Path) -> None:
    worker = hive.host.worker("w")
    request = hive.host.request()
    document = {
        "fleet": worker.fleet,
        "scope": "user",
        "components": [to_dict(worker)],
        "tools": [to_dict(tool) for tool in request.tools.values()],
    }
    path = tmp_path / "desired.json"
    path.write_text(json.dumps(document))
    done = hive.call("apply", str(path))
    assert (done.returncode, done.stdout) == (0, "w: installed\nchanged\n")
    assert hive.host.answers(worker)


def test_a_worker_that_fails_is_a_failure_with_its_last_words(hive: Hive, tmp_path: pathlib.Path) -> None:
    worker = hive.host.worker("w", mode="dying")
    request = hive.host.request(worker)
    tools = [to_dict(tool) for tool in request.tools.values()]
    path = tmp_path / "desired.json"
    path.write_text(
        json.dumps({"fleet": worker.fleet, "scope": "user", "components": [to_dict(worker)], "tools": tools})
    )
    done = hive.call("apply", str(path))
    assert done.returncode == 1
    assert "w: failed (did not become healthy: process exited with 1" in done.stdout
    assert "  out of memory\n" in done.stdout


WRONG: tuple[tuple[list[str], str], ...] = (
    ([], "the following arguments are required: COMMAND"),
    (["instal"], "invalid choice: 'instal'"),
    (["install-worker"], "name one type of worker; this hive knows stand-in"),
    (["install-worker", "stand-in", "--type", "other"], "name one type of worker"),
    (["install-worker", "stand-in", "--port", "0"], "expected a port from 1 to 65535"),
    (["install-worker", "stand-in", "--gpus", "0,0"], "expected all, or numbers such as 0,1"),
    (["start", "nobody"], "there is no component nobody here; there is hive"),
    (["apply", "/dev/null"], "/dev/null cannot be applied"),
)


def test_what_cannot_be_done_as_asked_is_said_in_a_line(hive: Hive) -> None:
    for arguments, message in WRONG:
        done = hive.call(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_where_nothing_is_installed_it_says_what_to_do(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, str(HERE / "agent_driver.py"), str(TREE), "start", "w", "--prefix", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"rbee-hive: no hive is installed in {tmp_path}; run the install playbook\n",
    )


def test_only_root_changes_a_machine(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "desired.json"
    document.write_text('{"fleet": "f", "scope": "system"}')
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["rbee-hive", "apply", str(document)])
    assert _agent.main(["apply", str(document)]) == 2
    assert capsys.readouterr().err == (
        f"rbee-hive: only root may change what runs on this machine: sudo rbee-hive apply {document}\n"
    )


# The file itself


def test_the_program_in_the_path_knows_its_installation(hive: Hive) -> None:
    done = subprocess.run([str(hive.link), "state", "--json"], capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(done.stdout)
    assert found["host"]["prefix"] == str(hive.host.prefix)
    assert [component["name"] for component in found["components"]] == ["hive"]


def test_a_closed_pipe_is_no_traceback(hive: Hive) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [str(hive.link), "state"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(write)
    assert done.stderr == ""


def test_the_server_ends_on_sigterm(hive: Hive) -> None:
    port = free_port()
    with server_of(hive, port) as (process, own):
        assert ask(own, "/health") == {"status": "ok"}
        process.terminate()
        assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 0


def test_an_address_that_is_taken_is_said_in_a_line(hive: Hive) -> None:
    command = [str(hive.link), "serve", "--bind", "127.0.0.1", "--port", str(hive.spec.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        f"rbee-hive: cannot listen on 127.0.0.1 port {hive.spec.port}: Address already in use\n",
    )


# Its name in the PATH


def test_a_program_of_that_name_is_not_replaced(hive: Hive) -> None:
    hive.link.unlink()
    hive.link.write_text("mine")
    newer = dataclasses.replace(hive.spec, version="2")
    answer = hive.host.run(newer)
    assert answer.of("hive")["state"] == "failed"
    assert f"{hive.link} exists and is not ours" in answer.of("hive")["reason"]
    assert hive.link.read_text() == "mine"


def test_a_name_that_another_installation_has_is_left_to_it(hive: Hive, tmp_path: pathlib.Path) -> None:
    theirs = tmp_path / "other" / "components" / "hive" / "current" / "bin" / "rbee-hive"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    hive.link.unlink()
    hive.link.symlink_to(theirs)
    assert not hive.host.run(hive.spec).changed
    hive.host.uninstall()
    assert hive.link.readlink() == theirs


def test_a_name_of_an_installation_that_is_gone_is_taken_over(hive: Hive, tmp_path: pathlib.Path) -> None:
    hive.link.unlink()
    hive.link.symlink_to(tmp_path / "gone" / "components" / "hive" / "current" / "bin" / "rbee-hive")
    assert hive.host.run(hive.spec).taken["hive"] == [f"link {hive.link}", "record receipt"]
    assert hive.link.resolve().parent.parent.parent.name == "generations"


def test_a_program_that_is_no_longer_wanted_is_unlinked(hive: Hive) -> None:
    hive.host.run(dataclasses.replace(hive.spec, programs={}))
    assert not hive.link.is_symlink()


def test_an_uninstall_takes_the_name_away(hive: Hive) -> None:
    hive.host.uninstall()
    assert not hive.link.is_symlink()
    assert not hive.host.prefix.exists()
