# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that init is given."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _given
from ansible_collections.rbee.fleet.plugins.plugin_utils._starter import Machine


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("gpu-1", Machine("", "gpu-1")),
        ("ops@10.0.0.5:2222", Machine("", "10.0.0.5", "ops", 2222)),
        ("big=ops@gpu.lab", Machine("big", "gpu.lab", "ops")),
        ("2001:db8::1", Machine("", "2001:db8::1")),
        ("me@[2001:db8::1]:2222", Machine("", "2001:db8::1", "me", 2222)),
    ],
)
def test_a_host_is_read(text: str, machine: Machine) -> None:
    assert _given.from_list(text) == [machine]


def test_hosts_come_as_a_list_or_with_commas() -> None:
    assert _given.from_list("a, b,,c ") == _given.from_list(["a", "b", "c"]) == [Machine("", name) for name in "abc"]


@pytest.mark.parametrize("text", ["a:b:c", "a b", "@a", "a:0", "a:65536", "a:ssh", "x=y=z", "[a]"])
def test_what_is_no_host_is_refused_by_name(text: str) -> None:
    with pytest.raises(_given.GivenError, match=r"^hosts: '.*' is no host; expected \[alias=\]"):
        _given.from_list([text])


@pytest.mark.parametrize(
    ("machines", "aliases"),
    [
        ([Machine("", "gpu-1.example.com"), Machine("", "gpu-1.example.org")], ["gpu-1", "gpu-1-2"]),
        ([Machine("", "10.0.0.5"), Machine("", "2001:db8::1")], ["10.0.0.5", "2001-db8-1"]),
        ([Machine("GPU_1", "a"), Machine("gpu_1", "b")], ["GPU_1", "gpu_1-2"]),
        (
            [Machine("", "localhost"), Machine("", "queen"), Machine("rbee_x", "c")],
            ["local-hive", "hive-queen", "hive-rbee_x"],
        ),
        ([Machine("ä b!", "a"), Machine("…", "b")], ["b", "hive"]),
        ([Machine("x" * 80, "a"), Machine("x" * 80, "b")], ["x" * 60, "x" * 60 + "-2"]),
    ],
)
def test_every_machine_gets_a_valid_alias_of_its_own(
    machines: list[Machine], aliases: list[str], parse: t.Callable[..., t.Any]
) -> None:
    found, _notes = _given.named(machines)
    assert [machine.alias for machine in found] == aliases
    hives = "".join(f'[[hive]]\nalias = "{one.alias}"\nhostname = "{one.hostname}"\n' for one in found)
    assert len(parse(hives=hives).hives) == len(machines)


def test_a_machine_that_is_given_twice_is_taken_once() -> None:
    found, notes = _given.named([Machine("a", "A.lab"), Machine("b", "a.lab"), Machine("c", "a.lab", port=23)])
    assert [machine.alias for machine in found] == ["a", "c"]
    assert notes == ["b is the same machine as a: left out"]


SSH_CONFIG = """
# Host comment
Host *
  User ops
host gpu-1 gpu-2 *.lab !no
  HostName %h.example.com
Match host other
  Port 22
Include more/*
HOST = "quoted" gpu-1
Hostname not-a-host-line
"""


def test_the_hosts_of_an_ssh_configuration_are_those_that_are_no_patterns() -> None:
    asked = []

    def included(pattern: str) -> list[str]:
        asked.append(pattern)
        return ["Host inner\n", "Include more/*"]

    assert _given.names_in(SSH_CONFIG, included, depth=2) == ["gpu-1", "gpu-2", "inner", "quoted"]
    assert set(asked) == {"more/*"}


def test_a_host_of_an_ssh_configuration_is_reached_by_its_name_there() -> None:
    settings = {"hostname": ["10.0.0.5"], "user": ["ops"], "port": ["2222"]}
    assert _given.from_ssh("gpu-1", settings, "me") == Machine("gpu-1", "gpu-1", "ops", 2222, "10.0.0.5")


def test_what_ssh_chooses_anyway_is_not_written_down() -> None:
    settings = {"hostname": ["gpu-1"], "user": ["me"], "port": ["22"]}
    assert _given.from_ssh("gpu-1", settings, "me") == Machine("gpu-1", "gpu-1")


@pytest.mark.parametrize(
    ("variables", "machine"),
    [
        ({}, Machine("h", "h")),
        (
            {"ansible_host": "10.0.0.5", "ansible_port": 2222, "ansible_user": "ops"},
            Machine("h", "10.0.0.5", "ops", 2222),
        ),
        ({"ansible_port": "2222", "ansible_ssh_user": "ops"}, Machine("h", "h", "ops", 2222)),
        ({"ansible_connection": "local", "ansible_user": "ops"}, Machine("h", "localhost")),
    ],
)
def test_a_host_of_an_inventory_is_read(variables: dict[str, t.Any], machine: Machine) -> None:
    assert _given.from_variables("h", variables) == machine


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(_given.GivenError, match=r"^h: ansible_port is 'ssh', expected a number$"):
        _given.from_variables("h", {"ansible_port": "ssh"})


def test_variables_that_hives_conf_has_no_key_for_are_named() -> None:
    given = {"ansible_ssh_private_key_file": "~/.ssh/gpus", "ansible_host": "a", "ansible_become_password": ""}
    assert _given.left_behind(given) == ["ansible_ssh_private_key_file"]


def test_two_machines_behind_one_address_are_refused_in_words_of_what_was_given() -> None:
    machines, _notes = _given.named(_given.from_list("a=10.0.0.1:22,b=10.0.0.1:2222"))
    with pytest.raises(_given.GivenError, match="a and b are behind one address"):
        _given.apart(machines)
    _given.apart(machines[:1])
