# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from what a host has to what it shall have."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._plan import (
    CHECK,
    DISABLE,
    DISCARD,
    DRAIN,
    ENABLE,
    FETCH,
    GATE,
    RECORD,
    RELOAD,
    REMOVE,
    RESTART,
    START,
    STOP,
    SWITCH,
    UNIT,
    WRITE,
    Observed,
    Plan,
    plan_absent,
    plan_present,
    plan_running,
    staged,
    standing,
    start_digest,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Service, Source, Spec, Variant
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, Content, Target
from hypothesis import given
from hypothesis import strategies as st

Receipt = dict[str, t.Any]


def wanted(release: str = "r1", unit: str = "unit", files: str = "", start: str = "", **options: t.Any) -> Target:
    """A worker whose generation is named by what is in it."""
    values: dict[str, t.Any] = {"command": ("run",), "health": Health("/health"), **options}
    variant = Variant("cpu", {"any": Source("archive")})
    spec = Spec("w", "stand-in", "worker", "default", release, (variant,), **values)
    build = Build(variant, Source("archive"), "", release, f"/p/releases/stand-in/{release}")
    contents = {"start": Content(f"{release} {spec.port} {start}"), "unit": Content(unit), "files/f": Content(files)}
    generation = "/".join(content.text for content in contents.values())
    return Target(spec, build, generation, contents)


MODEL = Target(
    Spec("m", "model", "model", "default", "1", (Variant("file", {"any": Source("file")}),)),
    Build(Variant("file", {}), Source("file"), "", "r1", "/p/models/m/r1"),
)


def receipt_of(target: Target) -> Receipt:
    receipt = {"name": target.spec.name, "release": target.build.release}
    if target.has_service:
        receipt.update(generation=target.generation, start=start_digest(target), auto_start=str(target.runs))
    return receipt


def settled(target: Target, **differences: t.Any) -> Observed:
    """What a host looks like after the target was installed and nothing happened since."""
    seen = Observed(
        receipt=receipt_of(target),
        current=target.generation,
        unit=target.unit if target.has_service else None,
        active=target.runs,
        enabled=target.runs,
        healthy=True if target.runs else None,
    )
    return dataclasses.replace(seen, **differences)


def upgrade(old: Target, new: Target, **differences: t.Any) -> Observed:
    """What a host with *old* looks like to someone who wants *new*."""
    faults = {
        "release_fault": "missing" if old.build.release != new.build.release else "",
        "generation_fault": "missing" if old.generation != new.generation else "",
    }
    return settled(old, **{**faults, **differences})


def steps(target: Target, seen: Observed, **options: t.Any) -> list[str]:
    return names(plan_present(target, seen, receipt_of(target), **options))


def names(plan: Plan) -> list[str]:
    return [step.name for step in plan.steps]


NOTHING = Observed(release_fault="missing", generation_fault="missing")
PLAIN = wanted()
HELD = {"receipt": {**receipt_of(PLAIN), "held": True}, "active": False, "enabled": False, "healthy": None}


def test_a_first_install_takes_every_step_in_order() -> None:
    found = steps(wanted(check=("run", "--check")), NOTHING)
    assert found == [FETCH, WRITE, CHECK, SWITCH, UNIT, ENABLE, START, GATE, RECORD]


def test_a_first_install_of_a_model_only_fetches_and_records() -> None:
    assert steps(MODEL, Observed(release_fault="missing")) == [FETCH, RECORD]


@pytest.mark.parametrize("target", [PLAIN, MODEL, wanted(auto_start=False), wanted(idle="no model")])
def test_what_is_as_declared_needs_nothing(target: Target) -> None:
    plan = plan_present(target, settled(target), receipt_of(target))
    assert plan.steps == ()
    assert not plan.changes


def test_a_changed_port_restarts_without_fetching_anything() -> None:
    new = wanted(port=8081)
    assert steps(new, upgrade(PLAIN, new)) == [WRITE, SWITCH, RESTART, GATE, RECORD]


def test_a_changed_version_is_fetched_before_anything_is_switched() -> None:
    new = wanted("r2")
    assert steps(new, upgrade(PLAIN, new)) == [FETCH, WRITE, SWITCH, RESTART, GATE, RECORD]


def test_going_back_to_a_version_that_is_still_there_fetches_and_writes_nothing() -> None:
    new = wanted("r2")
    assert steps(new, upgrade(PLAIN, new, release_fault="", generation_fault="")) == [SWITCH, RESTART, GATE, RECORD]


def test_a_changed_service_definition_is_written_before_the_restart() -> None:
    new = wanted(unit="other")
    assert steps(new, upgrade(PLAIN, new)) == [WRITE, SWITCH, UNIT, RESTART, GATE, RECORD]


def test_a_modified_release_is_fetched_again_and_what_runs_from_it_restarts() -> None:
    assert steps(PLAIN, settled(PLAIN, release_fault="modified: bin/run")) == [FETCH, RESTART, GATE, RECORD]


def test_a_modified_release_is_fetched_once_and_everything_that_runs_from_it_restarts() -> None:
    seen = settled(PLAIN, release_fault="modified: bin/run")
    assert steps(PLAIN, seen, shared=True) == [RESTART, GATE, RECORD]


def test_a_modified_generation_is_written_again() -> None:
    seen = settled(PLAIN, generation_fault="modified: start")
    assert steps(PLAIN, seen) == [WRITE, SWITCH, RESTART, GATE, RECORD]


def test_force_installs_everything_again() -> None:
    assert steps(PLAIN, settled(PLAIN), force=True) == [FETCH, WRITE, SWITCH, RESTART, GATE, RECORD]


def test_the_configuration_is_checked_whenever_something_is_switched_to_and_only_then() -> None:
    old, new = wanted(check=("run",)), wanted(check=("run",), port=1)
    assert steps(old, settled(old)) == []
    found = steps(new, upgrade(old, new))
    assert found.index(CHECK) < found.index(SWITCH)


@pytest.mark.parametrize(
    ("reached", "rest"),
    [
        ({}, [SWITCH, UNIT, RESTART, GATE, RECORD]),
        ({"current": "new"}, [UNIT, RESTART, GATE, RECORD]),
        ({"current": "new", "unit": "other"}, [RESTART, GATE, RECORD]),
    ],
    ids=["before the switch", "before the service definition", "before or after the restart"],
)
def test_an_upgrade_that_was_killed_goes_on_where_it_was_cut(reached: dict[str, str], rest: list[str]) -> None:
    new = wanted("r2", unit="other")
    seen = upgrade(PLAIN, new, release_fault="", generation_fault="", **reached)
    if "current" in reached:
        seen = dataclasses.replace(seen, current=new.generation)
    assert steps(new, seen) == rest


def test_a_first_install_killed_after_the_start_restarts_because_nobody_knows_what_runs() -> None:
    assert steps(PLAIN, settled(PLAIN, receipt=None)) == [RESTART, GATE, RECORD]


def test_an_idle_component_is_installed_and_not_started() -> None:
    assert steps(wanted(idle="no model"), NOTHING) == [FETCH, WRITE, SWITCH, UNIT, RECORD]


def test_a_component_that_becomes_idle_is_stopped_and_stays_so_over_a_reboot() -> None:
    new = wanted(idle="no model")
    assert steps(new, settled(PLAIN)) == [DISABLE, STOP, RECORD]


def test_a_component_without_auto_start_is_installed_and_not_started() -> None:
    assert steps(wanted(auto_start=False), NOTHING) == [FETCH, WRITE, SWITCH, UNIT, RECORD]


def test_a_component_without_auto_start_that_someone_started_follows_a_change() -> None:
    old, new = wanted(auto_start=False), wanted(auto_start=False, port=1)
    assert steps(new, upgrade(old, new, active=True)) == [WRITE, SWITCH, RESTART, GATE, RECORD]


def test_turning_auto_start_off_leaves_what_runs_running() -> None:
    assert steps(wanted(auto_start=False), settled(PLAIN)) == [DISABLE, RECORD]


def test_turning_auto_start_on_starts_and_enables() -> None:
    assert steps(PLAIN, settled(wanted(auto_start=False))) == [ENABLE, START, GATE, RECORD]


def test_a_component_on_hold_stays_down() -> None:
    assert steps(PLAIN, settled(PLAIN, **HELD)) == []


def test_a_component_on_hold_is_kept_up_to_date_and_stays_down() -> None:
    new = wanted("r2")
    assert steps(new, upgrade(PLAIN, new, **HELD)) == [FETCH, WRITE, SWITCH, RECORD]


def test_a_component_that_died_is_started() -> None:
    assert steps(PLAIN, settled(PLAIN, active=False, healthy=None)) == [START, GATE, RECORD]


def test_a_component_that_runs_and_is_not_healthy_is_waited_for_which_changes_nothing() -> None:
    plan = plan_present(PLAIN, settled(PLAIN, healthy=False), receipt_of(PLAIN))
    assert names(plan) == [GATE]
    assert not plan.changes


def test_a_component_without_a_health_path_has_no_gate() -> None:
    assert GATE not in steps(wanted(health=Health()), NOTHING)


RELOADS = {"service": Service(reload_signal="USR2")}


def test_a_change_of_files_alone_reloads_what_can_reload() -> None:
    old, new = wanted(**RELOADS), wanted(files="changed", **RELOADS)
    assert steps(new, upgrade(old, new)) == [WRITE, SWITCH, RELOAD, GATE, RECORD]


@pytest.mark.parametrize(
    "new",
    [
        wanted(files="changed", start="--other", **RELOADS),
        wanted(files="changed", unit="other", **RELOADS),
        wanted("r2", files="changed", **RELOADS),
    ],
    ids=["arguments", "service definition", "release"],
)
def test_any_other_change_restarts_what_can_reload(new: Target) -> None:
    found = steps(new, upgrade(wanted(**RELOADS), new))
    assert RESTART in found
    assert RELOAD not in found


@pytest.mark.parametrize(
    "odd", [{"generation_fault": "modified: start"}, {"release_fault": "modified: bin/run"}, {"receipt": None}]
)
def test_what_may_not_run_as_recorded_restarts_although_it_can_reload(odd: dict[str, t.Any]) -> None:
    target = wanted(**RELOADS)
    found = steps(target, settled(target, **odd))
    assert RESTART in found
    assert RELOAD not in found


def test_force_restarts_what_can_reload() -> None:
    target = wanted(**RELOADS)
    assert RESTART in steps(target, settled(target), force=True)


def test_a_changed_record_alone_is_recorded() -> None:
    seen = settled(PLAIN, receipt={**receipt_of(PLAIN), "version": "0", "time": 1, "controller": "me"})
    assert steps(PLAIN, seen) == [RECORD]


def test_who_installed_something_and_when_is_no_change() -> None:
    passing = {"time": 1, "controller": "me", "previous": "g0"}
    assert steps(PLAIN, settled(PLAIN, receipt={**receipt_of(PLAIN), **passing})) == []


def test_a_removal_stops_disables_and_removes() -> None:
    assert names(plan_absent(settled(PLAIN), "w")) == [STOP, DISABLE, REMOVE]


def test_a_removal_of_nothing_needs_nothing() -> None:
    assert plan_absent(Observed(), "w").steps == ()


@pytest.mark.parametrize("half", [{"current": "g"}, {"unit": "unit"}], ids=["switched", "with a unit"])
def test_a_removal_takes_what_a_killed_install_left(half: dict[str, t.Any]) -> None:
    assert names(plan_absent(Observed(**half), "w")) == [REMOVE]


def test_a_stop_is_a_hold_that_outlives_a_reboot() -> None:
    assert names(plan_running(PLAIN, settled(PLAIN), running=False)) == [DISABLE, STOP, RECORD]


def test_a_start_ends_the_hold_and_waits_for_health() -> None:
    assert names(plan_running(PLAIN, settled(PLAIN, **HELD), running=True)) == [ENABLE, START, GATE, RECORD]


def test_a_start_of_what_runs_and_a_stop_of_what_is_on_hold_need_nothing() -> None:
    assert plan_running(PLAIN, settled(PLAIN), running=True).steps == ()
    assert plan_running(PLAIN, settled(PLAIN, **HELD), running=False).steps == ()


def test_a_start_of_a_component_without_auto_start_does_not_enable_it() -> None:
    target = wanted(auto_start=False)
    assert names(plan_running(target, settled(target), running=True)) == [START, GATE]


@pytest.mark.parametrize("running", [True, False])
def test_start_and_stop_have_nothing_to_do_with_models(running: bool) -> None:
    assert plan_running(MODEL, settled(MODEL), running).steps == ()


def test_a_start_leaves_an_idle_component_idle() -> None:
    target = wanted(idle="no model")
    assert plan_running(target, settled(target), running=True).steps == ()


def test_a_stop_of_what_is_not_installed_needs_nothing() -> None:
    assert plan_running(PLAIN, NOTHING, running=False).steps == ()


TARGETS = st.builds(
    wanted,
    release=st.sampled_from(["r1", "r2"]),
    unit=st.sampled_from(["unit", "other"]),
    files=st.sampled_from(["", "x"]),
    start=st.sampled_from(["", "x"]),
    auto_start=st.booleans(),
    idle=st.sampled_from(["", "no model"]),
    check=st.sampled_from([(), ("run",)]),
    health=st.sampled_from([Health(), Health("/health")]),
    service=st.sampled_from([Service(), Service(reload_signal="USR2")]),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Target, Observed]:
    """A target and a host in any state that installs, kills, crashes and people may leave it in."""
    target, old = draw(TARGETS), draw(TARGETS)
    receipt = draw(st.sampled_from([None, receipt_of(target), receipt_of(old), {**receipt_of(old), "held": True}]))
    active = draw(st.booleans())
    healthy = draw(st.booleans()) if active and target.spec.health.path else None
    return target, Observed(
        receipt=receipt,
        current=draw(st.sampled_from(["", old.generation, target.generation])),
        release_fault=draw(st.sampled_from(["", "missing", "modified: x"])),
        generation_fault=draw(st.sampled_from(["", "missing", "modified: start"])),
        unit=draw(st.sampled_from([None, old.unit, target.unit])),
        active=active,
        enabled=draw(st.booleans()),
        healthy=healthy,
        hung=healthy is False and draw(st.booleans()),
    )


def after(plan: Plan, target: Target, seen: Observed, receipt: Receipt) -> Observed:
    """What a host looks like when every step of a plan has succeeded."""
    done: dict[str, t.Any] = {}
    held = {"held": True} if seen.receipt and seen.receipt.get("held") else {}
    effects: dict[str, dict[str, t.Any]] = {
        FETCH: {"release_fault": ""},
        WRITE: {"generation_fault": ""},
        SWITCH: {"current": target.generation},
        UNIT: {"unit": target.unit},
        ENABLE: {"enabled": True},
        DISABLE: {"enabled": False},
        START: {"active": True},
        STOP: {"active": False, "healthy": None},
        GATE: {"healthy": True, "hung": False},
        RECORD: {"receipt": {**receipt, **held}},
    }
    for step in plan.steps:
        done.update(effects.get(step.name, {}))
    return dataclasses.replace(seen, **done)


@given(situations())
def test_taking_the_steps_leaves_nothing_to_do(situation: tuple[Target, Observed]) -> None:
    target, seen = situation
    receipt = receipt_of(target)
    plan = plan_present(target, seen, receipt)
    assert plan_present(target, after(plan, target, seen, receipt), receipt).steps == ()


@given(situations(), st.booleans())
def test_the_order_never_exposes_what_is_not_complete(situation: tuple[Target, Observed], force: bool) -> None:
    target, seen = situation
    order = [FETCH, WRITE, CHECK, SWITCH, UNIT, ENABLE, DISABLE, STOP, START, RESTART, RELOAD, GATE, RECORD]
    found = names(plan_present(target, seen, receipt_of(target), force))
    assert found == sorted(found, key=order.index)
    assert len(found) == len(set(found))
    assert sum(name in (START, STOP, RESTART, RELOAD) for name in found) <= 1


@given(situations())
def test_nothing_is_started_that_is_idle_or_on_hold(situation: tuple[Target, Observed]) -> None:
    target, seen = situation
    found = steps(target, seen)
    if target.spec.idle or (seen.receipt and seen.receipt.get("held")):
        assert not {ENABLE, START} & set(found)


# Serving workers


SERVING = {"receipt": {**receipt_of(PLAIN), "kind": "worker", "served_name": "m"}}


def test_a_worker_that_serves_is_drained_before_anything_of_it_is_touched() -> None:
    new = wanted("r2", check=("run", "--check"))
    found = steps(new, upgrade(PLAIN, new, **SERVING))
    assert found == [FETCH, WRITE, CHECK, DRAIN, SWITCH, RESTART, GATE, RECORD]
    idle = wanted(idle="no model")
    assert DRAIN in steps(idle, upgrade(PLAIN, idle, **SERVING))


def test_a_worker_that_serves_nobody_is_not_drained() -> None:
    new = wanted("r2")
    assert DRAIN not in steps(new, upgrade(PLAIN, new))
    assert DRAIN not in steps(new, upgrade(PLAIN, new, **SERVING, active=False))


def test_a_reload_and_a_change_that_restarts_nothing_drain_nothing() -> None:
    plan = plan_present(PLAIN, settled(PLAIN, **SERVING, enabled=False), {**SERVING["receipt"]})
    assert names(plan) == [ENABLE, RECORD]


def test_what_is_staged_brings_all_and_touches_nothing_that_runs() -> None:
    new = wanted("r2")
    seen = upgrade(PLAIN, new, **SERVING)
    plan = plan_present(new, seen, receipt_of(new))
    assert names(staged(plan, new, seen, False)) == [FETCH, WRITE]
    assert names(staged(plan, new, seen, True)) == []


@pytest.mark.parametrize("fault", [{"release_fault": "modified: x"}, {"release_fault": "missing"}])
def test_what_repairs_a_tree_in_use_is_not_staged(fault: dict[str, str]) -> None:
    seen = settled(PLAIN, **SERVING, **fault)
    plan = plan_present(PLAIN, seen, receipt_of(PLAIN))
    assert names(plan) == [FETCH, DRAIN, RESTART, GATE, RECORD]
    assert names(staged(plan, PLAIN, seen, False)) == []


def test_what_hangs_is_started_anew_and_what_still_starts_is_waited_for() -> None:
    assert steps(PLAIN, settled(PLAIN, healthy=False)) == [GATE]
    assert steps(PLAIN, settled(PLAIN, healthy=False, hung=True)) == [RESTART, GATE, RECORD]
    gateway = wanted(service=Service(reload_signal="USR2"), files="x")
    assert RELOAD not in steps(gateway, upgrade(PLAIN, gateway, healthy=False, hung=True))


def test_a_worker_counts_for_every_model_that_it_serves_on_demand() -> None:
    receipt = {"kind": "worker", "served_name": "", "models": {"model-a": "a", "model-b": "b"}}
    seen = {"w": Observed(receipt=receipt, active=True)}
    found = standing(seen, {"w": Plan("w")}, {"w": receipt})
    assert found["serving"] == {"a": 1, "b": 1}


def test_an_unfinished_download_is_discarded_with_what_is_installed_or_without() -> None:
    assert names(plan_absent(Observed(), "m", unfinished=True)) == [DISCARD]
    assert names(plan_absent(Observed(receipt={}), "m", unfinished=True)) == [REMOVE, DISCARD]


def test_standing_counts_who_serves_who_starts_and_who_leaves() -> None:
    new = wanted("r2")
    seen = {
        "a": upgrade(PLAIN, new, **SERVING),
        "b": settled(PLAIN, **SERVING),
        "sick": settled(PLAIN, **SERVING, healthy=False),
        "new": NOTHING,
    }
    receipts = {name: {**receipt_of(new), "kind": "worker", "served_name": "m"} for name in seen}
    plans = {name: plan_present(new if name in ("a", "new") else PLAIN, seen[name], receipts[name]) for name in seen}
    assert standing(seen, plans, receipts) == {"serving": {"m": 2}, "starting": {"m": 1}, "leaving": {"m": 1}}
