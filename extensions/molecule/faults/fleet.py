# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the scenario, the installs of their fleet, and what one says when they are not as expected."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import typing as t

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
KNOWN_HOSTS, HIVES = PLACE / "known_hosts", PLACE / "fleet" / "hives.conf"
RESULT = PLACE / "inventory" / ".rbee" / "last-run.json"
CONTROL = pathlib.Path("/run/rbee-machines")  # where ssh keeps the sockets of its open connections
INSTALL = ["ansible-playbook", "-i", str(PLACE / "inventory"), "rbee.fleet.install"]
HOSTS = ("queen", *(f"hive-{number}" for number in range(1, 7)))
MOMENT = 600.0  # seconds that anything may take


class Run(t.NamedTuple):
    """An install that has ended: exit code, what it printed, the hosts of its result file, what a retry takes up."""

    status: int
    said: str
    hosts: dict[str, dict[str, t.Any]]
    failed: dict[str, list[str]]


def fault(what: str, host: str) -> None:
    subprocess.run([*shlex.split(os.environ["RBEE_MACHINES"]), "fault", what, host], check=True)


def on(host: str, script: str, given: str = "") -> str:
    """Run a script of sh on a machine, not over the network. Returns what it prints. given: its standard input."""
    command = ["podman", "exec", "--interactive", host, "sh", "-c", script]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{host}: {script}: {done.stderr or done.returncode}")
    return done.stdout


def wait_until(condition: t.Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + MOMENT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {MOMENT:.0f} s: {what}")
        time.sleep(0.1)


def begin(*options: str) -> subprocess.Popen[str]:
    """Start an install that opens all of its connections anew."""
    for socket in CONTROL.iterdir():
        if socket.is_socket():
            socket.unlink()
    return subprocess.Popen([*INSTALL, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def hear(run: subprocess.Popen[str], words: str) -> None:
    """Wait until an install prints a line with these words."""
    assert run.stdout
    said = []
    for line in run.stdout:
        if words in line:
            return
        said.append(line)
    raise SystemExit(f"{words!r} is not in {''.join(said)!r}")


def end(run: subprocess.Popen[str]) -> Run:
    said = run.communicate()[0]
    result = json.loads(RESULT.read_text())
    sys.stdout.write(f"install exited with {run.returncode}\n")
    for name, host in result["hosts"].items():
        sys.stdout.write(f"  {name}: {host['state']} {' '.join(host['reason'].split())[:200]}\n")
    return Run(run.returncode, said, result["hosts"], result["failed"])


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}")


def states(run: Run) -> dict[str, str]:
    return {name: run.hosts[name]["state"] for name in HOSTS}


def holds(what: str, found: t.Any, words: str) -> None:
    """Whether something that was found has these words in it, whatever their case."""
    if words.lower() not in json.dumps(found).lower():
        raise SystemExit(f"{what}: {words!r} is not in {found!r}")


def service_start(host: str, name: str) -> str:
    return on(host, f"systemctl show --property=MainPID,ExecMainStartTimestampMonotonic rbee-{name}")
