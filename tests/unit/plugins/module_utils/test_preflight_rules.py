# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the facts of a host mean for an installation."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _preflight_rules as rules
from ansible_collections.rbee.fleet.plugins.module_utils._finding import Finding, finding_of
from ansible_collections.rbee.fleet.plugins.module_utils._sources import MIB, RESERVE
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Source, Spec

GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("reason", "problem", "fix"),
    [
        ("port 80 is taken; stop it", "port 80 is taken", "stop it"),
        ("a; b; c", "a; b", "c"),
        ("nothing to do", "nothing to do", ""),
        ("first\nsecond; third", "first; second", "third"),
    ],
)
def test_a_reason_is_a_problem_and_its_remedy(reason: str, problem: str, fix: str) -> None:
    assert finding_of("queen", reason) == Finding("queen", problem, fix)


def test_a_missing_gpu_has_a_remedy_too() -> None:
    fault = "needs a GPU of kind nvidia; this host has none"
    (found,) = rules.of_faults({"vllm": fault})
    assert (found.where, found.problem) == ("vllm", fault)
    assert found.fix


def test_a_source_brings_what_is_known_of_all_its_parts() -> None:
    parts = (Source("archive", size=5), Source("archive", path="/srv/b"), Source("archive", url="http://a/b"))
    assert rules.size_of(Source("archive", path="/srv/a", also=parts), {"/srv/a": 1, "/srv/b": 20}) == 26


@pytest.mark.parametrize(("free", "problems"), [(GIB + RESERVE, 0), (GIB + RESERVE - 1, 1)])
def test_space_is_wanted_for_what_is_fetched_and_a_reserve(free: int, problems: int) -> None:
    found = rules.of_space("/opt/rbee", GIB, free)
    assert len(found) == problems
    assert all("1.0 GiB needed" in one.problem for one in found)


def test_models_that_do_not_fit_into_memory_are_a_warning() -> None:
    assert rules.of_memory({"model-a": GIB, "model-b": GIB}, 2 * GIB) == []
    (found,) = rules.of_memory({"model-b": GIB, "model-a": GIB}, 2 * GIB - 1)
    assert found.severity == "warning"
    assert found.problem == "the models model-a, model-b take 2.0 GiB, this host has 2.0 GiB of memory"


@pytest.mark.parametrize(
    ("difference", "problem"),
    [
        (300.0, ""),
        (-300.0, ""),
        (301.0, "its clock is 301 s ahead of the controller's"),
        (-86400.0, "its clock is 86400 s behind the controller's"),
    ],
)
def test_a_clock_that_is_far_off_is_a_warning(difference: float, problem: str) -> None:
    found = rules.of_clock(difference)
    assert [(one.problem, one.severity) for one in found] == ([(problem, "warning")] if problem else [])


def spec(**more: t.Any) -> Spec:
    return Spec(name="w", type="w", kind="worker", fleet="default", version="1", variants=(), **more)


def test_the_secrets_of_components_are_known_by_name() -> None:
    assert rules.secrets_of([spec(secret_env={"A": "one"}), spec(files=(File("f", secret="two"), File("g", "x")))]) == {
        "one",
        "two",
    }


def test_a_worker_that_stays_idle_serves_nothing() -> None:
    assert rules.served([spec(model="model-a")]) == {"w": "model-a"}
    assert rules.served([spec(model="model-a", idle="no model"), spec()]) == {}
