# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on a host."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout, slug
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from hypothesis import given
from hypothesis import strategies as st

LAYOUT = Layout("/p")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("meta-llama/Llama-3-8b", "meta-llama--Llama-3-8b"),
        ("a b:c", "a-b-c"),
        ("..", "_"),
        ("../x", "--x"),
        (".hidden", "hidden"),
        ("", "_"),
        ("é", "-"),
    ],
)
def test_a_name_becomes_one_folder(name: str, folder: str) -> None:
    assert slug(name) == folder


@given(st.text(max_size=12))
def test_no_name_leads_out_of_its_folder_and_a_folder_is_its_own_name(name: str) -> None:
    folder = slug(name)
    assert folder and "/" not in folder and not folder.startswith(".")
    assert slug(folder) == folder


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        ("worker", "/p/releases/engine"),
        ("queen", "/p/releases/engine"),
        ("tool", "/p/tools/engine"),
        ("model", "/p/models/org--m"),
    ],
)
def test_workers_share_the_releases_of_their_type_and_models_have_their_own(kind: str, folder: str) -> None:
    assert LAYOUT.releases(Spec("org/m", "engine", kind, "f", "1", ())) == folder


def test_every_folder_comes_after_the_one_it_lies_in() -> None:
    known = {"/"}
    for folder in LAYOUT.folders:
        assert (folder.rpartition("/")[0] or "/") in known
        known.add(folder)
    assert {LAYOUT.staging, LAYOUT.cache, LAYOUT.components, LAYOUT.journals} <= known


def test_all_of_a_component_but_its_data_and_release_lies_in_one_folder() -> None:
    folder = LAYOUT.component("org/m")
    for path in (LAYOUT.receipt("org/m"), LAYOUT.current("org/m"), LAYOUT.generation("org/m", "g")):
        assert path.startswith(folder + "/")


@pytest.mark.parametrize(
    ("unit", "ours"),
    [
        ("ExecStart=:/p/components/w/current/start", True),
        ("ExecStart=:/q/p2/components/w/current/start", False),
        ("ExecStart=:/p/components/w2/current/start", False),
    ],
)
def test_a_service_is_of_the_prefix_that_it_runs_from(unit: str, ours: bool) -> None:
    assert LAYOUT.is_run_by("w", unit) is ours


def test_a_percent_sign_is_doubled_in_a_service() -> None:
    assert Layout("/p%i").is_run_by("w", "ExecStart=:/p%%i/components/w/current/start")
