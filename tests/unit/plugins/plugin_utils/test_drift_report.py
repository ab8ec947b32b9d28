# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and machines read of a sync."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._request import HOST, Outcome, result
from ansible_collections.rbee.fleet.plugins.plugin_utils import _drift_report
from ansible_collections.rbee.fleet.plugins.plugin_utils._departed import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import host_report

MISSING = {"kind": "missing", "detail": "not installed"}
EXTRA = {"kind": "extra", "detail": "comfyui 1"}
HELD = {"kind": "held", "detail": "stopped on request"}


def worker(name: str, state: str = "ok", *drift: dict[str, str], **more: t.Any) -> Outcome:
    return dataclasses.replace(Outcome(name, "worker", state=state, drift=list(drift)), **more)


def ran(*outcomes: Outcome) -> dict[str, t.Any]:
    return result([Outcome(HOST, HOST), *outcomes])


def gone(found: t.Any = None, done: t.Any = None, left: t.Any = None, **more: str) -> dict[str, t.Any]:
    return {"alias": "old", "renamed": "", "reason": "", "found": found, "done": done, "left": left, **more}


def report(
    *outcomes: Outcome, check: bool = True, remove: bool = False, departed: t.Any = None, **hosts: t.Any
) -> dict[str, t.Any]:
    results = {"gpu-1": ran(*outcomes), **hosts}
    reports = {name: host_report(found) for name, found in results.items()}
    return _drift_report.document(reports, {"old": departed} if departed else {}, {"fleet": "f"}, check, remove)


def now(found: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {f"{item['host']} {item['component']} {item['kind']}": item["now"] for item in found["drift"]}


def test_nothing_that_differs_is_clean() -> None:
    found = report(worker("a"), worker("b", "ok", HELD))
    assert (found["result"], found["drift"], found["failures"]) == ("clean", [], [])
    assert found["notes"] == [{"host": "gpu-1", "component": "b", **HELD}]


def test_a_check_says_what_differs_and_a_run_what_became_of_it() -> None:
    outcomes = worker("a", "installed", MISSING), worker("b", "extra", EXTRA)
    assert now(report(*outcomes)) == {"gpu-1 a missing": "differs", "gpu-1 b extra": "differs"}
    done = report(*outcomes, check=False)
    assert now(done) == {"gpu-1 a missing": "repaired", "gpu-1 b extra": "differs"}
    assert done["result"] == "drift"
    assert report(outcomes[0], check=False)["result"] == "clean"


def test_a_failure_is_told_apart_from_drift() -> None:
    found = report(
        worker("a", "failed", MISSING, reason="port taken"), check=False, far={"unreachable": True, "msg": "no route"}
    )
    assert found["result"] == "failed"
    assert now(found) == {"gpu-1 a missing": "failed"}
    assert found["failures"] == [
        {"host": "gpu-1", "component": "a", "reason": "failed: port taken"},
        {"host": "far", "component": "", "reason": "no route"},
    ]


def test_a_hive_that_left_differs_until_nothing_is_left_of_it() -> None:
    there = ran(worker("a", "extra", EXTRA))
    assert now(report(departed=gone(there))) == {"old  departed": "differs"}
    removed = gone(there, ran(worker("a", "removed")), ran())
    assert now(report(departed=removed, check=False, remove=True)) == {"old  departed": "repaired"}
    assert _drift_report.forgotten({"old": removed}) == ["old"]
    assert _drift_report.forgotten({"old": gone(there)}) == []
    empty = report(departed=gone(ran()))
    assert (empty["result"], [note["kind"] for note in empty["notes"]]) == ("clean", ["departed"])


def test_a_hive_that_left_and_cannot_be_reached_is_drift_and_a_failure_only_of_its_removal() -> None:
    cut = gone({"unreachable": True, "msg": "no route"})
    assert (now(report(departed=cut)), report(departed=cut)["failures"]) == ({"old  unreachable": "differs"}, [])
    failed = report(departed=cut, check=False, remove=True)
    assert "forget it with -e rbee_forget=old" in failed["failures"][0]["reason"]
    assert _drift_report.forgotten({"old": cut}) == []


def test_a_machine_with_another_hive_on_it_is_left_alone() -> None:
    agent = dataclasses.replace(worker("hive", "extra", EXTRA, declared={"alias": "new"}), kind="hive")
    found = report(departed=gone(ran(agent)), remove=True)
    assert now(found) == {"old  unreachable": "failed"}
    assert "called new by now" in found["failures"][0]["reason"]


def test_a_hive_that_got_another_name_is_forgotten() -> None:
    renamed = gone(renamed="gpu-1", reason="under the name gpu-1")
    assert _drift_report.forgotten({"old": renamed}) == ["old"]
    assert report(departed=renamed)["result"] == "clean"


def test_models_that_stay_are_told_and_keep_the_hive_known() -> None:
    model = worker("model-m", "extra", {"kind": "left", "detail": "a model"})
    found = gone(ran(worker("a", "extra", EXTRA)), ran(worker("a", "removed")), ran(model))
    assert [note["kind"] for note in report(departed=found, check=False, remove=True)["notes"]] == ["left"]
    assert _drift_report.forgotten({"old": found}) == []


def test_people_read_what_differs_below_each_host() -> None:
    found = report(
        worker("comfyui", "installed", MISSING, steps=["fetch release x", "start service"]),
        worker("spare", "extra", EXTRA),
        worker("quiet", "ok", HELD),
        far={"unreachable": True, "msg": "no route"},
        well=ran(worker("a")),
    )
    assert _drift_report.lines(found) == [
        "gpu-1  drift",
        "         comfyui: missing: not installed",
        "         spare: extra: comfyui 1",
        "         quiet: held: stopped on request",
        "           would comfyui: fetch release x; start service",
        "far    unreachable: no route",
        "well   ok",
    ]


def test_a_temporary_hive_of_somebody_else_is_told_and_does_not_count() -> None:
    found = report(departed=gone(reason=TEMPORARY), check=False, remove=True)
    assert (found["result"], [item["kind"] for item in found["notes"]]) == ("clean", ["temporary"])
    assert _drift_report.forgotten({"old": gone(reason=TEMPORARY)}) == []
