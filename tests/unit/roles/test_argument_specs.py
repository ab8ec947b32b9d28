# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specifications of the roles say what their code takes."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys, _variables

ROLES = pathlib.Path(__file__).resolve().parents[3] / "roles"
OF_THE_TASK = {"rbee_fetch", "rbee_state", "rbee_purge", "rbee_force", "rbee_downgrade", "rbee_verify"}
COMMON = {
    _variables.MODELS,
    _variables.GROUP,
    "rbee_catalog",
    *_variables.FLEET.values(),
    *_variables.PACKAGE.values(),
    *OF_THE_TASK,
}
OWN = {"hive": {*_variables.HIVE.values(), "rbee_hf_token"}, "queen": {*_variables.QUEEN.values()}}
DEFAULTS = {
    name: keys[key].default
    for names, keys in (
        (_variables.FLEET, _keys.FLEET),
        (_variables.PACKAGE, _keys.PACKAGE),
        (_variables.HIVE, _keys.HIVE),
        (_variables.QUEEN, _keys.QUEEN),
    )
    for key, name in names.items()
}


def read(role: str, path: str) -> t.Any:
    return yaml.safe_load((ROLES / role / path).read_text())


def options(role: str) -> dict[str, dict[str, t.Any]]:
    found: dict[str, dict[str, t.Any]] = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("role", OWN)
def test_every_variable_is_described_and_no_other(role: str) -> None:
    assert set(options(role)) == COMMON | OWN[role]


@pytest.mark.parametrize("role", OWN)
def test_the_defaults_are_those_of_the_code(role: str) -> None:
    for name, option in options(role).items():
        default = DEFAULTS.get(name, "")
        if "default" in option and name in DEFAULTS:
            assert option["default"] == (list(default) if isinstance(default, tuple) else default)
        elif name in DEFAULTS:
            assert default in ("", ()), f"{name} has a default that is not described"


@pytest.mark.parametrize("role", OWN)
def test_the_defaults_of_the_task_are_described(role: str) -> None:
    for name, value in read(role, "defaults/main.yml").items():
        if name == "rbee_prefix":
            assert all(repr(prefix) in value for prefix in _fleet.PREFIXES.values())
        else:
            assert options(role)[name]["default"] == value
