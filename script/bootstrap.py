# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a virtual environment from ``requirements/NAME.txt`` and prints its path.

The environment is made by a pinned uv, so that neither pip nor the venv package is needed. Everything lies under
``.cache/`` of the checkout: uv itself, its cache, the environments, and the link through which ansible finds the
collection. An environment is made anew when its lock file, its interpreter or uv changed, and left alone otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import io
import os
import pathlib
import platform
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
ATTEMPTS = 4
TIMEOUT_S = 60

UV_VERSION = "0.13.9"
FILES = "https://files.pythonhosted.org/packages"
UV_WHEELS = {
    "x86_64": (
        f"{FILES}/3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/"
        "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    "aarch64": (
        f"{FILES}/57/15/94b6cd62ac3ff6550288328e8035288875197cbc183f51554b266a69877b/"
        "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
}


class BootstrapError(Exception):
    """What went wrong and what to do about it, in one line for the user."""


def download(url: str) -> bytes:
    """Returns what ``url`` holds. Tries again, because name resolution and connections fail for short spells."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
                return t.cast(bytes, response.read())
        except (OSError, urllib.error.URLError) as error:
            if attempt == ATTEMPTS:
                raise BootstrapError(
                    f"cannot download {url}: {error}. Check the network, or the proxy in HTTPS_PROXY."
                ) from error
            time.sleep(attempt)
    raise AssertionError("unreachable")


def find_uv() -> pathlib.Path:
    """Returns the pinned uv under ``.cache/uv``, fetched when it is not there yet."""
    machine = platform.machine()
    uv = CACHE / "uv" / f"{UV_VERSION}-{machine}" / "uv"
    if uv.exists():
        return uv
    if sys.platform != "linux" or machine not in UV_WHEELS:
        raise BootstrapError(
            f"no uv is pinned for {sys.platform} on {machine}; known: linux on {', '.join(UV_WHEELS)}."
        )
    url, expected = UV_WHEELS[machine]
    wheel = download(url)
    found = hashlib.sha256(wheel).hexdigest()
    if found != expected:
        raise BootstrapError(f"{url} has sha256 {found}, expected {expected}. Something on the way changed it.")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        program = archive.read(f"uv-{UV_VERSION}.data/scripts/uv")
    uv.parent.mkdir(parents=True, exist_ok=True)
    unfinished = uv.with_name("uv.unfinished")
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.rename(uv)
    return uv


def run_uv(uv: pathlib.Path, *arguments: str) -> None:
    """Runs uv, which shall trust the system's certificates and never fetch an interpreter."""
    environment = {
        "UV_CACHE_DIR": str(CACHE / "uv" / "cache"),
        "UV_HTTP_RETRIES": "4",
        "UV_SYSTEM_CERTS": "true",
        **os.environ,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    environment.pop("VIRTUAL_ENV", None)
    try:
        done = subprocess.run([uv, *arguments], env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BootstrapError(f"cannot run {uv}: {error}. It needs a glibc system.") from error
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise BootstrapError(f"uv {' '.join(arguments[:2])} failed: {reason}. Is PyPI within reach?")


def interpreter_of(name: str) -> pathlib.Path:
    """Returns the real interpreter behind ``name``, be it a shim, a link or a virtual environment's."""
    code = "import os, sys; print(os.path.realpath(getattr(sys, '_base_executable', sys.executable)), sys.version)"
    try:
        found = subprocess.run([name, "-c", code], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BootstrapError(f"{name} is no Python interpreter: {error}.") from error
    return pathlib.Path(found.split(" ")[0])


def state_of(uv: pathlib.Path, interpreter: pathlib.Path, lock: pathlib.Path) -> str:
    """Returns what an environment was made from: a text that changes when it must be made anew."""
    status = interpreter.stat()
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"uv {uv.parent.name}\npython {interpreter} {status.st_size} {status.st_mtime_ns}\nlock {digest}\n"


def make_venv(name: str, python: str) -> pathlib.Path:
    """Returns the environment ``name`` for the interpreter ``python``, made when it is missing or out of date."""
    lock = ROOT / "requirements" / f"{name}.txt"
    if not lock.exists():
        known = ", ".join(sorted(path.stem for path in lock.parent.glob("*.txt")))
        raise BootstrapError(f"{lock} does not exist; known: {known}.")
    interpreter = interpreter_of(python)
    uv = find_uv()
    venv = CACHE / "venv" / f"{name}-{interpreter.name}"
    stamp = venv / "made-from"
    state = state_of(uv, interpreter, lock)
    # The stamp is written last: an environment that was not finished has none.
    if not stamp.exists() or stamp.read_text("utf-8") != state:
        run_uv(uv, "venv", "--quiet", "--clear", "--python", str(interpreter), str(venv))
        run_uv(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(venv / "bin" / "python"), str(lock))
        stamp.write_text(state, "utf-8")
    return venv


def link_collection() -> pathlib.Path:
    """Makes the checkout findable as ``rbee.fleet`` and returns the folder for ``ANSIBLE_COLLECTIONS_PATH``."""
    tree = CACHE / "collections"
    link = tree / "ansible_collections" / "rbee" / "fleet"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.resolve() != ROOT:
        fresh = link.with_name(f"fleet.{os.getpid()}")
        fresh.symlink_to(ROOT, target_is_directory=True)
        fresh.replace(link)
    return tree


@contextlib.contextmanager
def locked() -> t.Iterator[None]:
    """Lets two calls in one checkout take turns."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "bootstrap.lock").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bootstrap", description="Make a virtual environment, print its path.")
    parser.add_argument("name", help="a lock file of requirements/, without .txt: run, test, ...")
    parser.add_argument("--python", default=sys.executable, help="the interpreter (default: the one that runs this)")
    arguments = parser.parse_args()
    try:
        with locked():
            link_collection()
            venv = make_venv(arguments.name, arguments.python)
    except (BootstrapError, OSError) as error:
        sys.stderr.write(f"bootstrap: {error}\n")
        return 1
    sys.stdout.write(f"{venv}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
