# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a port that is taken."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._ports import at_port, holder
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source, Spec, Variant


def spec(name: str, port: int = 80, address: str = "10.0.0.1") -> Spec:
    variants = (Variant("cpu", {"any": Source("file", url="file:///x", sha256="0" * 64, name="x")}),)
    return Spec(name, "x", "worker", "ours", "1", variants, command=("x",), address=address, port=port)


def receipt(**values: t.Any) -> dict[str, t.Any]:
    return {"kind": "worker", "fleet": "ours", "port": 80, "address": "10.0.0.1", **values}


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        ({}, ["a"]),
        ({"port": 81}, []),
        ({"address": "10.0.0.2"}, []),
        ({"address": "0.0.0.0"}, ["a"]),
        ({"address": "::"}, ["a"]),
    ],
)
def test_only_what_listens_where_it_would_is_in_its_way(theirs: dict[str, t.Any], found: list[str]) -> None:
    assert at_port(spec("w"), {"a": receipt(**theirs), "w": receipt()}) == found


@pytest.mark.parametrize(
    ("theirs", "declared", "says"),
    [
        (
            {},
            [],
            "worker a, which is not declared any more; remove it with 'sync -e rbee_extra=remove', which brings this",
        ),
        (
            {"kind": "queen"},
            [],
            "queen a, which is not declared any more; remove it with 'sync -e rbee_extra=remove', wh",
        ),
        ({"temporary": True}, [], "worker a, temporary for another checkout; run rbee.fleet.remove_worker, or declare"),
        ({}, [spec("a", 81)], "worker a, which moves to port 81; run again when it has"),
        ({}, [spec("a")], "worker a, which is declared with the same port; declare another port for one of them"),
        ({"fleet": "theirs"}, [], "worker a of fleet 'theirs'; declare another port"),
    ],
)
def test_the_holder_is_named_with_what_to_do(theirs: dict[str, t.Any], declared: list[Spec], says: str) -> None:
    assert holder(["a"], spec("w"), {"a": receipt(**theirs)}, declared).startswith(says)


def test_a_stranger_has_it_when_none_of_ours_does() -> None:
    assert holder([], spec("w"), {}, []) == "another program; stop it or declare another port"
