# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a queen and up to ten hives on machines that boot systemd: medians and ratios.

    script/machines run python tests/bench/fleet.py [--hives 1,3,10] [--alone 10] [--rate 2.4] [--pairs 9] …

Wall and CPU times are of whole commands on the controller, Ansible's own start included. All machines share the cores
of this one, so that installing at once is bound by them, as real machines are not. So fresh installs are measured
twice: as they are, and with each host's downloads limited to a rate, as by a network of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.rbee.fleet.tests.bench import served, stock  # noqa: E402  # after the path is set

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
BENCH = ROOT / "tests" / "bench"
MOLECULE = ("molecule", "--base-config", str(ROOT / "extensions" / "molecule" / "config.yml"))
GATE, PORT = "10.89.77.1", 8001  # where this serves what hosts fetch
WORKER, QUEEN = ("10.89.77.11", 8080), ("10.89.77.10", 8500)
KEY = "sesame-for-tests-only"
TOKENS = 64


class Took(t.NamedTuple):
    """Wall and CPU seconds of a command and its children."""

    wall: float
    cpu: float


def run(*command: str) -> tuple[Took, str]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}\n{done.stdout}")
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), done.stdout


def play(name: str, *options: str) -> tuple[Took, str]:
    return run("ansible-playbook", "-i", str(PLACE / "inventory"), name, *options)


def install(*options: str) -> tuple[Took, str]:
    return play("rbee.fleet.install", *options)


def uninstall(*options: str) -> None:
    play("rbee.fleet.uninstall", "-e", "rbee_purge=true", *options)


def ping() -> tuple[Took, str]:
    return run("ansible", "-i", str(PLACE / "inventory"), "rbee", "-m", "ansible.builtin.ping")


def say(what: str, value: str = "") -> None:
    sys.stdout.write(f"{what:<64} {value}\n")
    sys.stdout.flush()


class Fleet:
    """The machines, and a configuration of the first of them."""

    def __init__(self) -> None:
        self._hives = PLACE / "fleet" / "hives.conf"
        self._all = re.split(r"(?m)^(?=\[\[hive\]\])", self._hives.read_text())[1:]
        self.hosts: list[str] = []

    def declare(self, count: int) -> None:
        self._hives.write_text("".join(self._all[:count]))
        self.hosts = ["queen", *(f"hive-{number}" for number in range(1, count + 1))]


def fetch_from_here() -> served.Pace:
    """Serve the artefacts from this process, and have hosts fetch them here."""
    folder = PLACE / "served"
    folder.mkdir()
    for artefact in (ROOT / ".cache" / "machines" / "artefacts").iterdir():
        (folder / artefact.name).symlink_to(artefact)
    old = f"{GATE}:{os.environ['RBEE_MACHINES_PORT']}/"
    # The first of these is mounted into the machines: it has to stay the same file.
    for path in (PLACE / "uv.toml", PLACE / "fleet" / "catalog" / "uv.toml", PLACE / "fleet" / "models.conf"):
        path.write_text(path.read_text().replace(old, f"{GATE}:{PORT}/"))
    return served.serve(folder, PORT)


def fresh(fleet: Fleet, counts: t.Sequence[int], singles: int, how: str) -> None:
    """Install hosts alone, then some of them at once; all is taken away in between. singles: how many hives alone."""
    alone: dict[str, float] = {}
    say(f"fresh install, {how}")
    for count in counts:
        fleet.declare(count)
        for host in fleet.hosts[: singles + 1]:
            if host not in alone:
                alone[host] = install("--limit", host)[0].wall
                uninstall("--limit", host)
        at_once = install()[0]
        uninstall()
        slowest = max(alone, key=lambda host: alone[host])
        say(f" queen and {count} hives at once", f"{at_once.wall:.1f} s")
        say(f"   slowest single, {slowest}", f"{alone[slowest]:.1f} s")
        say("   at once to the slowest single", f"{at_once.wall / alone[slowest]:.2f}")
        if alone.keys() >= {*fleet.hosts}:
            one_by_one = sum(alone[host] for host in fleet.hosts)
            say("   one after the other", f"{one_by_one:.1f} s")
            say("   at once to one after the other", f"{at_once.wall / one_by_one:.2f}")
        say("   controller CPU for each host", f"{at_once.cpu / len(fleet.hosts):.2f} s")


def compare(what: str, ours: t.Callable[[], tuple[Took, str]], hosts: int, pairs: int) -> float:
    """A run that has nothing to do against the smallest task there is, in turn. Returns the median wall time."""
    found = []
    for pair in range(pairs):
        first, second = (ours, ping) if pair % 2 else (ping, ours)
        times = {first: first()[0], second: second()[0]}
        found.append((times[ours], times[ping]))
    wall = statistics.median(took.wall for took, _ping in found)
    say(f" {what}, median", f"{wall:.2f} s")
    say("   ansible -m ping, median", f"{statistics.median(took.wall for _ours, took in found):.2f} s")
    say("   to the ping, wall, median of pairs", f"{statistics.median(a.wall / b.wall for a, b in found):.2f}")
    say("   to the ping, CPU, median of pairs", f"{statistics.median(a.cpu / b.cpu for a, b in found):.2f}")
    say("   controller CPU for each host", f"{statistics.median(took.cpu for took, _ping in found) / hosts:.2f} s")
    return wall


def unchanged(fleet: Fleet, count: int, pairs: int) -> float:
    fleet.declare(count)
    install()
    say(f"run without changes, queen and {count} hives")
    wall = compare("rbee.fleet.install", install, len(fleet.hosts), pairs)
    say("   ssh commands for each host", f"{install('-vvv')[1].count('SSH: EXEC') / len(fleet.hosts):.1f}")
    return wall


def unchanged_stock(fleet: Fleet, count: int, pairs: int, ours: float) -> None:
    """The same job with stock modules, in place of ours. ours: seconds that a run of ours took."""
    fleet.declare(count)
    uninstall()
    options = [str(BENCH / "stock" / "site.yml"), *stock.prepare(PLACE / "served", f"http://{GATE}:{PORT}")]

    def site() -> tuple[Took, str]:
        return play(*options)

    say(f"the same job with stock modules, queen and {count} hives")
    say(" fresh install", f"{site()[0].wall:.1f} s")
    again = site()[1]
    if re.search(r"changed=[1-9]", again):
        raise SystemExit(f"the stock playbook is not idempotent\n{again}")
    wall = compare("run without changes", site, len(fleet.hosts), pairs)
    say("   to rbee.fleet.install without changes", f"{wall / ours:.1f}")
    verbose = play(*options, "-vvv")[1]
    say("   ssh commands for each host", f"{verbose.count('SSH: EXEC') / len(fleet.hosts):.1f}")


def ask(where: tuple[str, int]) -> tuple[float, float]:
    """Seconds until the first token and until the end of a streamed answer."""
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Tell me all that you know about the life in a beehive."}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
    }
    start = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection(*where, timeout=120)) as connection:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        line = answer.readline()
        while line and b'"content":"' not in line:
            line = answer.readline()
        first = time.monotonic() - start
        tokens = 1 + answer.read().count(b'"content":"')
    if answer.status != 200 or tokens < TOKENS - 1:
        raise SystemExit(f"{where} answered {answer.status} with {tokens} tokens: {line!r}")
    return first, time.monotonic() - start


def await_queen() -> None:
    """She looks at a worker that is down once a second, so she may see it a moment after the install has."""
    deadline = time.monotonic() + 30
    body = json.dumps({"model": "smollm2", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1})
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    while True:
        with contextlib.closing(http.client.HTTPConnection(*QUEEN, timeout=30)) as connection:
            connection.request("POST", "/v1/chat/completions", body, headers)
            status = connection.getresponse().status
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"the queen still answers {status}")
        time.sleep(0.2)


def through_the_queen(fleet: Fleet, requests: int) -> None:
    """The same request to the only worker and through the queen to it, in turn."""
    fleet.declare(1)
    uninstall()
    install()
    await_queen()
    for where in (WORKER, QUEEN) * 3:
        ask(where)
    pairs = []
    for number in range(requests):
        first, second = (QUEEN, WORKER) if number % 2 else (WORKER, QUEEN)
        found = {first: ask(first), second: ask(second)}
        pairs.append((found[WORKER], found[QUEEN]))
    say(f"streamed answer of {TOKENS} tokens, one worker")
    for index, what in ((0, "time to first token"), (1, "whole answer")):
        times = [(one[index], other[index]) for one, other in pairs]
        say(
            f" {what}, worker asked directly, median",
            f"{statistics.median(one for one, _other in times) * 1000:.1f} ms",
        )
        say(f" {what}, through the queen, median", f"{statistics.median(other for _one, other in times) * 1000:.1f} ms")
        say("   added by the queen, median of pairs", f"{statistics.median(b - a for a, b in times) * 1000:.1f} ms")
        say("   queen to worker, median of pairs", f"{statistics.median(b / a for a, b in times):.3f}")


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hives", type=numbers, default=[1, 3, 10], help="of the fresh installs, for example 1,3,10")
    parser.add_argument("--alone", type=int, default=10, help="hives that are also installed alone")
    parser.add_argument("--rate", type=float, default=2.4, help="MB/s that a host fetches in the limited installs")
    parser.add_argument("--pairs", type=int, default=9, help="of runs without changes")
    parser.add_argument("--requests", type=int, default=40, help="pairs of them")
    options = parser.parse_args()
    say("cores, machine, Python", f"{os.cpu_count()}, {platform.machine()}, {platform.python_version()}")
    os.environ["RBEE_API_KEY"] = KEY
    os.environ["MOLECULE_GLOB"] = str(BENCH / "*" / "molecule.yml")
    most = max(options.hives)
    try:
        run(*MOLECULE, "create", "--scenario-name", "ten")
        os.environ["ANSIBLE_CONFIG"] = str(PLACE / "ansible.cfg")
        fleet, pace = Fleet(), fetch_from_here()
        fresh(fleet, options.hives, options.alone, f"{os.cpu_count()} cores for all hosts, no limit of the network")
        pace.rate = options.rate * 1e6
        fresh(fleet, options.hives, options.alone, f"{options.rate:g} MB/s for each host's downloads")
        pace.rate = 0
        through_the_queen(fleet, options.requests)
        for count in options.hives:
            ours = unchanged(fleet, count, options.pairs)
        unchanged_stock(fleet, most, options.pairs, ours)
    finally:
        run(*MOLECULE, "destroy", "--scenario-name", "ten")


if __name__ == "__main__":
    main()
