# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a host, when two ask for the same, and what it answers."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._request import (
    FAILED,
    HOST,
    ROLLED_BACK,
    Outcome,
    Request,
    check,
    parse,
    result,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source, Spec, SpecError, Variant, to_dict


def spec(name: str = "w", **options: t.Any) -> Spec:
    values = {"type": "t", "kind": "worker", "fleet": "default", "version": "1", **options}
    return Spec(name, variants=(Variant("cpu", {"any": Source("file")}),), **values)


BASE = Request("default", specs=(spec(),), secrets={"key": "s3cr3t"})


def test_a_request_is_read_from_a_modules_arguments() -> None:
    tool = spec("uv", kind="tool")
    arguments = {
        "fleet": "default",
        "scope": "user",
        "prefix": "/home/me/rbee",
        "components": [to_dict(spec())],
        "tools": [to_dict(tool)],
        "names": ["w"],
        "secrets": {"key": "s3cr3t"},
        "follow": None,
    }
    expected = Request(
        "default", "user", "/home/me/rbee", specs=(spec(),), tools={"uv": tool}, names=("w",), secrets={"key": "s3cr3t"}
    )
    assert parse(arguments) == expected


@pytest.mark.parametrize("passing", [{"controller": "me"}, {"supplies": {"a": []}}, {"lock_timeout": 0}], ids=str)
def test_who_asks_and_how_makes_no_other_request(passing: dict[str, t.Any]) -> None:
    assert dataclasses.replace(BASE, **passing).identity == BASE.identity


@pytest.mark.parametrize(
    "change",
    [
        {"fleet": "other"},
        {"scope": "user"},
        {"prefix": "/p"},
        {"state": "absent"},
        {"specs": (spec(port=1),)},
        {"specs": ()},
        {"tools": {"uv": spec("uv", kind="tool")}},
        {"kinds": ("worker",)},
        {"names": ("w",)},
        {"purge": True},
        {"force": True},
        {"deep": True},
        {"fetch": "controller"},
        {"secrets": {"key": "other"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_asked_for_makes_another_request(change: dict[str, t.Any]) -> None:
    assert dataclasses.replace(BASE, **change).identity != BASE.identity


def test_a_request_does_not_show_its_secrets() -> None:
    assert "s3cr3t" not in repr(BASE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scope": "root"}, "scope is 'root', expected system or user"),
        ({"prefix": "rbee"}, "prefix is 'rbee', expected an absolute path"),
        ({"specs": (spec("a"), spec("a"))}, "component 'a' is declared twice"),
        (
            {"specs": (spec("a/b", kind="model"), spec("a--b", kind="model"))},
            "components 'a/b' and 'a--b' would share the folder 'a--b'",
        ),
        ({"specs": (spec("../../etc"),)}, "component '../../etc': expected a name of letters"),
        ({"specs": (spec(fleet="other"),)}, "component 'w' is of fleet 'other', the task of 'default'"),
        ({"specs": (spec("uv", kind="tool"),)}, "component 'uv' is a tool"),
        ({"kinds": ("gateway",)}, "unknown kind 'gateway'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_together_is_refused(change: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(dataclasses.replace(BASE, **change))
    assert str(caught.value).startswith(message)


def test_models_may_have_the_names_that_people_know_them_by() -> None:
    check(dataclasses.replace(BASE, specs=(spec("org/model", kind="model"),)))


def test_a_result_is_failed_when_a_component_is_and_says_which_and_why() -> None:
    outcomes = [
        Outcome(HOST, HOST),
        Outcome("a", "worker", changed=True),
        Outcome("b", "worker", state=FAILED, reason="no space"),
        Outcome("c", "worker", state=ROLLED_BACK, reason="not healthy"),
    ]
    found = result(outcomes)
    assert (found["changed"], found["failed"]) == (True, True)
    assert found["msg"] == "b failed: no space; c rolled-back: not healthy"
    assert [item["name"] for item in found["components"]] == ["a", "b", "c"]
    assert found["host"]["name"] == HOST


def test_a_result_without_trouble_has_no_message() -> None:
    found = result([Outcome(HOST, HOST), Outcome("a", "worker")])
    assert (found["changed"], "failed" in found, "msg" in found, "diff" in found) == (False, False, False, False)
