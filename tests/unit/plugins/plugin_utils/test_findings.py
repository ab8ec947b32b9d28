# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a validation says."""

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.plugin_utils import _findings

SSH = {"where": "ssh", "severity": "error", "problem": "no route", "fix": "see to the network"}
CLOCK = {"where": "clock", "severity": "warning", "problem": "it is late", "fix": ""}
SECRET = {"host": "controller", "where": "secret", "severity": "error", "problem": "not set", "fix": "set it"}


def test_a_line_says_where_what_and_what_to_do() -> None:
    results = {"a": {"findings": [CLOCK]}, "gpu-2": {"findings": [SSH]}, "c": {"findings": []}}
    assert _findings.lines(_findings.rows(results), len(results)) == [
        "a      warning  clock: it is late",
        "gpu-2  error    ssh: no route; see to the network",
        "3 hosts looked at: 1 error, 1 warning",
    ]


def test_nothing_found_is_said_too() -> None:
    assert _findings.lines([], 1) == ["1 host looked at: no errors, no warnings"]


def test_the_hosts_keep_their_order_and_their_errors_come_first() -> None:
    results = {"b": {"findings": [CLOCK, SSH]}, "a": {"findings": [SSH]}}
    found = [(row["host"], row["where"]) for row in _findings.rows(results)]
    assert found == [("b", "ssh"), ("b", "clock"), ("a", "ssh")]


def test_what_is_wrong_with_the_controller_is_said_once_and_first() -> None:
    results = {"a": {"findings": [SSH, SECRET]}, "b": {"findings": [SECRET]}}
    assert [row["host"] for row in _findings.rows(results)] == ["controller", "a"]
    assert _findings.broken(results) == ["a", "b"]


def test_a_warning_breaks_no_host() -> None:
    assert _findings.broken({"a": {"findings": [CLOCK]}, "b": {"findings": []}}) == []


def test_a_host_without_an_answer_is_a_finding() -> None:
    results = {"a": {"msg": "two\nlines", "unreachable": True}, "b": None}
    assert [row["problem"] for row in _findings.rows(results)] == ["two lines", "it was not looked at"]
    assert _findings.broken(results) == ["a", "b"]


def test_the_result_file_names_every_host() -> None:
    found = _findings.rows({"a": {"findings": [SSH]}, "b": {"findings": []}})
    assert _findings.document(found, "default", ["a", "b"], "2026-11-25T12:00:00Z") == {
        "schema": 1,
        "fleet": "default",
        "time": "2026-11-25T12:00:00Z",
        "hosts": ["a", "b"],
        "findings": [{"host": "a", **SSH}],
    }
