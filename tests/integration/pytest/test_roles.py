# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles in a project that has an inventory of its own."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, Machine, machine

pytestmark = NEEDS

KEY = "a-key-of-the-test"
PLAYBOOK = """
    - hosts: machines
      gather_facts: false
      roles:
        - role: rbee.fleet.{role}
          tags: {tags}
    """


class Project:
    """An inventory of one host, whose variables both roles read, and a playbook for each role."""

    def __init__(self, at: Machine) -> None:
        self.machine, self.get = at, at.get
        for role in ("hive", "queen"):
            at.write(f"{role}.yml", PLAYBOOK.format(role=role, tags=["hives"]))
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "rbee_scope": "user",
            "rbee_prefix": str(at.prefix),
            "rbee_fleet_name": "roles",
            "rbee_catalog": "catalog",
            "rbee_hives_group": "machines",
            "rbee_queen_port": at.ports["queen"],
            "rbee_queen_api_key": "{{ vaulted }}",
            "vaulted": KEY,
            "rbee_hive_port": at.ports["hive"],
            "rbee_hive_workers": [{"type": "engine", "args": ["on-{{ inventory_hostname }}"]}],
        }
        at.write("hosts.yml", json.dumps({"machines": {"hosts": {"desk": variables}}}))

    def changes(self, role: str, *options: str) -> int:
        return self.machine.changes(f"{role}.yml", "-i", "hosts.yml", *options)

    def said(self, role: str, *options: str) -> str:
        """What a run that fails says."""
        done = self.machine.play(f"{role}.yml", "-i", "hosts.yml", *options)
        assert done.returncode != 0
        return done.stdout + done.stderr


def workers(*declared: dict[str, t.Any]) -> tuple[str, str]:
    """Options of a run that declares other workers."""
    return "-e", json.dumps({"rbee_hive_workers": declared})


@pytest.fixture(scope="module")
def project(supervisor_environment: pathlib.Path) -> t.Iterator[Project]:
    """A project whose fleet the tests of this file take through its life, in their order."""
    with machine(supervisor_environment) as found:
        yield Project(found)


def test_both_roles_install_what_the_variables_declare(project: Project) -> None:
    assert project.changes("hive") == 1
    assert project.get("engine", "/") == (200, "on-desk")
    assert project.get("hive", "/health")[0] == 200
    assert project.get("queen", "/health")[0] == 0
    assert project.changes("queen") == 1
    assert project.get("queen", "/workers/desk/engine/")[0] == 401
    assert project.get("queen", "/workers/desk/engine/", KEY) == (200, "on-desk")


def test_neither_role_changes_anything_again_or_undoes_the_other(project: Project) -> None:
    assert [project.changes(role) for role in ("hive", "queen")] == [0, 0]
    assert project.get("queen", "/workers/desk/engine/", KEY) == (200, "on-desk")


def test_tags_of_the_project_do_not_narrow_a_role(project: Project) -> None:
    anew = workers({"type": "engine", "args": ["anew"]})
    assert project.changes("hive", "--tags", "hives", "--check", *anew) == 1


def test_a_stop_of_one_role_leaves_the_other_running(project: Project) -> None:
    assert project.changes("hive", "-e", "rbee_state=stopped") == 1
    assert (project.get("engine", "/")[0], project.get("queen", "/health")[0]) == (0, 200)
    assert project.changes("hive", "-e", "rbee_state=started") == 1
    assert project.get("engine", "/")[0] == 200


def test_a_mistake_is_named_before_anything_is_done(project: Project) -> None:
    said = project.said("queen", *workers({"type": "engine", "prot": 1}))
    assert "desk: rbee_hive_workers[0].prot: unknown key; did you mean 'port'?" in said


def test_an_argument_of_the_wrong_type_is_refused(project: Project) -> None:
    said = project.said("hive", "-e", "rbee_state=gone")
    assert "value of rbee_state must be one of: present, absent, started, stopped" in said


def test_a_key_in_a_variable_is_never_shown(project: Project) -> None:
    said = project.said("queen", "-vvv", "-e", json.dumps({"rbee_queen_port": project.machine.ports["engine"]}))
    assert "is taken by" in said
    assert KEY not in said


def test_taking_away_one_role_keeps_the_other_and_then_nothing_is_left(project: Project) -> None:
    assert project.changes("hive", "-e", "rbee_state=absent", "-e", "rbee_purge=true") == 1
    assert (project.get("hive", "/health")[0], project.get("queen", "/health")[0]) == (0, 200)
    assert project.changes("queen", "-e", "rbee_state=absent", "-e", "rbee_purge=true") == 1
    assert not project.machine.prefix.exists()
