# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what a machine holds as JSON: sorted lists of lines for files, accounts, units, ports and processes.

Left out is what the system and Ansible themselves change: kernel file systems, logs, caches of packages and libraries,
temporary folders of systemd's own services, units of logins, backups of the account files, and Ansible's own folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import typing as t

SKIPPED = re.compile(
    r"/(proc|sys|dev|run|srv|var/log|var/lib/apt|var/cache/(apt|ldconfig)|var/lib/systemd/(timers|random-seed)"
    r"|(var/)?tmp/systemd-private-[0-9a-f]+-systemd-.*"
    r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-"
    r"|(root|home/[^/]+)/\.ansible)"
)
LOGINS = re.compile(r"user(-runtime-dir)?@[0-9]+\.service")
READ = re.compile(r"/etc/|/usr/local/|/home/")


def files(folder: str = "/") -> t.Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if SKIPPED.fullmatch(entry.path):
                continue
            status = entry.stat(follow_symlinks=False)
            content = ""
            if entry.is_symlink():
                content = os.readlink(entry.path)
            elif entry.is_file() and READ.match(entry.path):
                content = hashlib.sha256(pathlib.Path(entry.path).read_bytes()).hexdigest()
            yield f"{entry.path} {stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid} {content}".rstrip()
            if entry.is_dir(follow_symlinks=False):
                yield from files(entry.path)


def lines(*command: str) -> list[str]:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def programs() -> t.Iterator[str]:
    """The command lines of all processes but those that this look itself brings along."""
    for words in (line.split(None, 1) for line in lines("ps", "-eo", "comm=,args=")):
        if words[0] not in ("ps", "python3", "sh", "ssh", "sshd", "sudo", "sd-pam", "(sd-pam)"):
            yield words[1] if len(words) > 1 else words[0]


def units() -> t.Iterator[str]:
    """The units of the system but those that come and go with a login."""
    kinds = "--type=service,timer,socket,path"
    for line in lines("systemctl", "list-units", "--all", "--plain", "--no-legend", kinds):
        if not LOGINS.fullmatch(line.split()[0]):
            yield line.split()[0]


def main() -> None:
    found = {
        "accounts": lines("cat", "/etc/passwd", "/etc/group"),
        "files": list(files()),
        "packages": lines("dpkg-query", "--show"),
        "ports": [" ".join(line.split()[:5]) for line in lines("ss", "-Htuln")],
        "programs": list(programs()),
        "units": list(units()),
    }
    json.dump({name: sorted(set(values)) for name, values in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
