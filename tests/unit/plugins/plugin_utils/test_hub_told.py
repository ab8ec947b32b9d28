# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the answers of hives that were asked what a branch is."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile, info_from, info_of
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Hive, Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_told import questions, told
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin

FILES = (RemoteFile("config.json", 2, "", "b" * 40), RemoteFile("m.gguf", 9, "a" * 64, "c" * 40))
MODEL = Model("org/m")


def says(commit: str, files: t.Sequence[RemoteFile] = FILES) -> dict[str, t.Any]:
    return {"known": {"org/m": info_of(commit * 40, files)}, "unknown": {}}


def answer(**hives: dict[str, t.Any]) -> t.Any:
    return told([MODEL], hives, {"org/m": "no route"})["org/m"]


def test_what_a_host_returns_is_what_it_was_told() -> None:
    assert info_from(info_of("1" * 40, FILES)) == ("1" * 40, FILES)


def test_a_hive_is_asked_for_the_models_that_it_is_to_have() -> None:
    hives = (
        Hive("b", "b", "b", models=("org/m", "org/n")),
        Hive("a", "a", "a", models=("org/m",)),
        Hive("c", "c", "c", models=("org/n",)),
        Hive("away", "d", "d", models=("org/m",)),
    )
    fleet = Fleet(hives=hives, models=(MODEL, Model("org/n", revision="v1"), Model("org/o")))
    assert questions(fleet, {"org/m"}, {"a", "b", "c"}) == {"a": {"org/m": "main"}, "b": {"org/m": "main"}}
    assert questions(fleet, {"org/n", "org/o"}, {"b", "c"}) == {"b": {"org/n": "v1"}, "c": {"org/n": "v1"}}


def test_the_first_hive_by_name_that_was_told_counts_for_all() -> None:
    found = answer(c=says("3"), b=says("2"), a={"unknown": {"org/m": "offline"}})
    assert found == Pin("main", "2" * 40, {"config.json": f"git:{'b' * 40}", "m.gguf": f"sha256:{'a' * 64}"})


def test_where_nobody_knows_everybody_says_why() -> None:
    found = answer(b={"msg": "Failed to connect", "unreachable": True}, a={"unknown": {"org/m": "offline"}}, c={})
    assert str(found) == "controller: no route; a: offline; b: Failed to connect"


def test_a_hive_whose_hub_has_another_model_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"has no file m\.gguf"):
        told([Model("org/m", file="m.gguf")], {"a": says("1", FILES[:1])}, {})


def test_an_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(SourceError, match="the answer of the hub is not understood"):
        answer(a={"known": {"org/m": {"sha": "1" * 40}}})
