# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What script/machines refuses to do to the machine that it runs on."""

from __future__ import annotations

import pathlib
import sys
import types
import typing as t

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the scripts run on Python 3.11 and newer", allow_module_level=True)


@pytest.fixture(name="script", scope="module")
def fixture_script(load_script: t.Callable[[str], types.ModuleType]) -> types.ModuleType:
    return load_script("machines")


@pytest.mark.parametrize("what", ["cut", "heal", "freeze", "crash", "reboot", "seal", "split", "join"])
def test_a_fault_is_refused_where_it_could_reach_this_machine(script: types.ModuleType, what: str) -> None:
    with pytest.raises(script.MachinesError, match="call this from within script/machines run"):
        script.fault(what, "hive-1", "hive-2")


def test_without_root_nothing_is_tried(script: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script.os, "geteuid", lambda: 1000)
    with pytest.raises(script.MachinesError, match="need root"):
        script.check_machine()


def test_two_runs_have_a_lane_each(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(script, "CACHE", tmp_path)
    assert [script.take_lane() for lane in script.LANES] == list(script.LANES)
