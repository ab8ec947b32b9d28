# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in a temporary folder: the real node library, a real supervisor, and components that are small programs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import io
import json
import os
import pathlib
import random
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _converge, _events, _journal, _lock, _store, _work
from ansible_collections.rbee.fleet.plugins.module_utils._layout import USER, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._processes import exists
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    File,
    Health,
    Service,
    Source,
    Spec,
    Variant,
    to_dict,
)
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[2] / ".cache" / "collections"
FLEET = "tests"

WELL, SICK, DYING, WAKING = "well", "sick", "dying", "waking"
QUICK = Health("/health", 3)  # to find a sick worker: enough to see it answer, even on a busy machine


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port that nobody has, that no other test is about to take, and that the kernel gives to nobody unasked."""
    # Below the usual range of ip_local_port_range, ip(7); each process of pytest-xdist has a thousand of its own.
    first = 10_000 + 1_000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 22)
    while True:
        port = random.choice([port for port in range(first, first + 1_000) if port not in _GIVEN])
        _GIVEN.add(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(done: t.Callable[[], t.Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclasses.dataclass
class Answer:
    """What a run returned, and the steps that it said it took, by component."""

    result: dict[str, t.Any]
    taken: dict[str, list[str]]

    @property
    def changed(self) -> bool:
        return bool(self.result["changed"])

    def of(self, name: str) -> dict[str, t.Any]:
        """The outcome of one component."""
        found: dict[str, t.Any] = next(item for item in self.result["components"] if item["name"] == name)
        return found

    @property
    def states(self) -> dict[str, str]:
        return {item["name"]: item["state"] for item in self.result["components"]}

    @property
    def steps(self) -> dict[str, list[str]]:
        """What was announced, in the order of a run."""
        every = [self.result["host"], *self.result["components"]]
        return {item["name"]: item["steps"] for item in every if item["steps"]}


class Host:
    """One prefix. supervisor: environment that holds supervisord. artefacts: where releases are fetched from."""

    def __init__(self, prefix: pathlib.Path, artefacts: pathlib.Path, supervisor: pathlib.Path) -> None:
        self.prefix, self.artefacts = prefix, artefacts
        self.layout = Layout(str(prefix))
        self._tools = {
            "uv": self._tool("uv", {"uv": "#!/bin/sh\nexit 1\n"}),
            "supervisor": self._tool(
                "supervisor", {"bin/supervisord": f'#!/bin/sh\nexec {supervisor}/bin/supervisord "$@"\n'}
            ),
        }
        self.manager = SupervisorManager(str(prefix), str(supervisor))

    # Specifications

    def archive(self, name: str, files: t.Mapping[str, str]) -> Source:
        """A tar archive of executable files, made anew when its content differs."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(text.encode()), 0o755
                archive.addfile(member, io.BytesIO(text.encode()))
        return self._source("archive", f"{name}.tar", buffer.getvalue())

    def file(self, name: str, text: str) -> Source:
        return self._source("file", name, text.encode())

    def _source(self, kind: str, name: str, data: bytes) -> Source:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.artefacts / sha256[:8] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return Source(kind, url=f"file://{path}", sha256=sha256, size=len(data), name=name)

    def _tool(self, name: str, files: t.Mapping[str, str]) -> Spec:
        return Spec(name, name, "tool", FLEET, "1", (Variant("default", {"any": self.archive(name, files)}),))

    def server(self, version: str = "1", mode: str = WELL) -> Source:
        """A release of the stand-in for a worker."""
        text = (HERE / "node_stand_in.py").read_text()
        return self.file("serve.py", text.replace("@VERSION@", version).replace("@MODE@", mode))

    def worker(self, name: str = "w", version: str = "1", mode: str = WELL, **options: t.Any) -> Spec:
        """A worker that answers with its version, its argument, its environment and its file: all from one spec."""
        mark = options.pop("mark", version)
        source = options.pop("source", None) or self.server(version, mode)
        values = {
            "command": ("{python}", "{release}/serve.py", "{address}", "{port}", mark, "{files}/greeting"),
            "env": {"GREETING": mark},
            "files": (File("greeting", mark),),
            "address": "127.0.0.1",
            "health": Health("/health", 60),
            "service": Service(stop_timeout=5),
            "port": options.pop("port", None) or free_port(),
            **options,
        }
        return Spec(name, "stand-in", "worker", FLEET, version, (Variant("cpu", {"any": source}),), **values)

    def model(self, name: str = "m", text: str = "weights", **options: t.Any) -> Spec:
        source = options.pop("source", None) or self.file("model.gguf", text)
        return Spec(name, "model", "model", FLEET, "1", (Variant("file", {"any": source}),), **options)

    # Runs

    def request(self, *specs: Spec, **options: t.Any) -> Request:
        values = {"fleet": FLEET, "scope": USER, "prefix": str(self.prefix), "controller": "a test", **options}
        return Request(specs=specs, tools=self._tools, **values)

    def run(self, *specs: Spec, **options: t.Any) -> Answer:
        """Converge in this process, without forking another."""
        return self._work(self.request(*specs, **options))

    def uninstall(self, **options: t.Any) -> Answer:
        return self._work(self.request(state="absent", **options))

    def _work(self, request: Request) -> Answer:
        for folder in (self.layout.prefix, self.layout.journals):
            _store.make_folder(folder)
        grabbed: list[int] = []
        # A child that a killed run was about to execute has the lock for a moment longer.
        wait_until(lambda: grabbed.extend(filter(None, [_lock.grab(self.layout.lock)])) or grabbed)
        (lock,) = grabbed
        journal = _journal.Journal(os.path.join(self.layout.journals, f"{time.time_ns()}.jsonl"))
        try:
            result = _work.work(request, self.layout, journal, lock)
            lines = _journal.read(journal.path, 0, 0)[0]
        finally:
            journal.close()
        if result.pop("torn_down"):
            _converge._sweep(self.layout, journal.path)
        return Answer(result, steps_of(lines))

    def check(self, *specs: Spec, **options: t.Any) -> Answer:
        """What a dry run answers."""
        return Answer(_converge.converge(self.request(*specs, **options), True, 0), {})

    def start(self, *specs: Spec, command: str = "converge", **options: t.Any) -> subprocess.Popen[str]:
        """Converge as the module and its action plugin do, in a process of its own that starts a detached one."""
        request = self.request(*specs, **options)
        arguments = {
            "fleet": request.fleet,
            "scope": request.scope,
            "prefix": request.prefix,
            "components": [to_dict(spec) for spec in specs],
            "tools": [to_dict(tool) for tool in request.tools.values()],
            **options,
            "controller": request.controller,
        }
        process = subprocess.Popen(
            [sys.executable, "-S", str(HERE / "node_driver.py"), str(TREE), command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(json.dumps(arguments))
        process.stdin.close()
        process.stdin = None
        return process

    def converge(self, *specs: Spec, **options: t.Any) -> Answer:
        return finish(self.start(*specs, **options))

    # Looking

    def ask(self, spec: Spec, path: str = "/health") -> dict[str, t.Any]:
        """What a worker answers."""
        connection = http.client.HTTPConnection(spec.address, spec.port, timeout=10)
        try:
            connection.request("GET", path)
            answer: dict[str, t.Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()

    def answers(self, spec: Spec) -> bool:
        """Whether a worker answers, all of it from this spec."""
        try:
            said = self.ask(spec)
        except OSError:
            return False
        mark = spec.env["GREETING"]
        return said == {**said, "version": spec.version, "argument": mark, "environment": mark, "file": mark}

    def receipt(self, name: str = "w") -> dict[str, t.Any] | None:
        return _store.read_json(self.layout.receipt(name))

    def snapshot(self, *but: str) -> dict[str, tuple[t.Any, ...]]:
        """Everything below the prefix that a person could tell apart, but for some top folders."""
        return snapshot(self.prefix, *but)

    def leftovers(self) -> list[str]:
        """What only a process at work may have here."""
        found = []
        for folder, folders, files in os.walk(self.prefix):
            unfinished = folder == self.layout.staging
            found += [os.path.join(folder, name) for name in folders + files if unfinished or name.startswith(".rbee-")]
        return found

    def kill_supervisor(self) -> None:
        """As the kernel does when memory runs out; its programs stay."""
        pid = int((self.prefix / "supervisor" / "supervisord.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not exists(pid))

    def close(self) -> None:
        if (self.prefix / "supervisor" / "supervisord.pid").exists():
            self.manager.ensure_running()  # ends what a killed one left
        self.manager.shutdown()


def snapshot(root: pathlib.Path, *but: str) -> dict[str, tuple[t.Any, ...]]:
    found: dict[str, tuple[t.Any, ...]] = {}
    for folder, folders, files in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in but]
            files = [name for name in files if name not in but]
        files = [name for name in files if name != "supervisord.log"]  # it tells a minute after a start that it lasts
        for name in [".", *files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
            found[os.path.relpath(path, root)] = (
                status.st_ino,
                status.st_mode,
                status.st_size,
                status.st_mtime_ns,
                link,
            )
    return found


def steps_of(lines: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, list[str]]:
    taken: dict[str, list[str]] = {}
    for line in lines:
        if line["event"] == _events.STEP and line["step"] != _events.AWAIT:  # no step of a plan, and not always there
            taken.setdefault(line["component"], []).append(f"{line['step']} {line['detail']}".rstrip())
    return taken


def finish(process: subprocess.Popen[str]) -> Answer:
    """The answer of a started run."""
    out, _err = process.communicate(timeout=600)
    result = json.loads(out)
    return Answer(result, steps_of(result.get("events", ())))
