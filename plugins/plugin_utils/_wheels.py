# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wheels a host installs, chosen on the controller. Pure."""

from __future__ import annotations

import contextlib
import dataclasses
import posixpath
import re
import tomllib
import typing as t
import urllib.parse

from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError

with contextlib.suppress(ImportError):  # comes with ansible-core, but not where ansible-test only imports the plugins
    from packaging.tags import Tag, compatible_tags, cpython_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

# The minor versions of glibc that uv 0.13 has a --python-platform for, as <machine>-manylinux_2_<minor>.
_UV_GLIBC = (17, 28, *range(31, 41))
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # PEP 600
_HASH = re.compile(r"--hash[=\s]sha256:([0-9a-f]{64})")


@dataclasses.dataclass(frozen=True)
class Wheel:
    """name: file name. sha256: empty where the index names none. size: bytes, 0 when unknown."""

    name: str
    url: str
    sha256: str
    size: int


def uv_platform(platform: str, glibc: str) -> str:
    """uv's name of a host's platform. platform: ``linux-x86_64``. glibc: ``2.36``. Raises SourceError."""
    system, _dash, machine = platform.partition("-")
    fitting = [minor for minor in _UV_GLIBC if minor <= _minor(glibc)]
    if system != "linux" or not fitting:
        raise SourceError(
            f"the controller brings Python packages to Linux with glibc 2.17 or newer; this host has {platform} with "
            f"{f'glibc {glibc}' if glibc else 'another C library'}: set fetch to host"
        )
    return f"{machine}-manylinux_2_{fitting[-1]}"


def host_tags(platform: str, python: str, glibc: str) -> list[Tag]:
    """The tags of the wheels that CPython *python* on a Linux host takes, the best first."""
    machine = platform.partition("-")[2]
    platforms = []
    for minor in range(_minor(glibc), 4, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        if minor in _OLD_NAMES:
            platforms.append(f"{_OLD_NAMES[minor]}_{machine}")
    platforms.append(f"linux_{machine}")
    major, minor = (int(part) for part in python.split(".")[:2])
    name = f"cp{major}{minor}"
    own = cpython_tags((major, minor), abis=[name], platforms=platforms)
    return [*own, *compatible_tags((major, minor), interpreter=name, platforms=platforms)]


def locked_digests(requirements: str) -> frozenset[str]:
    """The digests that a requirements file allows; none when it allows any."""
    return frozenset(_HASH.findall(requirements))


def choose_wheels(pylock: str, tags: t.Sequence[Tag], allowed: t.Collection[str] = ()) -> list[Wheel]:
    """The best wheel of each package of a resolution for one host (``pylock.toml``, PEP 751).

    allowed: digests; empty allows all. Raises SourceError, which names all packages without a wheel.
    """
    ranks = {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
    chosen, lacking = [], []
    for package in tomllib.loads(pylock).get("packages", ()):
        fitting = [
            (rank, wheel)
            for wheel in map(_wheel, package.get("wheels", ()))
            if (rank := _rank(wheel.name, ranks)) is not None and (not allowed or wheel.sha256 in allowed)
        ]
        if fitting:
            chosen.append(min(fitting, key=lambda found: found[0])[1])
        else:
            lacking.append(f"{package['name']} {package.get('version', '')}".rstrip())
    if lacking:
        raise SourceError(
            f"no wheel for this host and of the lock's digests: {', '.join(lacking)}. The controller brings wheels "
            "only: lock versions that have one, or set fetch to host"
        )
    return chosen


def _wheel(entry: t.Mapping[str, t.Any]) -> Wheel:
    url = str(entry["url"])
    name = entry.get("name") or posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
    return Wheel(str(name), url, str(entry.get("hashes", {}).get("sha256", "")), int(entry.get("size", 0)))


def _rank(name: str, ranks: t.Mapping[Tag, int]) -> tuple[int, int] | None:
    """Lower is better: the tag, then the higher build number; one is better than none."""
    try:
        _name, _version, build, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return None
    known = [ranks[tag] for tag in tags if tag in ranks]
    return (min(known), -build[0] if build else 1) if known else None


def _minor(glibc: str) -> int:
    match = re.fullmatch(r"2\.(\d+)", glibc)
    return int(match[1]) if match else 0
