# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._request import Outcome, result
from ansible_collections.rbee.fleet.plugins.plugin_utils import _summary


def outcome(name="worker", state="ok", **more):
    return Outcome(name, "host" if name == "host" else "worker", state=state, **more)


def report(*outcomes):
    return _summary.host_report(result(outcomes))


def text(hosts, check=False):
    return "\n".join(_summary.lines(hosts, check))


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (result([outcome()]), "ok", ""),
        (result([outcome(state="updated", changed=True)]), "changed", ""),
        (result([outcome(state="failed", reason="why")]), "failed", ""),
        (result([outcome(state="rolled-back", reason="why", changed=True)]), "failed", ""),
        ({"unreachable": True, "msg": "no\n  route"}, "unreachable", "no route"),
        ({"unreachable": True, "msg": "Task failed: no route"}, "unreachable", "no route"),
        ({"failed": True, "msg": "sudo: a password is required"}, "failed", "sudo: a password is required"),
        ({"failed": False, "msg": "sudo: a password is required"}, "failed", "sudo: a password is required"),
        ({"skipped": True, "msg": "it did not fail in the last run"}, "skipped", "it did not fail in the last run"),
        ({"failed": True}, "failed", "no reason was given"),
        (None, "skipped", "the task did not run on this host"),
    ],
)
def test_every_answer_of_a_host_gets_a_named_state_and_a_reason(answer, state, reason):
    found = _summary.host_report(answer)
    assert (found["state"], found["reason"]) == (state, reason)


def test_the_result_file_names_what_a_retry_takes_up():
    hosts = {
        "good": report(outcome(state="installed", changed=True)),
        "half": report(outcome("a"), outcome("b", "failed", reason="x"), outcome("host", "failed", reason="y")),
        "away": _summary.host_report({"unreachable": True, "msg": "gone"}),
    }
    document = _summary.document(hosts, "demo", "install", "2026-01-01T00:00:00Z")
    assert document["failed"] == {"half": ["b"], "away": []}
    assert document["hosts"]["half"]["components"][0] == dataclasses.asdict(outcome("a"))


def test_an_unchanged_host_is_one_line():
    assert text({"h": report(outcome("a"), outcome("b"), outcome("host"))}) == "h  ok, nothing to change (2 components)"
    assert text({"h": report(outcome("a"))}) == "h  ok, nothing to change (1 component)"


def test_a_host_without_anything_that_a_run_is_narrowed_to_says_so():
    assert text({"h": report(outcome("host"))}) == "h  ok, has none of it"


def test_a_failure_shows_its_reason_its_log_and_what_was_kept():
    failed = outcome("w", "rolled-back", reason="answered 503:\n loading", logs=["line"], kept=["/p"], seconds=61.04)
    shown = text({"h": report(failed)})
    assert "w: rolled-back in 61.0 s: answered 503: loading" in shown
    assert "kept: /p" in shown
    assert "| line" in shown


def test_a_dry_run_shows_the_steps():
    planned = outcome("w", "updated", changed=True, steps=["restart service", "record receipt"])
    assert text({"h": report(planned)}, check=True).splitlines() == [
        "h  would change",
        "     w: restart service; record receipt",
    ]


def test_hosts_are_aligned():
    shown = text({"a": report(outcome()), "longer": report(outcome())}).splitlines()
    assert [line.index("ok") for line in shown] == [8, 8]


def test_a_run_without_the_queen_says_so():
    assert "--limit queen" in _summary.left_out(["queen"], ["gpu-1"], "install")[0]
    assert _summary.left_out(["queen"], ["gpu-1", "queen"], "install") == []
    assert _summary.left_out(["queen"], ["gpu-1"], "stop") == []


def test_the_last_line_counts_the_hosts_and_names_those_that_are_not_well():
    good, changed = report(outcome()), report(outcome(state="updated", changed=True))
    failed = report(outcome(state="failed", reason="why"))
    away = _summary.host_report({"unreachable": True, "msg": "gone"})
    assert _summary.closing({"a": good}, "install", 1.25) == "install complete: 1 host, 1 ok, in 1.2 s"
    assert _summary.closing({"a": good, "b": failed, "c": changed, "d": away, "e": failed}, "install", 12.34) == (
        "install incomplete: 5 hosts, 1 unreachable (d), 2 failed (b, e), 1 changed, 1 ok, in 12.3 s"
    )
    assert _summary.closing({"a": changed, "b": good}, "stop", 2, check=True) == (
        "dry run of stop: 2 hosts, 1 would change, 1 ok, in 2.0 s"
    )
