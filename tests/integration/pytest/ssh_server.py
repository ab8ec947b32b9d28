# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sshd on loopback, for this user alone: own host key, own authorized keys, nothing of the system's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port, wait_until

PORTS = 6  # of one machine, as the configuration sees it, each is another
SETTINGS = """
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
MaxStartups 100
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
"""
# Root's sshd wants an account and a folder of its own. It gets both, and another home, in a mount namespace.
APART = """
set -e
mount --bind "$0/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir /run/sshd
{more}
exec "$@"
"""
WITHOUT_PYTHON = """
mkdir /run/bin /run/work
for program in /usr/bin/python3*; do mknod "/run/bin/${program##*/}" c 0 0; done
mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=/run/bin,workdir=/run/work /usr/bin
"""


class Server:
    """One sshd on several ports. folder: of its files. home: of its user."""

    def __init__(self, folder: pathlib.Path, program: Sshd, without_python: bool = False) -> None:
        self.folder, self.ports = folder, [free_port() for _number in range(PORTS)]
        self.home = pathlib.Path(folder, "home") if os.geteuid() == 0 else pathlib.Path.home()
        folder.mkdir()
        (folder / "home").mkdir()
        self.new_key("host")
        (folder / "authorized_keys").touch()
        settings = [SETTINGS.format(folder=folder), *(f"Port {port}" for port in self.ports), *program.settings]
        (folder / "sshd_config").write_text("\n".join(settings))
        command = [str(program.path), "-D", "-e", "-f", str(folder / "sshd_config")]
        if os.geteuid() == 0:
            mine = f"{pwd.getpwuid(0).pw_name}:x:0:0::{self.home}:/bin/sh"
            others = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines() if ":0:0:" not in line]
            lines = [mine, *others, "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin"]
            (folder / "passwd").write_text("\n".join(lines) + "\n")
            script = APART.format(more=WITHOUT_PYTHON if without_python else "")
            command = ["unshare", "--mount", "sh", "-c", script, str(folder), *command]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=program.environment, stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or self.log.read_text().count("Server listening") == PORTS)
        if self.process.poll() is not None:
            pytest.skip(f"sshd does not run here: {self.log.read_text().strip()}")

    def new_key(self, name: str, passphrase: str = "", kind: str = "ed25519") -> pathlib.Path:
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True)
        return path

    def admit(self, key: pathlib.Path) -> None:
        with (self.folder / "authorized_keys").open("a") as keys:
            keys.write(pathlib.Path(f"{key}.pub").read_text())

    def known(self, key: str = "host") -> str:
        """Lines of known_hosts. key: the one that they say the server has."""
        text = (self.folder / f"{key}.pub").read_text()
        return "".join(f"[127.0.0.1]:{port} {text}" for port in self.ports)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Sshd(t.NamedTuple):
    """The program, what its environment must have and what its settings must say."""

    path: pathlib.Path
    environment: dict[str, str]
    settings: list[str]


def find(cache: pathlib.Path) -> Sshd:
    """The system's sshd, else that of the distribution's package, unpacked and not installed. Skips without either."""
    path = shutil.which("sshd", path=os.defpath + ":/usr/sbin:/sbin")
    if path:
        return Sshd(pathlib.Path(path), dict(os.environ), [])
    folder = cache / "sshd"
    if not (folder / "usr/sbin/sshd").exists():
        _unpack(folder)
    libraries = [str(found.parent) for found in folder.rglob("libwrap.so.0")]
    programs = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
    settings = [f"{key} {found}" for key, name in programs.items() for found in folder.rglob(name)]
    return Sshd(folder / "usr/sbin/sshd", {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}, settings)


def _unpack(folder: pathlib.Path) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("sshd is missing")
    shutil.rmtree(folder, ignore_errors=True)
    packages = folder.with_name("sshd.packages")
    packages.mkdir(parents=True, exist_ok=True)
    for name in ("libwrap0", "openssh-server"):
        subprocess.run(["apt-get", "-q", "download", name], cwd=packages, capture_output=True, check=False)
    found = sorted(packages.glob("*.deb"))
    if not any(path.name.startswith("openssh-server") for path in found):
        pytest.skip("sshd is missing, and its package is out of reach")
    unfinished = folder.with_name(f"sshd.{os.getpid()}")
    for path in found:
        subprocess.run(["dpkg", "--extract", path, unfinished], check=True)
    with contextlib.suppress(OSError):
        unfinished.rename(folder)
