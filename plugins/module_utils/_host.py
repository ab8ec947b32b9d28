# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host itself: its platform, its service user, its addresses. Reads and changes the machine."""

from __future__ import annotations

import errno
import grp
import os
import platform
import pwd
import shutil
import socket
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._target import HostFacts

ACCOUNT = "rbee"
DEVICE_GROUPS = ("render", "video")  # owners of /dev/dri and /dev/kfd on the common distributions
ACCOUNT_TIMEOUT = 60  # seconds for useradd and its like, which wait for each other
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


class HostError(Exception):
    """A host that cannot be prepared; the message says what is missing and what to do."""


def facts(scope: str, python: str, bundled: t.Mapping[str, str]) -> HostFacts:
    return HostFacts(
        platform=platform_name(),
        devices=frozenset(_gpu_kinds.kinds()),
        asleep=_gpu_kinds.asleep(),
        python=python,
        scope=scope,
        account=account_of(scope),
        groups=tuple(name for name in DEVICE_GROUPS if _group_exists(name)),
        bundled=bundled,
        programs="/usr/local/bin" if scope == SYSTEM else os.path.expanduser("~/.local/bin"),
    )


def platform_name() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{ARCHITECTURES.get(machine, machine)}"


def account_of(scope: str) -> str:
    """The service user; empty for the user that runs us."""
    return ACCOUNT if scope == SYSTEM else ""


def account_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def account_ids(name: str) -> tuple[int, int]:
    """User and group id of the service user; our own where there is none of its own (user scope)."""
    if not name:
        return os.getuid(), os.getgid()
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


def may_write(account: str, folder: str) -> bool:
    """Whether a folder is the service user's, or open to it."""
    try:
        user, group = account_ids(account)
    except KeyError:
        return False
    status = os.stat(folder)
    shared = status.st_gid == group and status.st_mode & 0o070 == 0o070
    return status.st_uid == user or shared or status.st_mode & 0o007 == 0o007


def hand_over(folder: str, account: str) -> None:
    """Give a folder to the service user, with what its owner has in it: one that was made anew may have another id."""
    owner, former = account_ids(account), os.stat(folder).st_uid
    for _folder, folders, files, here in os.fwalk(folder):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=here, follow_symlinks=False).st_uid == former:
                os.chown(name, *owner, dir_fd=here, follow_symlinks=False)
    os.chown(folder, *owner)  # last: a run that is killed before begins anew


def create_account(name: str, home: str, groups: t.Sequence[str]) -> None:
    """A system user with a group of its own, in *groups* too, without a password, a shell or a home folder made."""
    if shutil.which("useradd"):
        extra = ["--groups", ",".join(groups)] if groups else []
        _run(
            ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home]
            + ["--shell", _nologin(), *extra, name]
        )
    elif shutil.which("adduser"):  # Alpine
        _run(["addgroup", "-S", name])
        _run(["adduser", "-S", "-D", "-H", "-h", home, "-s", _nologin(), "-G", name, name])
        for group in groups:
            _run(["addgroup", name, group])
    else:
        raise HostError(f"no useradd and no adduser here to create the user {name}; create it and run again")


def remove_account(name: str) -> str:
    """Remove a system user. Returns why it had to stay, or an empty string."""
    if account_exists(name):
        try:
            _run(["userdel", name] if shutil.which("userdel") else ["deluser", name])
        except HostError as error:
            return str(error)
    return ""


def port_fault(address: str, port: int, holder: t.Callable[[], str]) -> str:
    """Why a service could not listen there, or an empty string. holder: says who has the port, and what to do."""
    try:
        info = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        return f"address {address} cannot be resolved on this host: {error.strerror}"
    with socket.socket(info[0], socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(info[4])
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} on {address} is taken by {holder()}"
            if error.errno == errno.EADDRNOTAVAIL:
                return f"address {address} is not one of this host's; set the hive's address"
            if error.errno != errno.EACCES:  # a low port that our service may open though we may not
                return f"cannot listen on {address} port {port}: {error.strerror}"
    return ""


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _nologin() -> str:
    return next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if os.path.exists(path)), "/bin/false")


def _run(command: t.Sequence[str]) -> None:
    try:
        done = run_program(command, ACCOUNT_TIMEOUT)
    except SourceError as error:
        raise HostError(str(error)) from error
    if done.status:
        raise HostError(f"{command[0]} failed with {done.status}: {done.last_lines()}")
