# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run shows of the files that it changes."""

from __future__ import annotations

import pathlib
import typing as t
from unittest import mock

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._diff import LONG, diff_of
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._plan import UNIT, WRITE, Observed, Plan, Step
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, Content, Target

Entries = list[dict[str, str]]


@pytest.fixture
def shown(tmp_path: pathlib.Path) -> t.Callable[..., Entries]:
    """The differences between the files of the current generation, given by path, and those that shall be there."""

    def diff(
        new: t.Mapping[str, Content],
        steps: t.Iterable[str],
        old: t.Mapping[str, str] | None = None,
        unit: t.Any = None,
    ) -> Entries:
        layout = Layout(str(tmp_path))
        for path, text in (old or {}).items():
            full = pathlib.Path(layout.current("w"), path)
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_text(text)
        target = Target(mock.Mock(Spec), mock.Mock(Build), "g", {"unit": Content("new unit"), **new})
        manager = mock.Mock(unit_path=lambda name: f"/units/{name}")
        plans = {"w": Plan("w", tuple(Step(name) for name in steps)), "gone": Plan("gone")}
        targets, seen = {"w": target}, {"w": Observed(unit=unit)}
        found = mock.Mock(layout=layout, manager=manager, plans=plans, targets=targets, seen=seen)
        return diff_of(found)

    return diff


def entry(where: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": where, "after_header": where, "before": before, "after": after}


def test_a_file_that_changes_shows_before_and_after(shown: t.Callable[..., Entries]) -> None:
    assert shown({"files/f": Content("b")}, [WRITE], {"files/f": "a"}) == [entry("w/files/f", "a", "b")]


def test_a_new_file_shows_as_new(shown: t.Callable[..., Entries]) -> None:
    assert shown({"files/f": Content("b")}, [WRITE]) == [entry("w/files/f", "", "b")]


def test_of_a_long_file_that_is_new_only_the_number_of_lines_is_shown(shown: t.Callable[..., Entries]) -> None:
    short, long = "a\n" * (LONG - 1), "a\n" * LONG
    assert shown({"files/f": Content(long)}, [WRITE]) == [entry("w/files/f", "", f"({LONG} lines)\n")]
    assert shown({"files/f": Content(short)}, [WRITE]) == [entry("w/files/f", "", short)]
    assert shown({"files/f": Content(long)}, [WRITE], {"files/f": short}) == [entry("w/files/f", short, long)]


def test_an_equal_file_is_not_shown(shown: t.Callable[..., Entries]) -> None:
    assert shown({"files/f": Content("a")}, [WRITE], {"files/f": "a"}) == []


def test_a_unit_is_shown_once_by_where_it_is_installed(shown: t.Callable[..., Entries]) -> None:
    assert shown({}, [WRITE, UNIT], unit="old unit") == [entry("/units/w", "old unit", "new unit")]


def test_nothing_is_shown_of_what_is_not_written(shown: t.Callable[..., Entries]) -> None:
    assert shown({"files/f": Content("b")}, ["restart"], {"files/f": "a"}, unit="old unit") == []


@pytest.mark.parametrize("old", [{}, {"secrets.env": "KEY=old-s3cr3t"}], ids=["new", "changed"])
def test_a_secret_shows_only_that_it_changes(old: dict[str, str], shown: t.Callable[..., Entries]) -> None:
    found = shown({"secrets.env": Content("KEY=new-s3cr3t", secret=True)}, [WRITE], old)
    assert len(found) == 1
    assert found[0]["before"] != found[0]["after"]
    assert "s3cr3t" not in str(found)
