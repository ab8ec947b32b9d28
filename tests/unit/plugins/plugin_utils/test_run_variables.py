# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables and tags of a run: what is a mistake, and that the documentation knows the same ones."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.rbee.fleet.plugins.plugin_utils._run_variables import (
    VARIABLES,
    mistakes,
    near_misses,
    not_counting,
    strays,
)

ROOT = pathlib.Path(__file__).resolve().parents[4]
BOOLEANS = [name for name, variable in VARIABLES.items() if variable.check.__name__ == "_boolean"]


def of(tags: t.Iterable[str] = (), **values: t.Any) -> list[str]:
    return mistakes(values, values, tags)


def test_the_documentation_has_a_row_for_each() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    table = page.split("## Variables of a run\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(rbee_\w+)` \|[^|]*\| ([\w, ]+) \|", table, re.MULTILINE)
    assert rows == [(name, ", ".join(variable.playbooks)) for name, variable in VARIABLES.items()]


def test_the_defaults_of_the_playbooks_are_right() -> None:
    defaults = yaml.safe_load((ROOT / "playbooks" / "group_vars" / "all.yml").read_text())
    assert VARIABLES.keys() <= defaults.keys()
    assert mistakes((), {name: value for name, value in defaults.items() if "{{" not in str(value)}, ()) == []


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    "value", ["true", "false", "True", "False", "yes", "no", "on", "off", "1", "0", 1, 0, True, ""]
)
def test_a_boolean_may_be_text(name: str, value: t.Any) -> None:
    assert of(**{name: value}) == []


def test_every_mistake_is_named_at_once_with_the_nearest_name() -> None:
    assert of(["wrokers", "hives"], rbee_forse=True, rbee_verify="dep", rbee_purge="maybe", rbee_forget=3) == [
        "rbee_forget: expected names separated by commas, not an integer",
        "rbee_forse: unknown variable; did you mean 'rbee_force'?",
        "rbee_purge: expected true or false, not 'maybe'",
        "rbee_verify: unknown value; did you mean 'deep'?",
        "tag wrokers: unknown; did you mean 'workers'?",
    ]


def test_what_a_survey_leaves_empty_is_not_given() -> None:
    assert of(**dict.fromkeys(VARIABLES, "")) == []


@pytest.mark.parametrize("tag", ["all", "always", "never", "tagged", "untagged", "queen", "hives", "workers", "deploy"])
def test_tags_of_ansible_and_of_other_playbooks_are_right(tag: str) -> None:
    assert of([tag]) == []


def test_variables_of_others_and_of_the_roles_are_right() -> None:
    assert of(awx_job_id=3, tower_user_name="x", rbee_hive_workers=["vllm"], rbee_catalog="catalog") == []


def test_a_wrong_value_is_named_wherever_it_comes_from() -> None:
    assert mistakes((), {"rbee_extra": "removed", "rbee_components": []}, ()) == [
        "rbee_extra: unknown value; did you mean 'remove'?"
    ]


def test_near_misses_of_a_playbooks_own_variables_are_told_and_others_are_anybodys() -> None:
    own = ("config", "hosts", "model")
    assert near_misses(["confg", "hosts", "my_model", "region", "rbee_host"], own) == [
        "confg: unknown variable; did you mean 'config'?"
    ]
    assert near_misses(["modle", "host"], own) == [
        "modle: unknown variable; did you mean 'model'?",
        "host: unknown variable; did you mean 'hosts'?",
    ]


@pytest.mark.parametrize(
    ("playbooks", "name", "said"),
    [
        (["rbee.fleet.install"], "rbee_force", ""),
        (["rbee.fleet.install"], "rbee_extra", "rbee_extra: is of sync, and does not count in install"),
        (["rbee.fleet.install", "rbee.fleet.sync"], "rbee_extra", ""),
        (
            ["rbee.fleet.start", "rbee.fleet.status"],
            "rbee_update",
            "rbee_update: is of install, sync and models, and does not count in start and status",
        ),
        (["rbee.fleet.init"], "rbee_force", "rbee_force: is of install and models, and does not count in init"),
        (["rbee.fleet.stop_worker"], "rbee_result_file", ""),
        (
            ["rbee.fleet.stop_worker"],
            "rbee_only",
            "rbee_only: is of install, start, stop and uninstall, and does not count in stop_worker",
        ),
        (["rbee.fleet.install_worker"], "rbee_serve", ""),  # has a list of its own, as has the next
        (["rbee.fleet.chat"], "rbee_purge", ""),
        (["site.yml"], "rbee_extra", ""),  # may import any of ours
        (["rbee.fleet.install", "site.yml"], "rbee_extra", ""),
        (["rbee.fleet.install"], "region", ""),
    ],
)
def test_what_does_not_count_in_a_playbook_is_refused(playbooks: list[str], name: str, said: str) -> None:
    assert not_counting([name], playbooks) == ([said] if said else [])


def test_a_lock_cannot_be_renewed_and_forbidden_to_change() -> None:
    assert of(rbee_update="true", rbee_frozen=True) == [
        "rbee_frozen: rbee_update changes rbee.lock, which this forbids; leave one of them out"
    ]
    assert of(rbee_update="true", rbee_frozen="false") == []


def test_what_ansible_splits_off_at_a_space_is_not_dropped_silently() -> None:
    assert strays({"hosts": "a,", "_raw_params": "b c"}) == [
        """-e: expected NAME=VALUE, not 'b c'; a value with spaces needs quotes of its own: -e "NAME='one two'\""""
    ]
    assert strays({"hosts": "a,b"}) == []
