# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cause of a step has a word, and where there is no step there is no drift that counts."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._drift import (
    Drift,
    drift_of,
    drift_of_extra,
    drift_of_host,
)
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Observed, Plan, Step, plan_present
from ansible_collections.rbee.fleet.plugins.module_utils._target import Target
from ansible_collections.rbee.fleet.tests.unit.plugins.module_utils.test_plan import (
    HELD,
    MODEL,
    NOTHING,
    PLAIN,
    receipt_of,
    settled,
    situations,
    upgrade,
    wanted,
)
from hypothesis import given
from hypothesis import strategies as st

Receipt = dict[str, t.Any]


def full(target: Target, **more: t.Any) -> Receipt:
    """A receipt with what tells kinds of drift apart."""
    spec = target.spec
    about = {"kind": spec.kind, "version": spec.version, "variant": "cpu", "port": spec.port, "auto_start": True}
    return {**receipt_of(target), **about, "served_name": "", "model": "", "declared": {"type": "stand-in"}, **more}


def found(target: Target, seen: Observed, receipt: Receipt) -> list[Drift]:
    return list(drift_of(target, seen, plan_present(target, seen, receipt), receipt))


def words(target: Target, seen: Observed, receipt: Receipt | None = None) -> list[str]:
    return [item.kind for item in found(target, seen, receipt or receipt_of(target))]


def changed(new: Target, old: Target = PLAIN, then: Receipt | None = None, now: Receipt | None = None) -> list[str]:
    """What differs where *old* is installed and *new* is declared. then, now: more of their receipts."""
    seen = dataclasses.replace(upgrade(old, new), receipt=full(old, **(then or {})))
    return [f"{item.kind}: {item.detail}" for item in found(new, seen, full(new, **(now or {})))]


@pytest.mark.parametrize("target", [PLAIN, MODEL, wanted(auto_start=False), wanted(idle="no model")])
def test_what_is_as_declared_has_none(target: Target) -> None:
    assert words(target, settled(target)) == []


def test_what_is_not_installed_is_missing_and_nothing_else() -> None:
    assert words(PLAIN, NOTHING) == ["missing"]
    assert words(MODEL, Observed(release_fault="missing")) == ["missing"]
    killed = settled(PLAIN, receipt=None)
    assert found(PLAIN, killed, receipt_of(PLAIN)) == [Drift("missing", "its installation was not completed")]


def test_another_version_or_build() -> None:
    assert changed(wanted("r2")) == ["version: version r1 instead of r2"]
    assert changed(wanted("r2"), now={"version": "r1", "variant": "cuda"}) == ["version: variant cpu instead of cuda"]
    assert changed(wanted("r2"), now={"version": "r1"}) == ["version: another build of version r1"]


@pytest.mark.parametrize(
    ("difference", "detail"),
    [
        ({"release_fault": "modified: bin/run"}, "release r1: bin/run"),
        ({"release_fault": "missing"}, "release r1: gone"),
        ({"generation_fault": "modified: files/f"}, "files/f"),
        ({"generation_fault": "missing"}, "gone"),
        ({"unit": "edited"}, "service definition: changed"),
        ({"unit": None}, "service definition: gone"),
        ({"enabled": False}, "not started at boot"),
        ({"links": ("/usr/local/bin/x",)}, "program /usr/local/bin/x"),
        ({"current": "other"}, "generation other runs, not the one that was installed"),
    ],
)
def test_what_a_person_changed_is_modified(difference: dict[str, t.Any], detail: str) -> None:
    seen = settled(PLAIN, receipt=full(PLAIN), **difference)
    assert found(PLAIN, seen, full(PLAIN)) == [Drift("modified", detail)]


def test_what_does_not_run_is_stopped_and_a_hold_is_only_told() -> None:
    stopped = settled(PLAIN, receipt=full(PLAIN), active=False, healthy=None)
    assert [item.kind for item in found(PLAIN, stopped, full(PLAIN))] == ["stopped"]
    held = found(PLAIN, settled(PLAIN, **HELD), receipt_of(PLAIN))
    assert [(item.kind, item.counts) for item in held] == [("held", False)]


def test_what_is_held_and_differs_too_has_both() -> None:
    new = wanted("r2")
    assert words(new, upgrade(PLAIN, new, **HELD)) == ["version", "held"]


def test_what_does_not_answer_is_unhealthy() -> None:
    seen = settled(PLAIN, healthy=False)
    assert [item.detail for item in found(PLAIN, seen, receipt_of(PLAIN))] == ["it does not answer yet"]
    hung = dataclasses.replace(seen, hung=True)
    assert [item.detail for item in found(PLAIN, hung, receipt_of(PLAIN))] == ["it hangs"]


def test_another_model_arguments_port_or_file() -> None:
    assert changed(wanted(start="a"), now={"served_name": "m"}) == ["model: none instead of m"]
    assert changed(wanted(start="a"), now={"declared": {"args": ["-v"], "env": {}}}) == ["arguments: args, env"]
    assert changed(wanted(start="a")) == ["arguments: command line or environment"]
    assert changed(wanted(port=8081)) == ["changed: port 0 instead of 8081"]
    assert changed(wanted(files="other")) == ["changed: its files or its service"]


def test_the_queens_files_are_the_gateway() -> None:
    old = dataclasses.replace(PLAIN, spec=dataclasses.replace(PLAIN.spec, kind="queen"))
    new = dataclasses.replace(wanted(files="map"), spec=old.spec)
    assert [line.split(":")[0] for line in changed(new, old)] == ["changed"]  # of another program
    new = dataclasses.replace(new, contents={**new.contents, "files/haproxy.cfg": new.contents["files/f"]})
    assert [line.split(":")[0] for line in changed(new, old)] == ["gateway"]
    (line,) = changed(
        new, old, {"declared": {"temporary": ["gpu-1/w", "gpu-2/w"]}}, {"declared": {"temporary": ["gpu-1/w"]}}
    )
    assert line.endswith(": it has gpu-2/w as temporary, which this checkout has not")


def test_what_is_only_recorded_otherwise_is_named() -> None:
    assert found(PLAIN, settled(PLAIN), {**receipt_of(PLAIN), "register": {"gpu-1": {}}}) == [
        Drift("changed", "recorded otherwise: register")
    ]


def test_what_nobody_declares_is_extra_but_a_model_stays() -> None:
    worker = {"kind": "worker", "type": "comfyui", "version": "1", "port": 8188, "controller": "ops@gpu-2"}
    assert drift_of_extra(worker, False) == Drift("extra", "comfyui 1 on port 8188, installed by ops@gpu-2")
    assert drift_of_extra({**worker, "temporary": True}, False).kind == "temporary"
    assert drift_of_extra({**worker, "temporary": True}, False, clears=True).kind == "extra"
    assert [drift_of_extra({"kind": "model"}, purge).counts for purge in (False, True)] == [False, True]


def test_the_host_itself_counts_where_no_component_explains_it() -> None:
    plan = Plan("host", (Step("create folders", "/opt/rbee"),))
    assert [item.kind for item in drift_of_host(plan, [(), (Drift("held"),)])] == ["modified"]
    assert drift_of_host(plan, [(Drift("missing"),)]) == drift_of_host(Plan("host"), []) == ()


@given(situations(), st.booleans(), st.booleans())
def test_there_is_drift_that_counts_exactly_where_there_are_steps(
    situation: tuple[Target, Observed], force: bool, shared: bool
) -> None:
    target, seen = situation
    receipt = full(target)
    if seen.receipt is not None:
        seen = dataclasses.replace(seen, receipt={**full(target), **seen.receipt})
    plan = plan_present(target, seen, receipt, force, shared)
    drift = drift_of(target, seen, plan, receipt)
    assert any(item.counts for item in drift) == bool(plan.steps)
    assert all(item.detail for item in drift)


def test_what_is_temporary_is_told_and_does_not_count() -> None:
    target = wanted(MODEL)
    temporary = dataclasses.replace(target, spec=dataclasses.replace(target.spec, temporary=True))
    (item,) = found(temporary, settled(temporary), receipt_of(temporary))
    assert (item.kind, item.counts) == ("temporary", False)
