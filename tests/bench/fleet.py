# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the scenario ``default``, a queen and three hives on machines that boot systemd: medians and ratios.

    script/machines run python tests/bench/fleet.py

Wall and CPU times are of whole commands on the controller; ansible-playbook's own start is in them. All machines share
this one's cores, so that installing at once gains less here than on machines of their own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time
import typing as t

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MOLECULE = ("create", "prepare")
HOSTS = ("queen", "hive-1", "hive-2", "hive-3")
WORKER, QUEEN = ("10.89.77.11", 8080), ("10.89.77.10", 8500)
KEY = "sesame-for-tests-only"
PAIRS, REQUESTS = 9, 40


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
    return run("ansible-playbook", "-i", str(PLACE / "inventory"), f"rbee.fleet.{name}", *options)


def say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<64} {value}\n")
    sys.stdout.flush()


def fresh() -> None:
    """Install every host alone, then all at once; all is taken away in between."""
    alone = {}
    for host in HOSTS:
        alone[host] = play("install", "--limit", host)[0].wall
        play("uninstall", "-e", "rbee_purge=true", "--limit", host)
    at_once = play("install")[0]
    slowest = max(alone, key=lambda host: alone[host])
    for host, seconds in alone.items():
        say(f"fresh install of {host} alone", f"{seconds:.1f} s")
    say("fresh install of all at once", f"{at_once.wall:.1f} s")
    say(f"  to the slowest one, {slowest}", f"{at_once.wall / alone[slowest]:.2f}")
    say("  to one after the other", f"{at_once.wall / sum(alone.values()):.2f}")
    say("  controller CPU for each host", f"{at_once.cpu / len(HOSTS):.2f} s")


def unchanged() -> None:
    """A run that has nothing to do against the smallest task there is, in turn."""
    ours, pings = [], []
    for _pair in range(PAIRS):
        ours.append(play("install")[0])
        pings.append(run("ansible", "-i", str(PLACE / "inventory"), "rbee", "-m", "ansible.builtin.ping")[0])
    say("run without changes, median", f"{statistics.median(took.wall for took in ours):.2f} s")
    say("ansible -m ping, median", f"{statistics.median(took.wall for took in pings):.2f} s")
    pairs = list(zip(ours, pings))
    say("  to the ping, wall, median of pairs", f"{statistics.median(a.wall / b.wall for a, b in pairs):.2f}")
    say("  to the ping, CPU, median of pairs", f"{statistics.median(a.cpu / b.cpu for a, b in pairs):.2f}")
    say("  controller CPU for each host", f"{statistics.median(took.cpu for took in ours) / len(HOSTS):.2f} s")
    verbose = play("install", "-vvv")[1]
    say("  ssh commands for each host", f"{verbose.count('SSH: EXEC') / len(HOSTS):.1f}")


def ask(where: tuple[str, int]) -> tuple[float, float]:
    """Seconds until the first token and until the end of a streamed answer."""
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "What is a beehive?"}],
        "max_tokens": 16,
        "temperature": 0,
        "stream": True,
    }
    start = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection(*where, timeout=60)) as connection:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        line = answer.readline()
        while line and b'"content":"' not in line:
            line = answer.readline()
        first = time.monotonic() - start
        answer.read()
    if answer.status != 200:
        raise SystemExit(f"{where} answered {answer.status}: {line!r}")
    return first, time.monotonic() - start


def through_the_queen() -> None:
    """The same request to a llama.cpp worker and through the queen to it or its equal, in turn."""
    for where in (WORKER, QUEEN) * 3:
        ask(where)
    direct, queen = [], []
    for _request in range(REQUESTS):
        direct.append(ask(WORKER))
        queen.append(ask(QUEEN))
    for index, what in ((0, "time to first token"), (1, "whole answer")):
        one, other = (statistics.median(found[index] for found in asked) for asked in (direct, queen))
        say(f"{what}, worker asked directly, median", f"{one * 1000:.1f} ms")
        say(f"{what}, through the queen, median", f"{other * 1000:.1f} ms")
        say("  queen to worker", f"{other / one:.3f}")


def main() -> None:
    say("cores, machine, Python", f"{os.cpu_count()}, {platform.machine()}, {platform.python_version()}")
    os.environ["RBEE_API_KEY"] = KEY
    try:
        for step in MOLECULE:
            run("molecule", step)
        os.environ["ANSIBLE_CONFIG"] = str(PLACE / "ansible.cfg")
        fresh()
        unchanged()
        through_the_queen()
    finally:
        run("molecule", "destroy")


if __name__ == "__main__":
    main()
