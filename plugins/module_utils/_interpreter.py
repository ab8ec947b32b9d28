# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python interpreter that an environment is to be built on."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import stat
import sys
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._versions import in_range

_NEWEST, _OLDEST = 20, 8
_HIDDEN = ("/home/", "/root/", "/run/user/")
_ASK = (
    "import json,os,sys;"
    "print(json.dumps([os.path.realpath(getattr(sys,'_base_executable',None) or sys.executable),"
    "'%d.%d.%d'%sys.version_info[:3],sys.version_info.releaselevel,sys.implementation.name]))"
)


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """A Python on this host: the real path of its program (no shim, no virtual environment) and its version."""

    path: str
    version: str


class NoInterpreter(SourceError):
    """No Python in the range that is needed; the message names the range and what there is."""

    def __init__(self, requires: str, found: t.Sequence[Interpreter], private: t.Sequence[Interpreter] = ()) -> None:
        self.requires, self.found = requires, tuple(found)
        hidden = f"; in the range, but closed to services: {_listed(private)}" if private else ""
        super().__init__(
            f"no Python {requires or 'interpreter'} on this host; found: {_listed(found)}{hidden}. "
            "Install one, for example with the system's package manager"
        )


def find_interpreter(
    requires: str, candidates: t.Optional[t.Iterable[str]] = None, for_service: bool = False
) -> Interpreter:
    """The first candidate whose version lies in a PEP 440 range. Raises NoInterpreter.

    candidates: paths; by default the system's own Pythons first, so that the choice does not depend on who asks.
    for_service: passes over interpreters that another user, or a service with ``ProtectHome``, could not run.
    """
    found: list[Interpreter] = []
    private: list[Interpreter] = []
    seen: set[str] = set()
    for candidate in host_candidates() if candidates is None else candidates:
        real = os.path.realpath(candidate)
        if real in seen:
            continue
        seen.add(real)
        interpreter = ask_interpreter(candidate)
        if interpreter is None or interpreter in found + private:
            continue
        if not in_range(interpreter.version, requires):
            found.append(interpreter)
        elif for_service and not open_to_services(interpreter.path):
            private.append(interpreter)
        else:
            return interpreter
    raise NoInterpreter(requires, found, private)


def _listed(interpreters: t.Sequence[Interpreter]) -> str:
    return ", ".join(f"{one.version} ({one.path})" for one in interpreters) or "none"


def host_candidates() -> t.Iterator[str]:
    """Where Pythons are found: the standard folders, PATH, this process's own, pyenv's and uv's versions."""
    folders = ["/usr/bin", "/usr/local/bin", "/bin"]
    folders += [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(folder)]
    names = ["python3"] + [f"python3.{minor}" for minor in range(_NEWEST, _OLDEST, -1)]
    for folder in dict.fromkeys(folders):
        if os.path.basename(folder) == "shims":
            continue  # a pyenv shim may answer for a version that is not active
        for name in names:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                yield path
    yield sys.executable
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    yield from sorted(glob.glob(os.path.join(glob.escape(pyenv), "versions/*/bin/python3")), reverse=True)
    yield from sorted(glob.glob("/opt/python*/bin/python3"), reverse=True)


def ask_interpreter(path: str) -> t.Optional[Interpreter]:
    """What a program says of itself; None when it is no released CPython that can be run."""
    real = os.path.realpath(path)
    if real == os.path.realpath(sys.executable) and sys.prefix == sys.base_prefix:
        # It is the one that runs this: no process is needed to ask it.
        version = ".".join(map(str, sys.version_info[:3]))
        level, implementation = sys.version_info.releaselevel, sys.implementation.name
    else:
        try:
            done = run_program([path, "-I", "-S", "-c", _ASK], timeout=20)
            real, version, level, implementation = json.loads(done.stdout)
        except (SourceError, ValueError):
            return None
    if level != "final" or implementation != "cpython":
        return None
    return Interpreter(real, version)


def open_to_services(path: str) -> bool:
    """Whether any user can run a program, and a service that is kept out of home folders as well."""
    path = os.path.realpath(path)
    if path.startswith(_HIDDEN):
        return False
    try:
        while True:
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return False
            if path == "/":
                return True
            path = os.path.dirname(path)
    except OSError:
        return False
