# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-pull once for this host, and records how it ended in ``last-pull.json`` of the data folder.

The service ``rbee-pull`` starts it, with the Python of the environment that it was installed with.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

LINES = 20  # of a run that failed
# How Ansible, our summary and git begin to say why.
BEGINS = re.compile(
    r"\[ERROR\]|ERROR!|fatal:|FAILED!|UNREACHABLE!|[\w-]+: error:|\b(failed|rolled-back)( in [\d.]+ s)?: "
)
FRAME = re.compile(r"\[ERROR\]: |ERROR! |(Task|Module|Action) failed: ")
PATIENCE = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=30")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("release", "files", "data", "python"):
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    options = parser.parse_args()
    asked = json.loads((options.files / "pull.json").read_text())
    checkout = options.data / "checkout"
    began, environment = time.time(), environment_of(options.files, checkout / asked["folder"])
    prepare(checkout, environment)
    command = command_of(asked, checkout, options)
    status, log = follow(command, environment)
    about = {
        "schema": 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - began, 1),
        "rc": status,
        "commit": commit_of(checkout, environment),
        "reason": reason_of(status, log),
        "log": log,
    }
    record(options.data / "last-pull.json", about)
    return status


def reason_of(status: int, log: t.Sequence[str]) -> str:
    """The first error on one line; of several mistakes, the first one."""
    if not log:
        return f"it exited with {status}" if status else ""
    said = FRAME.sub("", log[0])
    return " ".join(f"{said} {log[1]}".split() if log[1:] and said.endswith(":") else said.split())


def environment_of(files: pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """Of ansible-pull. Settings of the repository are for people, so its ansible.cfg does not count."""
    usual = {  # a server that is silent for a minute does not hold up the next runs
        "GIT_HTTP_LOW_SPEED_LIMIT": "1",  # bytes a second
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        "GIT_SSH_COMMAND": " ".join(["ssh", *PATIENCE]),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {
        "ANSIBLE_CONFIG": str(files / "ansible.cfg"),
        "ANSIBLE_INVENTORY": str(folder / "rbee.yml"),
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",  # what is installed stays as it is
        "PYTHONUNBUFFERED": "1",
    }
    return {**usual, **kept, **ours}


def command_of(asked: t.Mapping[str, str], checkout: pathlib.Path, options: t.Any) -> list[str]:
    variables = {
        "ansible_connection": "local",
        "ansible_become": False,  # the service has the rights that it needs
        "ansible_python_interpreter": str(options.python),
        "rbee_result_file": str(options.data / "last-run.json"),
    }
    command = [sys.executable, str(pathlib.Path(sys.executable).with_name("ansible-pull"))]
    command += [
        "--url",
        asked["repository"],
        "--directory",
        str(checkout),
        "--full",
        "--clean",
        "--limit",
        asked["host"],
    ]
    command += ["--checkout", asked["version"]] if asked["version"] else []
    command += ["--private-key", asked["key"]] if asked["key"] else []
    return [*command, "--extra-vars", json.dumps(variables), str(options.files / "install.yml")]


def prepare(checkout: pathlib.Path, environment: t.Mapping[str, str]) -> None:
    """A folder that git can go on from; what a power cut has left of it is fetched anew."""
    if checkout.exists():
        for lock in checkout.glob(".git/*.lock"):
            lock.unlink()
        if git(checkout, environment, "fsck", "--connectivity-only", "--no-dangling").returncode:
            shutil.rmtree(checkout)
    checkout.mkdir(mode=0o700, exist_ok=True)


def commit_of(checkout: pathlib.Path, environment: t.Mapping[str, str]) -> str:
    found = git(checkout, environment, "rev-parse", "HEAD")
    return "" if found.returncode else found.stdout.strip()


def git(checkout: pathlib.Path, environment: t.Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(checkout), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def follow(command: t.Sequence[str], environment: t.Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit status, and of a run that failed its lines from the first error on. What it says goes to our stdout."""
    log: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in t.cast(t.IO[str], running.stdout):
            sys.stdout.write(line)
            sys.stdout.flush()
            if (log or BEGINS.search(line)) and line.strip() and len(log) < LINES:
                log.append(line.rstrip())
    return running.returncode, log if running.returncode else []


def record(path: pathlib.Path, about: t.Mapping[str, t.Any]) -> None:
    """Written beside and renamed, for everybody to read: the agent, which is no root, tells of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(about, file, indent=1)
        file.write("\n")
        os.fchmod(file.fileno(), 0o644)
    os.replace(file.name, path)


if __name__ == "__main__":
    sys.exit(main())
