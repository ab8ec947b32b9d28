# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes a fleet by hand, and checks what sync says and does, on the first laptop and on another.

Runs beside the machines of the scenario.
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import typing as t

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
OURS, THEIRS, THIRD = PLACE / "fleet", PLACE / "another-laptop", PLACE / "a-third-one"
CONTROL = pathlib.Path("/run/rbee-machines")  # where ssh keeps the sockets of its open connections
SSH = f"-o UserKnownHostsFile={PLACE}/known_hosts -o StrictHostKeyChecking=yes -o ConnectTimeout=60"


class Run(t.NamedTuple):
    """A sync that has ended. drift: host, component and kind. now: what has become of it. report: the result file."""

    status: int
    drift: set[str]
    now: set[str]
    report: dict[str, t.Any]


def play(folder: pathlib.Path, playbook: str, *options: str) -> int:
    for socket in CONTROL.iterdir():  # a fault would be noticed late on a connection that is open
        if socket.is_socket():
            socket.unlink()
    environment = {**os.environ, "ANSIBLE_PRIVATE_KEY_FILE": str(PLACE / "id_ed25519"), "ANSIBLE_SSH_COMMON_ARGS": SSH}
    command = ["ansible-playbook", "-i", str(folder / "rbee.yml"), f"rbee.fleet.{playbook}", *options]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    sys.stdout.write(f"{' '.join(command[3:])}: {done.returncode}\n")
    if "Traceback" in done.stdout or done.returncode not in (0, 2):
        raise SystemExit(done.stdout)
    summary = done.stdout.partition("Say how the fleet differs")[2].partition("TASK [")[0]
    sys.stdout.write("".join(f"  {line}\n" for line in summary.splitlines()[1:] if line))
    return done.returncode


def sync(folder: pathlib.Path, *options: str) -> Run:
    status = play(folder, "sync", *options)
    report = json.loads((folder / ".rbee" / "last-sync.json").read_text())
    drift = {f"{item['host']} {item['component']} {item['kind']}".replace("  ", " ") for item in report["drift"]}
    return Run(status, drift, {item["now"] for item in report["drift"]}, report)


def on(host: str, *words: str) -> str:
    """What a person types on a machine, over ssh. Returns what it prints."""
    address = {"queen": "10.89.77.10", "hive-1": "10.89.77.11", "hive-2": "10.89.77.12"}[host]
    command = ["ssh", *shlex.split(SSH), "-i", str(PLACE / "id_ed25519"), f"ops@{address}", "sudo", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{host}: {shlex.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def fault(what: str, host: str) -> None:
    subprocess.run([*shlex.split(os.environ["RBEE_MACHINES"]), "fault", what, host], check=True)


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}")


def clean(folder: pathlib.Path) -> None:
    run = sync(folder, "--check", "--diff")
    expect("a check of what is as declared", (run.status, run.report["result"], run.drift), (0, "clean", set()))


def a_worker_by_hand() -> None:
    """It is named, adopted with all comments kept, and served by the queen."""
    declared = (OURS / "hives.conf").read_text()
    on("hive-2", "rbee-hive", "install-worker", "stand-in", "--name", "spare", "--port", "9001", "--model", "parrot")
    trees = {
        host: on(host, "find", "/opt/rbee", "/etc/systemd/system", "-ls") for host in ("queen", "hive-1", "hive-2")
    }
    run = sync(OURS, "--check", "--diff")
    expect("a check", (run.status, run.report["result"], run.drift), (2, "drift", {"hive-2 spare extra"}))
    for host, tree in trees.items():
        expect(f"files of {host} after a check", on(host, "find", "/opt/rbee", "/etc/systemd/system", "-ls"), tree)
    run = sync(OURS, "-e", "rbee_extra=adopt")
    expect("an adoption", (run.status, run.drift, run.now), (0, {"queen queen gateway"}, {"repaired"}))
    line = '  { type = "stand-in", name = "spare", port = 9001, model = "parrot" },\n'
    expect("hives.conf", (OURS / "hives.conf").read_text(), declared.replace("# declared\n", "# declared\n" + line))
    clean(OURS)


def by_hand() -> None:
    """What people do to a hive, each on a hive that is as declared: named, and undone."""
    on("hive-1", "systemctl", "stop", "rbee-stand-in")
    on("hive-2", "sh", "-c", "'echo >>/etc/systemd/system/rbee-spare.service'")
    on("queen", "systemctl", "disable", "rbee-queen")
    wanted = {"hive-1 stand-in stopped", "hive-2 spare modified", "queen queen modified"}
    run = sync(OURS, "--check", "--diff")
    expect("a check", (run.status, run.drift, run.now), (2, wanted, {"differs"}))
    run = sync(OURS)
    expect("a repair", (run.status, run.drift, run.now), (0, wanted, {"repaired"}))
    clean(OURS)


def a_hive_that_leaves() -> None:
    """It leaves the configuration on another laptop, which has never installed anything."""
    shutil.copytree(OURS, THEIRS, ignore=shutil.ignore_patterns(".rbee"))
    text = (THEIRS / "hives.conf").read_text()
    (THEIRS / "hives.conf").write_text(text[: text.index("# The second one")])
    run = sync(THEIRS, "--check", "--diff")
    expect("a check", (run.status, run.drift), (2, {"queen queen gateway", "hive-2 departed"}))
    run = sync(THEIRS)
    expect("a sync that only reports it", (run.status, run.report["result"]), (0, "drift"))
    fault("cut", "hive-2")
    run = sync(THEIRS, "--check", "--diff")
    expect(
        "a check that cannot reach it", (run.status, run.drift, run.report["failures"]), (2, {"hive-2 unreachable"}, [])
    )
    run = sync(THEIRS, "-e", "rbee_extra=remove", "-e", "rbee_purge=true")
    expect("a removal that cannot reach it", (run.status, run.report["result"]), (2, "failed"))
    fault("heal", "hive-2")
    run = sync(THEIRS, "--check", "--diff", "-e", "rbee_extra=remove", "-e", "rbee_purge=true")
    expect("a check of its removal", (run.status, run.drift), (2, {"hive-2 departed"}))
    run = sync(THEIRS, "-e", "rbee_extra=remove", "-e", "rbee_purge=true")
    expect("its removal", (run.status, run.drift, run.now), (0, {"hive-2 departed"}, {"repaired"}))
    clean(THEIRS)
    expect("what the queen forgot", run.report["hosts"]["hive-2"]["state"], "changed")
    register = json.loads(on("queen", "cat", "/opt/rbee/components/queen/receipt.json"))["register"]
    expect("the queen's register", list(register), ["hive-1"])


def a_temporary_hive() -> None:
    """Installed by command from one laptop, left alone by another, and removed by name from there."""
    hive = ("-e", "alias=lab", "-e", "hostname=10.89.77.12", "-e", "ssh_user=ops")
    workers = json.dumps({"workers": [{"type": "stand-in", "model": "parrot"}]})
    declared = (THEIRS / "hives.conf").read_text()
    expect("a hive by command", play(THEIRS, "install_hive", *hive, "-e", workers, "-e", "temp=true"), 0)
    expect("hives.conf", (THEIRS / "hives.conf").read_text(), declared)
    clean(THEIRS)
    shutil.copytree(THEIRS, THIRD, ignore=shutil.ignore_patterns(".rbee"))
    run = sync(THIRD, "-e", "rbee_extra=remove")
    expect("a sync from elsewhere", (run.status, run.drift, run.now), (0, {"queen queen gateway"}, {"repaired"}))
    notes = [(item["host"], item["kind"]) for item in run.report["notes"]]
    expect("what it tells of the hive", notes, [("lab", "temporary")])
    expect("its worker", on("hive-2", "systemctl", "is-active", "rbee-stand-in"), "active\n")
    expect("its removal", play(THIRD, "remove_hive", "-e", "alias=lab", "-e", "rbee_purge=true"), 0)
    expect("what is left there", on("hive-2", "find", "/opt", "-name", "rbee*"), "")
    expect("the same here, of which nothing is left", play(THEIRS, "remove_hive", "-e", "alias=lab"), 0)
    clean(THEIRS)


if __name__ == "__main__":
    (OURS / "rbee.yml").write_text("plugin: rbee.fleet.hives\n")
    expect("the install", play(OURS, "install"), 0)
    clean(OURS)
    a_worker_by_hand()
    by_hand()
    a_hive_that_leaves()
    a_temporary_hive()
    expect("the uninstall", play(THEIRS, "uninstall", "-e", "rbee_purge=true"), 0)
