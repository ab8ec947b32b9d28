# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renews locks: ``catalog/locks/NAME.in`` -> ``NAME.txt`` for hosts, ``requirements/NAME.in`` -> ``NAME.txt`` for this
checkout. The first line of a .in file holds uv's options, for example ``# uv --universal --python-version 3.10``.

A lock of the catalog travels to hosts, so it has what they can use and no more: requirements that apply to Linux with
glibc on x86_64 or aarch64 and to the Pythons that the catalog allows, and of each the digests of the wheels for those,
and of the source distribution where one of them, or an old glibc, has no wheel. Digests that the index in reach does
not know stand in ``NAME.sha256``, in the format of sha256sum.

``UV_TORCH_BACKEND``, set to nothing, takes PyTorch's builds from where uv looks otherwise (``UV_FIND_LINKS``).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import posixpath
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import typing as t
import urllib.parse

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCKS, OURS = ROOT / "catalog" / "locks", ROOT / "requirements"
MACHINES = ("x86_64", "aarch64")
PYTHONS = tuple((3, minor) for minor in range(9, 16))
OLD_GLIBC = 28  # 2.28, of RHEL 8: the oldest of a distribution that is maintained
_HERE = "here"  # stands for all platform tags of a machine

Place = tuple[tuple[int, int], str]
"""A version of Python and a machine."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a package on an index."""

    name: str
    sha256: str


def places(requires: str) -> list[Place]:
    """All that a catalog entry may run on. requires: its range of Pythons."""
    allowed = SpecifierSet(requires)
    fitting = [python for python in PYTHONS if allowed.contains(f"{python[0]}.{python[1]}")]
    return [(python, machine) for python in fitting for machine in MACHINES]


def lock(pins: str, files: t.Mapping[str, t.Sequence[File]], where: t.Sequence[Place]) -> str:
    """The text of a lock without its head. pins: one requirement a line. files: by ``name==version``.

    Raises LookupError for a requirement that has no digest.
    """
    lines = []
    for line in pins.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        wanted = Requirement(line)
        applies = [place for place in where if _applies(wanted, place)]
        if not applies:
            continue
        if len(applies) == len(where):
            wanted.marker = None
        digests = sorted({file.sha256 for file in _usable(files.get(key_of(line), ()), applies)})
        if not digests:
            raise LookupError(f"{line}: no digest of a file that a host could use")
        marker = f" ; {line.partition(';')[2].strip()}" if wanted.marker else ""
        pin = line.partition(";")[0].strip()
        lines.append(" \\\n".join([f"{pin}{marker}", *(f"    --hash=sha256:{digest}" for digest in digests)]))
    return "".join(f"{line}\n" for line in lines)


def key_of(line: str) -> str:
    """``name==version`` of a requirement that is pinned."""
    wanted = Requirement(line)
    (version,) = wanted.specifier
    return f"{canonicalize_name(wanted.name)}=={version.version}"


def _applies(wanted: Requirement, place: Place) -> bool:
    """Whether a requirement applies to any patch release of the Python of a place."""
    (major, minor), machine = place
    same = {"implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix"}
    same |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": machine, "extra": ""}
    version = f"{major}.{minor}"
    full = [{**same, "python_version": version, "python_full_version": f"{version}.{patch}"} for patch in (0, 99)]
    return wanted.marker is None or any(wanted.marker.evaluate(t.cast(t.Any, one)) for one in full)


def _usable(files: t.Sequence[File], where: t.Sequence[Place]) -> t.Iterator[File]:
    """The wheels for these places, and what is no wheel where one of them has none."""
    served = set()
    for file in files:
        if any(_fits(file.name, place) for place in where):
            yield file
        served |= {place for place in where if _fits(file.name, place, OLD_GLIBC)}
    if served != set(where):
        yield from (file for file in files if not file.name.endswith(".whl"))


def _fits(name: str, place: Place, glibc: int = 99) -> bool:
    """Whether a file is a wheel for a place. glibc: the minor version there."""
    python, machine = place
    try:
        *_about, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return False
    own = f"cp{python[0]}{python[1]}"
    known = {*cpython_tags(python, [own], [_HERE]), *compatible_tags(python, own, [_HERE])}
    return any(Tag(tag.interpreter, tag.abi, _platform(tag.platform, machine, glibc)) in known for tag in tags)


def _platform(tag: str, machine: str, glibc: int) -> str:
    """The platform tag of a wheel, or what stands for all those that the machine takes."""
    if tag in [f"{name}_{machine}" for name in ("linux", "manylinux1", "manylinux2010", "manylinux2014")]:
        return _HERE
    newer = re.fullmatch(rf"manylinux_2_(\d+)_{machine}", tag)
    return _HERE if newer and int(newer[1]) <= glibc else tag


def files_of(pylock: str) -> dict[str, list[File]]:
    """The files of each package of a ``pylock.toml`` (PEP 751), by ``name==version``."""
    found = {}
    for package in tomllib.loads(pylock)["packages"]:
        entries = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        found[f"{package['name']}=={package['version']}"] = [
            File(_name_of(entry), entry["hashes"]["sha256"]) for entry in entries if "sha256" in entry["hashes"]
        ]
    return found


def _name_of(entry: t.Mapping[str, t.Any]) -> str:
    place = entry.get("url") or entry.get("path") or ""
    return str(entry.get("name") or posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(place).path)))


def known_files(text: str) -> dict[str, list[File]]:
    """The wheels of a list as sha256sum writes it, by ``name==version``."""
    found: dict[str, list[File]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sha256, name = line.split()
            package, version, *_tags = parse_wheel_filename(name)
            found.setdefault(f"{package}=={version}", []).append(File(name, sha256))
    return found


def requires_of(name: str) -> str:
    """The Pythons that the entry allows whose lock this is; all entries that share it have to agree."""
    ranges = set()
    for path in sorted((ROOT / "catalog").glob("*.toml")):
        for release in tomllib.loads(path.read_text("utf-8"))["release"]:
            env = release.get("python", {})
            if env.get("lock") == f"locks/{name}.txt":
                ranges.add(str(env.get("requires", "")))
    if len(ranges) != 1:
        raise LookupError(f"expected one range of Pythons in the catalog for locks/{name}.txt, found {sorted(ranges)}")
    return ranges.pop()


def _options(path: pathlib.Path) -> list[str]:
    first = path.read_text("utf-8").partition("\n")[0]
    if not first.startswith("# uv "):
        raise LookupError(f"{path.relative_to(ROOT)}: the first line must be '# uv OPTIONS'")
    options = shlex.split(first.removeprefix("# uv "))
    if os.environ.get("UV_TORCH_BACKEND") == "" and "--torch-backend" in options:
        at = options.index("--torch-backend")
        del options[at : at + 2]
    return options


def find_uv() -> pathlib.Path:
    """The uv that the project pins. Raises LookupError."""
    bootstrap = runpy.run_path(str(ROOT / "script" / "bootstrap.py"))
    try:
        found: pathlib.Path = bootstrap["find_uv"]()
    except bootstrap["BootstrapError"] as error:
        raise LookupError(str(error)) from None
    return found


def _compile(folder: pathlib.Path, *arguments: str | pathlib.Path) -> None:
    """Raises CalledProcessError, LookupError."""
    environment = {key: value for key, value in os.environ.items() if key != "UV_TORCH_BACKEND"}
    command = [find_uv(), "pip", "compile", "--quiet", "--no-config", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def renew_ours(name: str) -> None:
    """A lock of this checkout, as uv writes it. What it says already stays as far as it can."""
    told = ["--custom-compile-command", f"script/lock {name}", "--output-file", f"requirements/{name}.txt"]
    _compile(ROOT, *_options(OURS / f"{name}.in"), *told, f"requirements/{name}.in")


def renew(name: str) -> None:
    """A lock of the catalog."""
    text, known = LOCKS / f"{name}.txt", LOCKS / f"{name}.sha256"
    options, requires = _options(LOCKS / f"{name}.in"), requires_of(name)
    with tempfile.TemporaryDirectory() as folder:
        pins, pylock = pathlib.Path(folder, "pins.txt"), pathlib.Path(folder, "pylock.toml")
        if text.exists():
            shutil.copy(text, pins)  # uv keeps the versions that it finds there
        plain = ["--no-annotate", "--no-header"]
        _compile(LOCKS, *options, *plain, "--output-file", pins, f"{name}.in")
        _compile(LOCKS, *options, *plain, "--no-deps", "--format", "pylock.toml", "--output-file", pylock, pins)
        files = files_of(pylock.read_text("utf-8"))
        more = known_files(known.read_text("utf-8")) if known.exists() else {}
        for key, found in more.items():
            files[key] = [*files.get(key, ()), *found]
        locked = lock(pins.read_text("utf-8"), files, places(requires))
    head = f"# Written by script/lock {name}, for Linux with glibc on {' and '.join(MACHINES)}, Python {requires}.\n"
    text.write_text(head + locked, "utf-8")


def main(words: t.Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/lock", description="Renews locks, all of them by default.")
    parser.add_argument("names", metavar="NAME", nargs="*")
    found = {path.stem for folder in (LOCKS, OURS) for path in folder.glob("*.in")}
    for name in parser.parse_args(words).names or sorted(found - {"unit"}):
        sys.stderr.write(f"{name}\n")
        try:
            (renew if (LOCKS / f"{name}.in").exists() else renew_ours)(name)
        except (LookupError, OSError, subprocess.CalledProcessError) as error:
            sys.stderr.write(f"script/lock: {name}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
