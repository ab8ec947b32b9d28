# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the playbook ``status`` on a few hundred real agents, which all run on this machine.

    "$(script/bootstrap test)"/bin/python tests/bench/status.py [HIVES]

Each hive is a prefix with a receipt, the project's own bundle and a supervisord that runs it, installed by the node
library from what the inventory declares, on an address of its own in 127.0.0.0/8. All share this machine's cores with
Ansible. Wall and CPU times are of whole commands. An agent that was stopped is looked at over ssh, for which a stand-in
serves: Ansible's own part of it is in the figures, the network's and the encryption's are not.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import platform
import re
import resource
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TREE = ROOT / ".cache" / "collections"
sys.path.insert(0, str(TREE))

from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load  # noqa: E402  # after the path is set
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve  # noqa: E402
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host, free_port  # noqa: E402

FLEET, PREFIX = "bench", "rbee"
HIVES, STOPPED = 300, (3, 30)
ROUNDS = 3
FORKS = 20
MEMORY = 50  # MiB for each hive: its agent and its supervisord
SSH = """#!/bin/sh
# A stand-in for ssh: runs the command here, as the user whose home is that of the host.
for word; do case $word in 127.*) host=$word ;; esac; done
HOME={folder}/$host exec sh -c "$word"
"""


class Took(t.NamedTuple):
    """Wall and CPU seconds of a command and its children."""

    wall: float
    cpu: float


class Fleet:
    """Hives on this machine: one address each, one port for all."""

    def __init__(self, folder: pathlib.Path, count: int, supervisor: pathlib.Path) -> None:
        self.folder, self.supervisor, self.port = folder, supervisor, free_port()
        self.addresses = {f"hive-{number}": f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count)}
        self._write("rbee.yml", "plugin: rbee.fleet.hives\n")
        self._write("rbee.conf", f'[fleet]\nname = "{FLEET}"\nscope = "user"\nprefix = "~/{PREFIX}"\n')
        # In user scope, users of one machine have a hive each.
        hive = '[[hive]]\nalias = "{0}"\nhostname = "{1}"\nssh_user = "user-{0}"\nhive_port = {2}\n'
        self._write("hives.conf", "".join(hive.format(*item, self.port) for item in self.addresses.items()))
        self._write("ssh", SSH.format(folder=folder))
        (folder / "ssh").chmod(0o755)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def host(self, name: str) -> Host:
        home = self.folder / self.addresses[name]
        (home / "artefacts").mkdir(parents=True, exist_ok=True)
        return Host(home / PREFIX, home / "artefacts", self.supervisor)

    def each(self, step: t.Callable[..., None], names: t.Iterable[str]) -> None:
        """Takes a step with hives, in as many processes as there are cores."""
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
            for done in [pool.submit(step, self, name) for name in names]:
                done.result()

    def status(self, *options: str) -> tuple[Took, dict[str, t.Any]]:
        """Runs the playbook; returns what it took and what it found."""
        document = self.folder / "status.json"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(self.folder / "rbee.yml"), "rbee.fleet.status",
             "-e", f"rbee_status_json={document}", "-e", f"ansible_python_interpreter={sys.executable}", *options],
            cwd=self.folder, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"status exited with {done.returncode}\n{done.stdout}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Took(wall, cpu), json.loads(document.read_text())

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        ours = {
            "ANSIBLE_COLLECTIONS_PATH": str(TREE),
            "ANSIBLE_FORKS": str(FORKS),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_EXECUTABLE": str(self.folder / "ssh"),
        }
        return {**kept, **ours}


def install(fleet: Fleet, name: str) -> None:
    specs = resolve(*load(str(fleet.folder)))[name].specs
    with (
        mock.patch.dict(os.environ, HOME=str(fleet.folder / fleet.addresses[name])),
        mock.patch.object(os, "fsync"),  # the power stays on
    ):
        answer = fleet.host(name).run(*specs, fleet=FLEET)
    if answer.states != {"hive": "installed"}:
        raise SystemExit(f"{name} was not installed: {answer.result}")


def stop(fleet: Fleet, name: str) -> None:
    fleet.host(name).manager.stop("hive")


def take_away(fleet: Fleet, name: str) -> None:
    if (fleet.folder / fleet.addresses[name] / PREFIX).exists():
        fleet.host(name).close()


def say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<64} {value}\n")
    sys.stdout.flush()


def median(fleet: Fleet, expected: t.Mapping[str, int], *options: str) -> Took:
    """Of several rounds, each of which has to find what is there."""
    found = []
    for _round in range(ROUNDS):
        took, document = fleet.status(*options)
        found.append(took)
        sources = [host["source"] for name, host in document["hosts"].items() if name != "queen"]
        if {source: sources.count(source) for source in sources} != dict(expected):
            raise SystemExit(f"expected {expected}, found {document['summary']}, by {sources}")
    return Took(*(statistics.median(values) for values in zip(*found)))


def measure(fleet: Fleet) -> None:
    count = len(fleet.addresses)
    one = median(fleet, {"http": 1}, "--limit", "hive-0")
    every = median(fleet, {"http": count}, "--limit", "rbee_hives")
    say("status of one hive, median", f"{one.wall:.1f} s, CPU {one.cpu:.1f} s")
    say(f"status of {count} hives, median", f"{every.wall:.1f} s, CPU {every.cpu:.1f} s")
    say("  to one", f"{every.wall / one.wall:.2f}")
    say("  for each hive more", f"{(every.wall - one.wall) / (count - 1) * 1000:.1f} ms")
    stopped: list[str] = []
    for number in (number for number in STOPPED if number < count):
        more = [name for name in fleet.addresses if name not in stopped][-(number - len(stopped)) :]
        fleet.each(stop, more)
        stopped += more
        took = median(fleet, {"http": count - number, "ssh": number}, "--limit", "rbee_hives")
        say(f"  {number} of their agents stopped, {FORKS} forks", f"{took.wall:.1f} s, CPU {took.cpu:.1f} s")
        say("    for each of them more", f"{(took.wall - every.wall) / number * 1000:.0f} ms")


def available() -> int:
    """MiB of memory that can be had."""
    found = re.search(r"MemAvailable: *(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    return int(found[1]) // 1024 if found else 0


def supervisor() -> pathlib.Path:
    """The environment that the integration tests use, made by them or here."""
    uv = runpy.run_path(str(ROOT / "script" / "bootstrap.py"))["find_uv"]()
    found = runpy.run_path(str(ROOT / "tests" / "integration" / "pytest" / "conftest.py"))["_environment"]
    return pathlib.Path(found(uv, "supervisor", "default"))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else HIVES
    if os.path.isdir("/run/systemd/system"):
        raise SystemExit("the agents would ask systemd about services that supervisor runs; use a container")
    if available() < count * MEMORY:
        raise SystemExit(f"{count} hives need {count * MEMORY} MiB of memory, {available()} MiB are there")
    say("cores, machine, Python", f"{os.cpu_count()}, {platform.machine()}, {platform.python_version()}")
    fleet = Fleet(pathlib.Path(tempfile.mkdtemp(prefix="rbee-")), count, supervisor())
    try:
        start = time.monotonic()
        fleet.each(install, fleet.addresses)
        say(f"(installing {count} hives here)", f"{time.monotonic() - start:.0f} s")
        measure(fleet)
    finally:
        fleet.each(take_away, fleet.addresses)
        shutil.rmtree(fleet.folder)


if __name__ == "__main__":
    main()
