# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wheels the controller chooses for a host."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.plugin_utils._wheels import (
    choose_wheels,
    host_tags,
    locked_digests,
    uv_platform,
)

TAGS = host_tags("linux-x86_64", "3.11.7", "2.36")
OLD, NEW = "a" * 64, "b" * 64


def pylock(*names: str, package: str = "p", digest: str = OLD) -> str:
    wheels = ", ".join(
        f'{{ url = "https://example.com/x/{name}", size = 7, hashes = {{ sha256 = "{digest}" }} }}' for name in names
    )
    return f'lock-version = "1.0"\n[[packages]]\nname = "{package}"\nversion = "1.0"\nwheels = [{wheels}]\n'


def chosen(*names: str) -> str:
    (wheel,) = choose_wheels(pylock(*names), TAGS)
    return wheel.name


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("p-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "p-1.0-py3-none-any.whl"),
        ("p-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "p-1.0-cp38-abi3-manylinux_2_28_x86_64.whl"),
        ("p-1.0-cp311-cp311-manylinux_2_34_x86_64.whl", "p-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"),
        ("p-1.0-cp38-abi3-manylinux2014_x86_64.whl", "p-1.0-py3-none-any.whl"),
        ("p-1.0-2-py3-none-any.whl", "p-1.0-1-py3-none-any.whl"),
        ("p-1.0-1-py3-none-any.whl", "p-1.0-py3-none-any.whl"),
        ("p-1.0-py3-none-any.whl", "p-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
        ("p-1.0-py3-none-any.whl", "p-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"),
        ("p-1.0-py3-none-any.whl", "p-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"),
        ("p-1.0-py3-none-any.whl", "p-1.0-cp311-cp311-musllinux_1_2_x86_64.whl"),
    ],
)
def test_the_wheel_that_fits_best_is_chosen(better: str, worse: str) -> None:
    assert [chosen(better, worse), chosen(worse, better)] == [better, better]


def test_a_wheel_is_named_as_its_file_not_as_its_url() -> None:
    assert chosen("p-1.0%2Bcpu-py3-none-any.whl") == "p-1.0+cpu-py3-none-any.whl"


def test_only_what_the_lock_allows_is_chosen() -> None:
    lock = pylock("p-1.0-py3-none-any.whl", digest=NEW)
    assert [wheel.sha256 for wheel in choose_wheels(lock, TAGS, locked_digests(f"p==1.0 --hash=sha256:{NEW}"))] == [NEW]
    with pytest.raises(SourceError, match=r"no wheel for this host and of the lock's digests: p 1\.0"):
        choose_wheels(lock, TAGS, locked_digests(f"p==1.0 --hash=sha256:{OLD}"))


def test_all_packages_without_a_wheel_are_named() -> None:
    lock = pylock() + pylock("q-1.0-cp312-cp312-win_amd64.whl", package="q").split("\n", 1)[1]
    with pytest.raises(SourceError, match=r"p 1\.0, q 1\.0.*set fetch to host"):
        choose_wheels(lock, TAGS)


@pytest.mark.parametrize(
    ("glibc", "named"), [("2.17", "17"), ("2.27", "17"), ("2.30", "28"), ("2.36", "36"), ("2.99", "40")]
)
def test_the_newest_platform_that_uv_knows_and_the_host_has(glibc: str, named: str) -> None:
    assert uv_platform("linux-aarch64", glibc) == f"aarch64-manylinux_2_{named}"


@pytest.mark.parametrize(
    ("platform", "glibc"), [("linux-x86_64", "2.12"), ("linux-x86_64", ""), ("darwin-arm64", "2.36")]
)
def test_other_hosts_have_to_fetch_by_themselves(platform: str, glibc: str) -> None:
    with pytest.raises(SourceError, match="set fetch to host"):
        uv_platform(platform, glibc)
