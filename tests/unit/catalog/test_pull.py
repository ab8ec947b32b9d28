# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program of a pull makes of its settings, and of what a run says."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import types
import typing as t

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[3] / "catalog" / "pull.py"
SPECIFICATION = importlib.util.spec_from_file_location("fleet_pull", PROGRAM)
assert SPECIFICATION and SPECIFICATION.loader
MODULE = importlib.util.module_from_spec(SPECIFICATION)
SPECIFICATION.loader.exec_module(MODULE)
PULL = vars(MODULE)
ASKED = {"repository": "https://git.example.com/fleet.git", "version": "", "folder": ".", "key": "", "host": "gpu-1"}


def reason(status: int, *said: str) -> str:
    lines = list(said)
    while lines and not PULL["BEGINS"].search(lines[0]):
        lines.pop(0)
    return str(PULL["reason_of"](status, lines))


def command(**more: str) -> list[str]:
    options = types.SimpleNamespace(
        files=pathlib.Path("/f"), data=pathlib.Path("/d"), python=pathlib.Path("/usr/bin/python3")
    )
    found: list[str] = PULL["command_of"]({**ASKED, **more}, pathlib.Path("/d/checkout"), options)
    return found


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (["[ERROR]: 1 mistake in the configuration /c:", "hives.conf:4: hive[0].x: unknown key"], "/c: hives.conf:4:"),
        (["ok", "     spare: failed in 60.1 s: did not become healthy"], "spare: failed in 60.1 s: did not become"),
        (["gpu-1  failed: Missing sudo password", "[ERROR]: x"], "gpu-1 failed: Missing sudo password"),
        (["[ERROR]: Task failed: Module failed: Host key verification failed."], "Host key verification failed."),
        (["ERROR! Specified hosts and/or --limit does not match any hosts"], "Specified hosts and/or --limit does not"),
        (["killed"], "it exited with 2"),
    ],
)
def test_the_reason_is_the_first_error_on_one_line(said: list[str], wanted: str) -> None:
    assert wanted in reason(2, *said)
    assert "\n" not in reason(2, *said)


def test_a_run_that_succeeded_has_no_reason() -> None:
    assert PULL["reason_of"](0, []) == ""


def test_the_host_converges_itself_alone_and_without_a_connection() -> None:
    words = command()
    assert words[words.index("--limit") + 1] == "gpu-1"
    variables = json.loads(words[words.index("--extra-vars") + 1])
    assert variables == {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": "/usr/bin/python3",
        "rbee_result_file": "/d/last-run.json",
    }
    assert words[-1] == "/f/install.yml"


def test_a_version_and_a_key_are_passed_on_where_there_are_any() -> None:
    assert not {"--checkout", "--private-key"} & set(command())
    words = command(version="v1", key="/etc/rbee/key")
    assert words[words.index("--checkout") + 1] == "v1"
    assert words[words.index("--private-key") + 1] == "/etc/rbee/key"


def test_settings_of_the_environment_do_not_reach_ansible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", "free")
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "5")
    found: dict[str, t.Any] = PULL["environment_of"](pathlib.Path("/f"), pathlib.Path("/d/checkout/site"))
    assert "ANSIBLE_STRATEGY" not in found
    assert found["ANSIBLE_INVENTORY"] == "/d/checkout/site/rbee.yml"
    assert found["GIT_HTTP_LOW_SPEED_TIME"] == "5"
