# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the records say beside what is installed: the register of the queen."""

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.module_utils._receipts import users_of, with_register
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Registered

ONE, TWO = Registered("h1", "/opt/rbee"), Registered("h2", "/opt/rbee", ssh_user="ops")


def test_whoever_serves_a_model_alone_or_on_demand_uses_it() -> None:
    receipts = {
        "b": {"model": "m"},
        "a": {"models": {"m": "org/m", "n": "org/n"}},
        "c": {"model": "", "served_name": "m"},
        "m": {"kind": "model"},
    }
    assert [users_of(name, receipts) for name in "mnx"] == [["a", "b"], ["a"], []]


def test_the_register_keeps_who_left_until_it_is_to_forget() -> None:
    first = with_register({"name": "queen"}, {"one": ONE, "two": TWO}, {}, ())
    assert first["register"]["two"]["ssh_user"] == "ops"
    later = with_register({"name": "queen"}, {"one": ONE}, first, ())
    assert later["register"] == first["register"]
    assert list(with_register({}, {"one": ONE}, later, ("two", "one"))["register"]) == ["one"]


def test_what_is_declared_replaces_what_was_known() -> None:
    old = with_register({}, {"one": ONE}, {}, ())
    assert with_register({}, {"one": TWO}, old, ())["register"]["one"]["hostname"] == "h2"


def test_a_queen_without_hives_has_no_register() -> None:
    assert with_register({"name": "queen"}, {}, {}, ()) == {"name": "queen"}
