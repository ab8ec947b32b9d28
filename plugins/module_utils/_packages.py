# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System packages: which program there is, and installing or removing what we brought, by the host's own manager."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import shlex
import shutil
import tempfile
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._program import Finished, run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Progress, SourceError, Stopped, quiet
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source
from ansible_collections.rbee.fleet.plugins.module_utils._versions import at_least, find_version

_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_LOCK_WAIT = 300
_TIMEOUT = 1800
_ONE_AT_A_TIME = threading.Lock()


class Installed(t.NamedTuple):
    """A program of the system: its path, its version (empty: it does not say), the packages that we brought for it."""

    path: str
    version: str
    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Manager:
    """Commands of one package manager. ``remove`` refuses to break what depends on the packages."""

    program: str
    install: tuple[str, ...]
    refresh: tuple[str, ...]
    remove: tuple[str, ...]
    listing: tuple[str, ...]


_APT = ("apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={_LOCK_WAIT}", "-o", "Dpkg::Options::=--force-confold")
_ZYPPER = ("zypper", "--non-interactive")
_RPM_LISTING = ("rpm", "-qa", "--qf", "%{NAME}\n")
_MANAGERS = {
    "apt": _Manager(
        "apt-get",
        (*_APT, "-o", "DPkg::Path=", "install", "--no-install-recommends"),  # empty: our PATH reaches the scripts
        (*_APT, "update"),
        ("dpkg", "--purge"),
        ("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n"),
    ),
    "dnf": _Manager("dnf", ("dnf", "-y", "install"), ("dnf", "-y", "makecache"), ("rpm", "-e"), _RPM_LISTING),
    "yum": _Manager("yum", ("yum", "-y", "install"), ("yum", "-y", "makecache"), ("rpm", "-e"), _RPM_LISTING),
    "zypper": _Manager("zypper", (*_ZYPPER, "install"), (*_ZYPPER, "refresh"), ("rpm", "-e"), _RPM_LISTING),
    "pacman": _Manager(
        "pacman", ("pacman", "-S", "--noconfirm", "--needed"), ("pacman", "-Sy"), ("pacman", "-R", "--noconfirm"),
        ("pacman", "-Qq"),
    ),
    "apk": _Manager("apk", ("apk", "add"), ("apk", "update"), ("apk", "del"), ("apk", "info", "-q")),
}  # fmt: skip


def installed_binary(source: Source) -> t.Optional[Installed]:
    """The program that proves a system package, with the version it reports; None when it is not there."""
    path = shutil.which(source.binary, path=_search_path())
    if path is None:
        return None
    for option in ("--version", "-v"):
        done = run_program([path, option], timeout=20)
        version = find_version(done.stdout) or find_version(done.stderr)
        if version:
            return Installed(path, version)
    return Installed(path, "")


def ensure_binary(
    source: Source, progress: Progress = quiet, stop: t.Optional[threading.Event] = None, may_install: bool = True
) -> Installed:
    """The program of a ``system-package`` source, installed when it is missing. Raises SourceError.

    may_install: false in user scope and where packages are kept by somebody else; a missing program is then an error.
    """
    found = check_binary(source, may_install)
    if found is None:
        packages = install(source.packages, progress, stop)
        found = installed_binary(source)
        if found is None:
            raise SourceError(f"the packages {', '.join(packages)} are installed, but bring no {source.binary}")
        found = found._replace(packages=packages)
        _check_version(source, found)
    return found


def check_binary(source: Source, may_install: bool) -> t.Optional[Installed]:
    """The program of a ``system-package`` source; None when it is missing and can be installed. Raises SourceError."""
    found = installed_binary(source)
    if found is not None:
        _check_version(source, found)
    elif not may_install:
        raise SourceError(f"{source.binary} is not installed; {_by_hand(source.packages)}")
    else:
        _manager(source.packages)
    return found


def _check_version(source: Source, found: Installed) -> None:
    if source.minimum and not (found.version and at_least(found.version, source.minimum)):
        raise SourceError(
            f"{found.path} has version {found.version or 'unknown'}, {source.minimum} or newer is needed; "
            "upgrade it with the system's package manager"
        )


def ensure_library(
    soname: str,
    packages: t.Mapping[str, t.Sequence[str]],
    progress: Progress = quiet,
    stop: t.Optional[threading.Event] = None,
    may_install: bool = True,
) -> tuple[str, ...]:
    """Makes the loader find a shared library; returns the packages that were new. Raises SourceError.

    packages: those that bring it, by package manager. may_install: as for ``ensure_binary``.
    """
    if check_library(soname, packages, may_install):
        return ()
    new = install(packages, progress, stop)
    if not _loads(soname):
        raise SourceError(f"the packages {', '.join(new)} are installed, but bring no {soname}")
    return new


def check_library(soname: str, packages: t.Mapping[str, t.Sequence[str]], may_install: bool) -> bool:
    """Whether a shared library is there; false when it is missing and can be installed. Raises SourceError."""
    if _loads(soname):
        return True
    if not may_install:
        raise SourceError(f"the library {soname} is not installed; {_by_hand(packages)}")
    _manager(packages)
    return False


def install(
    packages: t.Mapping[str, t.Sequence[str]], progress: Progress = quiet, stop: t.Optional[threading.Event] = None
) -> tuple[str, ...]:
    """Installs the packages named for the host's manager; returns all that are new, dependencies included.

    Services that the packages bring are neither started nor enabled. Raises SourceError, or Stopped before it begins:
    a package manager is never cut off half way, its database would need mending by hand.
    """
    name, manager = _manager(packages)
    wanted = tuple(packages[name])
    if os.geteuid() != 0:
        raise SourceError(f"installing {', '.join(wanted)} needs root: use become, or run: {_command(manager, wanted)}")
    with _ONE_AT_A_TIME, _services_at_rest(name, wanted) as env:
        if stop is not None and stop.is_set():
            raise Stopped(f"stopped before installing {', '.join(wanted)}")
        before = _installed(manager)
        progress(f"installing {', '.join(wanted)} with {manager.program}", 0, 0)
        done = run_program([*manager.install, *wanted], _TIMEOUT, env=env)
        if done.status:
            progress(f"refreshing the package lists of {manager.program}", 0, 0)
            run_program(manager.refresh, _TIMEOUT, env=env)
            done = run_program([*manager.install, *wanted], _TIMEOUT, env=env)
        if done.status:
            raise SourceError(
                f"{manager.program} could not install {', '.join(wanted)}: {done.last_lines()}\n"
                f"Mend that, then try: {_command(manager, wanted)}"
            )
        new = tuple(sorted(_installed(manager) - before))
        if name == "apt":
            _disable_services([package for package in wanted if package in new])
    return new


def remove(packages: t.Sequence[str], progress: Progress = quiet) -> None:
    """Removes packages that ``install`` brought, with their unchanged configuration.

    Raises SourceError when something installed since needs them; nothing is removed then.
    """
    name, manager = _manager(dict.fromkeys(_MANAGERS, ()))
    with _ONE_AT_A_TIME:
        present = sorted(set(packages) & _installed(manager))
        if not present:
            return
        progress(f"removing {', '.join(present)}", 0, 0)
        command = [*manager.remove, *present]
        if name == "apt" and _changed_configuration(present):
            command = ["dpkg", "--remove", *present]
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            done = run_program(command, _TIMEOUT, env=_environment())
            if not done.status:
                return
            if "lock" not in done.stderr or time.monotonic() > deadline:
                raise SourceError(f"{command[0]} could not remove {', '.join(present)}: {done.last_lines()}")
            time.sleep(1)


def _search_path() -> str:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([*filter(os.path.isabs, folders), *_SYSTEM_PATH]))


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _search_path(), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def _manager(packages: t.Mapping[str, t.Sequence[str]]) -> tuple[str, _Manager]:
    for name, manager in _MANAGERS.items():
        if name in packages and shutil.which(manager.program, path=_search_path()):
            return name, manager
    raise SourceError(f"this host has none of the package managers {', '.join(packages)}; install the program by hand")


def _loads(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def _by_hand(packages: t.Mapping[str, t.Sequence[str]]) -> str:
    try:
        name, manager = _manager(packages)
    except SourceError:
        return "install it"
    return f"install it, as root: {_command(manager, packages[name])}"


def _command(manager: _Manager, packages: t.Sequence[str]) -> str:
    return shlex.join(
        [manager.program, *[word for word in manager.install[1:] if word in ("-S", "install", "add")], *packages]
    )


def _installed(manager: _Manager) -> set[str]:
    done = run_program(manager.listing, timeout=120, env=_environment())
    lines = done.stdout.splitlines()
    if manager.program == "apt-get":
        return {line[3:].strip() for line in lines if line.startswith("ii")}
    return {line.strip() for line in lines}


@contextlib.contextmanager
def _services_at_rest(name: str, packages: t.Sequence[str]) -> t.Iterator[dict[str, str]]:
    """The environment for an install that starts no service of these packages.

    Debian's maintainer scripts start a new service through ``invoke-rc.d`` and ``deb-systemd-invoke``, found on PATH:
    for the time of this one command a pair of our own stands before them and passes over the services named like
    the packages. Other managers leave new services off. A policy-rc.d would act on the whole host, and stay after a
    crash.
    """
    env = _environment()
    if name != "apt":
        yield env
        return
    with tempfile.TemporaryDirectory(prefix="rbee-apt-") as folder:
        for program in ("invoke-rc.d", "deb-systemd-invoke"):
            real = shutil.which(program, path=env["PATH"]) or program
            names = "|".join(f"{package}|{package}.service" for package in packages)
            path = os.path.join(folder, program)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\nfor word; do case "$word" in {names}) exit 0 ;; esac; done\nexec {real} "$@"\n')
            os.chmod(path, 0o755)
        yield {**env, "PATH": f"{folder}{os.pathsep}{env['PATH']}"}


def _disable_services(packages: t.Sequence[str]) -> None:
    """Keeps the new packages' own services off at boot; Debian enables them, and records a later disable."""
    for package in packages:
        listed = run_program(["dpkg-query", "-L", package], timeout=60, env=_environment()).stdout.split()
        units = [os.path.basename(path) for path in listed if path.endswith(".service") and "/systemd/system/" in path]
        scripts = [os.path.basename(path) for path in listed if path.startswith("/etc/init.d/")]
        if units and shutil.which("systemctl", path=_search_path()):
            run_program(["systemctl", "disable", *units], timeout=60, env=_environment())
        for script in scripts:
            if shutil.which("update-rc.d", path=_search_path()):
                run_program(["update-rc.d", script, "disable"], timeout=60, env=_environment())


def _changed_configuration(packages: t.Sequence[str]) -> bool:
    """Whether somebody edited a configuration file, marked ``c`` by dpkg; small images lack documentation as well."""
    done: Finished = run_program(["dpkg", "--verify", *packages], timeout=120, env=_environment())
    return any(line.split()[1:2] == ["c"] for line in done.stdout.splitlines())
