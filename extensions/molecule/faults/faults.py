# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks machines before an install and during one, and checks what the run says of them and what a retry does.

Runs beside the machines of the scenario.
"""

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
CONTROL = pathlib.Path("/run/rbee-machines")  # where ssh keeps the sockets of its open connections
INSTALL = ["ansible-playbook", "-i", str(PLACE / "inventory"), "rbee.fleet.install"]
HOSTS = ("queen", *(f"hive-{number}" for number in range(1, 7)))
MOMENT = 60.0  # seconds that anything may take


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


def end(run: subprocess.Popen[str]) -> Run:
    said = run.communicate()[0]
    result = json.loads(next(PLACE.rglob("last-run.json")).read_text())
    sys.stdout.write(f"install exited with {run.returncode}\n")
    for name, host in result["hosts"].items():
        sys.stdout.write(f"  {name}: {host['state']} {' '.join(host['reason'].split())[:200]}\n")
    return Run(run.returncode, said, result["hosts"], result["failed"])


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}")


def states(run: Run) -> dict[str, str]:
    return {name: run.hosts[name]["state"] for name in HOSTS}


def service_start(host: str, name: str) -> str:
    return on(host, f"systemctl show --property=MainPID,ExecMainStartTimestampMonotonic rbee-{name}")


def before_an_install() -> None:
    """Each hive is broken in another way; the first has a worker that never becomes healthy, beside one that does."""
    good = KNOWN_HOSTS.read_text()
    keys = dict(line.split(" ", 1) for line in good.splitlines())
    fault("cut", "hive-2")
    KNOWN_HOSTS.write_text(good.replace(keys["10.89.77.13"], keys["10.89.77.11"]))
    on("hive-4", "mv /etc/sudoers.d/ops /root/ops")
    on("hive-5", "mv /usr/bin/python3 /usr/bin/python3.gone")
    on("hive-6", "mkdir /opt/rbee && mount -t tmpfs -o size=4m tmpfs /opt/rbee")

    run = end(begin())
    expect("exit code", run.status, 2)
    wanted = {"queen": "changed", "hive-2": "unreachable", "hive-3": "unreachable"}
    expect("states", states(run), {name: wanted.get(name, "failed") for name in HOSTS})
    reasons = {
        "hive-2": "timed out",
        "hive-3": "Host key verification failed",
        "hive-4": "sudo",
        "hive-5": "python",
        "hive-6": "free",
    }
    for name, word in reasons.items():
        if word.lower() not in json.dumps(run.hosts[name]).lower():
            raise SystemExit(f"{name}: {word!r} is not in its reason: {run.hosts[name]}")
    expect(
        "components of hive-1",
        {item["name"]: item["state"] for item in run.hosts["hive-1"]["components"]}["stand-in"],
        "installed",
    )
    expect("to be retried on hive-1", run.failed["hive-1"], ["mute"])

    fault("heal", "hive-2")
    KNOWN_HOSTS.write_text(good)
    on("hive-4", "mv /root/ops /etc/sudoers.d/ops")
    on("hive-5", "mv /usr/bin/python3.gone /usr/bin/python3")
    on("hive-6", "umount /opt/rbee && rmdir /opt/rbee")
    HIVES.write_text(HIVES.read_text().replace('args = ["--model", "/gone"]', 'args = ["--starts", "0"]'))
    before = service_start("hive-1", "stand-in"), service_start("queen", "queen")
    run = end(begin("-e", "rbee_retry_failed=true"))
    expect("exit code", run.status, 0)
    expect("states", states(run), {name: "skipped" if name == "queen" else "changed" for name in HOSTS})
    expect("what ran already", (service_start("hive-1", "stand-in"), service_start("queen", "queen")), before)

    run = end(begin("-vvv", "--diff"))
    expect("exit code", run.status, 0)
    expect("states", set(states(run).values()), {"ok"})
    keep_secret(run.said)


def keep_secret(said: str) -> None:
    """The key is in no output, argument or log, and in no file that everybody may read."""
    key = os.environ["RBEE_API_KEY"]
    expect("the key in what Ansible printed", key in said, False)
    for host in HOSTS:
        everywhere = "grep -rlFf - /etc /home /opt /root /tmp /var | xargs -r -I@ find @ -perm /o+r"
        expect(f"files of {host} with the key that everybody may read", on(host, everywhere, key), "")
        expect(f"the key in the journal of {host}", key in on(host, "journalctl --no-pager"), False)
        expect(f"the key in arguments on {host}", key in on(host, "cat /proc/[0-9]*/cmdline || :"), False)


def during_an_upgrade() -> None:
    """While workers are started again, one hive loses its power, one its cable, and one stands still."""
    HIVES.write_text(HIVES.read_text().replace('"--starts", "0"', '"--starts", "5"'))
    run = begin()
    for host, what in (("hive-2", "crash"), ("hive-3", "cut"), ("hive-4", "freeze")):
        wait_until(lambda host=host: "--starts 5" in on(host, "ps -eo args"), f"{host} starts its worker again")  # type: ignore[misc]
        fault(what, host)
    broken = end(run)
    expect("exit code", broken.status, 2)
    wanted = {"queen": "ok", "hive-2": "unreachable", "hive-3": "unreachable", "hive-4": "unreachable"}
    expect("states", states(broken), {name: wanted.get(name, "changed") for name in HOSTS})

    fault("boot", "hive-2")
    fault("heal", "hive-3")
    fault("thaw", "hive-4")
    wait_until(lambda: on("hive-2", "systemctl is-system-running || :").strip() == "running", "hive-2 has booted")
    begun = service_start("hive-3", "stand-in")
    run_2 = end(begin("-e", "rbee_retry_failed=true"))
    expect("exit code", run_2.status, 0)
    for name in ("queen", "hive-1", "hive-5", "hive-6"):
        expect(f"state of {name}", run_2.hosts[name]["state"], "skipped")
    expect("the worker of hive-3, which went on without a connection", service_start("hive-3", "stand-in"), begun)
    run_3 = end(begin())
    expect("exit code", run_3.status, 0)
    expect("states", set(states(run_3).values()), {"ok"})


if __name__ == "__main__":
    before_an_install()
    during_an_upgrade()
    sys.exit(0)
