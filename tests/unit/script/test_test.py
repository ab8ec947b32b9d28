# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How script/test counts and judges."""

from __future__ import annotations

import pathlib
import sys
import threading
import types
import typing as t

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the scripts run on Python 3.11 and newer", allow_module_level=True)


@pytest.fixture(name="script", scope="module")
def fixture_script(load_script: t.Callable[[str], types.ModuleType]) -> types.ModuleType:
    return load_script("test")


def missing(script: types.ModuleType) -> types.FunctionType:
    def check() -> None:
        raise script.Skip("no Python 3.99 on this machine")

    return check


def test_the_last_line_counts_every_test(script: types.ModuleType) -> None:
    results = [script.Result("unit: pytest", passed=3, skipped=1), script.Result("lint: mypy", failed=1, note="exit 1")]
    assert script.summary(results).endswith("\n3 passed, 1 failed, 1 skipped\n")


def test_the_last_line_names_no_skips_when_there_are_none(script: types.ModuleType) -> None:
    assert script.summary([script.Result("unit: pytest", passed=3)]).endswith("\n3 passed, 0 failed\n")


def test_a_check_the_machine_cannot_run_is_skipped_with_its_reason(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = script.attempt("matrix", "new", missing(script))
    assert (result.verdict, result.note) == ("skipped", "this machine cannot run it: no Python 3.99 on this machine")


def test_in_ci_a_check_the_machine_cannot_run_has_failed(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert script.attempt("matrix", "new", missing(script)).verdict == "FAILED"


def test_a_command_that_exits_non_zero_has_failed(script: types.ModuleType) -> None:
    check = script.command_check("false", sys.executable, "-c", "raise SystemExit(3)")
    result = script.attempt("lint", "false", check)
    assert (result.verdict, result.note.rsplit(" ", 3)[1:]) == ("FAILED", ["exited", "with", "3"])


def test_pytest_errors_count_as_failures(script: types.ModuleType, tmp_path: pathlib.Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>', "utf-8")
    result = script.pytest_result("pytest", report)
    assert (result.passed, result.failed, result.skipped) == (3, 3, 3)


def test_checks_that_run_beside_each_other_are_shown_one_after_the_other(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each waits for the other one, so neither passes where they do not run at the same time."""
    both = threading.Barrier(2)

    def check(name: str) -> t.Callable[[], t.Any]:
        def run() -> t.Any:
            both.wait(timeout=30)
            for number in range(2):
                script.run(sys.executable, "-c", f"print({name!r}, {number})")
                both.wait(timeout=30)
            return script.Result(name, passed=1)

        return run

    monkeypatch.setattr(script, "TIERS", {name: {"check": check(name)} for name in ("one", "two")})
    monkeypatch.setattr(script, "TOGETHER", ((("two", "one"), 2),))
    results = script.attempt_all(["one", "two"])
    assert [(result.name, result.verdict) for result in results] == [("one: check", "passed"), ("two: check", "passed")]
    blocks = [f"\n== {name}: check\n{name} 0\n{name} 1\n" for name in ("one", "two")]
    assert capfd.readouterr().out in ("".join(blocks), "".join(reversed(blocks)))


def test_every_tier_runs_once(script: types.ModuleType) -> None:
    assert sorted(tier for tiers, _lanes in script.TOGETHER for tier in tiers) == sorted(script.TIERS)
