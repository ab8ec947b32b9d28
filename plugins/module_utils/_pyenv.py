# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds virtual environments with uv, from a locked list, so that they can be moved to another folder when done."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import re
import tempfile
import threading
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._program import Finished, run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Progress, SourceError, quiet
from ansible_collections.rbee.fleet.plugins.module_utils._spec import PythonEnv

# They name another environment than ours, and another place for its bytecode.
_ELSEWHERE = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_SYSTEM_PYTHON", "PYTHONPYCACHEPREFIX")
_TORCH_BACKEND = "UV_TORCH_BACKEND"
_INDEXES = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", _TORCH_BACKEND,
)  # fmt: skip
# What uv says of its work, one line each: https://docs.astral.sh/uv/pip/packages/
_STAGES = ("Resolved ", "Downloading ", "Downloaded ", "Building ", "Built ", "Prepared ", "Installed ", "Bytecode ")
_HASH = re.compile(r"(?:^|\s)--hash[=\s]", re.MULTILINE)
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?\s*(?:==|@)", re.MULTILINE)


def build_env(
    uv: str,
    dest: str,
    env: PythonEnv,
    interpreter: str,
    progress: Progress = quiet,
    stop: t.Optional[threading.Event] = None,
    cache: str = "",
    timeout: float = 3600,
    wheels: str = "",
) -> None:
    """Makes the environment in ``dest``, a new or empty folder; it works there and wherever it is renamed to.

    uv: path of the uv program. interpreter: path of the Python below it, which must stay where it is.
    cache: uv's cache folder, best on the file system of ``dest``; empty uses one that is removed again.
    timeout: seconds, for each of uv's steps. wheels: folder of the wheels to use instead of any index.
    uv's own settings apply (``UV_*`` variables, ``uv.toml``, proxies); ``UV_TORCH_BACKEND`` above that of ``env``.
    Raises SourceError with uv's last lines, or Stopped; ``dest`` may then hold a part, which is the caller's to remove.
    """
    dest = os.path.abspath(dest)
    os.makedirs(os.path.dirname(dest), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".uv-", dir=os.path.dirname(dest)) as work:
        job = _Build(uv, dest, work, cache or os.path.join(work, "cache"), stop, timeout)
        progress("making a virtual environment", 0, 0)
        job.uv("venv", "--relocatable", "--no-python-downloads", "--no-project", "--python", interpreter, dest)
        if env.requirements.strip():
            count = len(_PIN.findall(env.requirements))
            doing = f"installing {count} Python package{'s' * (count != 1)}"
            progress(doing, 0, 0)

            def hear(line: str) -> None:
                if line.startswith(_STAGES):
                    progress(f"{doing}: {line[0].lower()}{line[1:]}", 0, 0)

            job.uv(*job.install_arguments(env, wheels), hear=hear)
        progress("checking the virtual environment", 0, 0)
        job.check()


def resolve(
    uv: str,
    env: PythonEnv,
    python: str,
    platform: str,
    cache: str,
    stop: t.Optional[threading.Event] = None,
    timeout: float = 600,
) -> str:
    """Which wheels an environment takes on another machine, as a ``pylock.toml`` (PEP 751).

    python: the version there. platform: a value of uv's ``--python-platform``. Raises SourceError.
    """
    with tempfile.TemporaryDirectory(prefix=".uv-") as work:
        job = _Build(uv, "", work, cache, stop, timeout)
        target = ["--python-version", python, "--python-platform", platform, "--only-binary", ":all:"]
        form = ["--format", "pylock.toml", "--no-header", "--no-annotate", "--quiet"]
        requirements = job.write("requirements.txt", env.requirements)
        return job.uv("pip", "compile", *form, *target, *job.choices(env), requirements)


def uv_program(tree: str) -> str:
    """The program in the unpacked wheel of uv: a wheel keeps its programs in its .data folder (PEP 427)."""
    found = glob.glob(os.path.join(glob.escape(tree), "*.data", "scripts", "uv"))
    if not found:
        raise SourceError(f"there is no program uv in {tree}")
    return found[0]


class _Build:
    """One environment in the making; ``work`` is a folder for its inputs, gone afterwards."""

    def __init__(
        self, uv: str, dest: str, work: str, cache: str, stop: t.Optional[threading.Event], timeout: float
    ) -> None:
        self._uv, self._dest, self._work, self._stop, self._timeout = uv, dest, work, stop, timeout
        self._env = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
        self._env.setdefault("UV_SYSTEM_CERTS", "true")  # as every other download here
        self._env.update(UV_CACHE_DIR=cache, UV_NO_PROGRESS="1", UV_PYTHON_DOWNLOADS="never", NO_COLOR="1")

    def uv(self, *arguments: str, hear: t.Optional[t.Callable[[str], None]] = None) -> str:
        """Runs one step of uv, away from any project: uv reads settings of the current folder and those above it.

        Returns what it prints.
        """
        done = run_program([self._uv, *arguments], self._timeout, self._stop, self._env, cwd="/", hear=hear)
        if done.status:
            raise SourceError(f"uv {' '.join(arguments[:2])} failed: {done.last_lines()}\n{_remedy(done)}")
        return done.stdout

    def install_arguments(self, env: PythonEnv, wheels: str) -> list[str]:
        arguments = ["pip", "install", "--python", os.path.join(self._dest, "bin", "python"), "--compile-bytecode"]
        arguments += ["--requirements", self.write("requirements.txt", env.requirements)]
        if _HASH.search(env.requirements):
            arguments.append("--require-hashes")
        if not wheels:
            return [*arguments, *self.choices(env)]
        for name in _INDEXES:
            self._env.pop(name, None)
        nothing_else = ["--offline", "--no-index", "--find-links", wheels]
        return [*arguments, *nothing_else, *self.choices(dataclasses.replace(env, torch_backend=""))]

    def choices(self, env: PythonEnv) -> list[str]:
        """The arguments that decide which versions and builds are taken."""
        arguments = ["--overrides", self.write("overrides.txt", env.overrides)] if env.overrides.strip() else []
        # A site whose own index has PyTorch's builds sets this to nothing, so that PyTorch's index is not asked.
        backend = self._env.pop(_TORCH_BACKEND, env.torch_backend)
        return [*arguments, "--torch-backend", backend] if backend else arguments

    def check(self) -> None:
        """The interpreter runs, and no program of the environment holds the path that it has now."""
        python = os.path.join(self._dest, "bin", "python")
        done = run_program([python, "-I", "-c", "import sys; print(sys.prefix)"], 60, self._stop)
        if done.status or os.path.realpath(done.stdout.strip()) != os.path.realpath(self._dest):
            raise SourceError(f"the new environment's Python does not run: {done.last_lines()}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._dest, ".lock"))  # uv's own, writable by everybody
        folder = os.path.join(self._dest, "bin")
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    first = file.readline(4096)
                if first.startswith(b"#!") and os.fsencode(self._dest) in first:
                    raise SourceError(f"the program {name} only runs in {self._dest}: it cannot be moved into place")

    def write(self, name: str, text: str) -> str:
        path = os.path.join(self._work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


def _remedy(done: Finished) -> str:
    said = done.stderr
    if "No space left on device" in said or "os error 28" in said:
        return "Free some space, or choose another prefix"
    if "hash" in said.lower() and "mismatch" in said.lower():
        return (
            "A package is not what the lock says: make the lock again, if it does not cover this system or if that was "
            "meant, else distrust the index"
        )
    return "Check the lock and the package index (UV_DEFAULT_INDEX, UV_FIND_LINKS, the proxy settings)"
