# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hives that have left the configuration, and machines that only look as if they had."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._departed import TEMPORARY, departed

GPU = {
    "hostname": "192.168.1.101",
    "prefix": "/opt/rbee",
    "scope": "system",
    "connection": "ssh",
    "ssh_user": "ops",
    "ssh_port": 22,
    "hive_port": 8600,
    "address": "192.168.1.101",
    "auto_start": True,
}
DESK = {**GPU, "hostname": "localhost", "connection": "local", "ssh_user": ""}
QUEEN = {
    "ansible_connection": "ssh",
    "ansible_host": "192.168.1.99",
    "ansible_port": 22,
    "rbee_fleet": {"scope": "system"},
}


def names(found: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    return {item["alias"]: item["reason"] for item in found}


def test_a_hive_that_left_is_reached_as_the_register_says() -> None:
    (found,) = departed({"gpu-2": GPU, "gpu-1": GPU}, {"queen": QUEEN, "gpu-1": {}}, "queen", ())
    assert found["alias"] == "gpu-2"
    assert found["variables"] == {
        "ansible_connection": "ssh",
        "ansible_host": "192.168.1.101",
        "ansible_port": 22,
        "ansible_user": "ops",
    }
    assert (found["renamed"], found["reason"]) == ("", "")


def test_a_machine_that_got_another_name_has_not_left() -> None:
    renamed = {"ansible_host": "192.168.1.101", "ansible_port": 22, "ansible_connection": "ssh"}
    (found,) = departed({"gpu-2": GPU}, {"queen": QUEEN, "left": renamed}, "queen", ())
    assert found["renamed"] == "left"
    assert "under the name left" in found["reason"]


def test_a_user_s_installation_is_another_one_than_that_of_a_second_user() -> None:
    mine = {**GPU, "scope": "user", "ssh_user": "me"}
    theirs = {"ansible_host": "192.168.1.101", "ansible_user": "you", "rbee_fleet": {"scope": "user"}}
    assert names(departed({"gpu-2": mine}, {"queen": QUEEN, "gpu-3": theirs}, "queen", ())) == {"gpu-2": ""}


def test_somebody_s_own_machine_is_only_reached_where_the_queen_is_local_too() -> None:
    found = departed({"desk": DESK}, {"queen": QUEEN}, "queen", ())
    assert "can only be reached from there" in names(found)["desk"]
    local = {"ansible_connection": "local", "ansible_host": "localhost"}
    (found_here,) = departed({"desk": DESK}, {"queen": local}, "queen", ())
    assert found_here["renamed"] == "queen"


def test_what_is_to_be_forgotten_does_not_count() -> None:
    assert departed({"gpu-2": GPU}, {"queen": QUEEN}, "queen", ["gpu-2"]) == []


def test_a_temporary_hive_of_somebody_else_is_looked_at_only_on_request() -> None:
    register = {"gpu-2": {**GPU, "temporary": True}}
    assert names(departed(register, {"queen": QUEEN}, "queen", ())) == {"gpu-2": TEMPORARY}
    assert names(departed(register, {"queen": QUEEN}, "queen", (), temporary=True)) == {"gpu-2": ""}
