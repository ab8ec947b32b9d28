# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of models of a fleet."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._models_list import document, lines, lost

MIB = 1 << 20


def spec(name: str, **source: str) -> dict[str, t.Any]:
    variants = [{"name": "x", "sources": {"any": {"kind": "huggingface", **source}}}]
    return {"name": f"model-{name}", "kind": "model", "served_name": name, "version": "main", "variants": variants}


def installed(name: str, count: int, **more: t.Any) -> dict[str, t.Any]:
    found = {"name": f"model-{name}", "kind": "model", "served_name": name, "version": "main", "bytes": count}
    return {**found, "source": {"kind": "huggingface"}, "used_by": [], "problems": [], **more}


def found(*components: t.Any, downloads: t.Any = ()) -> dict[str, t.Any]:
    return {"components": list(components), "downloads": list(downloads), "host": {"free_bytes": 10 * MIB}}


def listed(result: t.Any, *declared: t.Any) -> dict[str, t.Any]:
    return document({"a": result}, {"a": declared}, "default", "2026-11-25T00:00:00Z")


def test_each_model_is_told_with_its_size_and_its_users() -> None:
    worker = {"name": "llama-cpp", "kind": "worker"}
    told = listed(found(installed("m", MIB, used_by=["llama-cpp"]), installed("x", 5), worker), spec("m"))
    assert lines(told) == [
        "a: 2 models, 1.0 MiB; 10.0 MiB free",
        "  NAME  SIZE     VERSION  USED BY",
        "  m     1.0 MiB  main     llama-cpp",
        "  x     5 bytes  main     -          not declared",
    ]
    assert [(model["name"], model["bytes"], model["declared"]) for model in told["hosts"]["a"]["models"]] == [
        ("m", MIB, True),
        ("x", 5, False),
    ]


def test_a_model_that_is_missing_says_how_much_of_it_is_there() -> None:
    begun = [{"repository": "org--m", "revision": "main", "sha256": "", "bytes": 3 * MIB}]
    told = listed(found(downloads=begun), spec("org/m", repository="org/m", revision="main"), spec("file", sha256="a"))
    assert lines(told)[2:] == [
        "  file   -     main     -        missing",
        "  org/m  -     main     -        missing; 3.0 MiB of it are here",
    ]


def test_a_download_that_nobody_declares_is_told_apart() -> None:
    begun = [
        {"repository": "org--x", "revision": "v1", "sha256": "", "bytes": 5},
        {"repository": "", "revision": "", "sha256": "b" * 64, "bytes": 7},
    ]
    assert lines(listed(found(downloads=begun), spec("m", sha256="a" * 64)))[-2:] == [
        "  unfinished: org--x at v1, 5 bytes",
        "  unfinished: a file with SHA-256 bbbbbbbbbbbb…, 7 bytes",
    ]


def test_a_commit_is_shown_by_its_beginning() -> None:
    told = listed(found(installed("m", 5, version="c0ffee" + "0" * 34)), spec("m"))
    assert lines(told)[-1] == "  m     5 bytes  c0ffee000000  -"
    assert told["hosts"]["a"]["models"][0]["version"] == "c0ffee" + "0" * 34


def test_what_is_wrong_with_a_model_is_told() -> None:
    assert lines(listed(found(installed("m", 5, problems=["release r: missing"])), spec("m")))[-1].endswith(
        "release r: missing"
    )


def test_a_host_that_cannot_be_looked_at_does_not_hide_the_others() -> None:
    told = document(
        {"a": {"unreachable": True, "msg": "no route"}, "b": found(), "c": None}, {}, "default", "2026-11-25T00:00:00Z"
    )
    assert lines(told) == [
        "a: unreachable: no route",
        "",
        "b: 0 models, 0 bytes; 10.0 MiB free",
        "",
        "c: failed: nothing looked at it",
    ]
    assert lost(told) == {"a": "no route", "c": "nothing looked at it"}
