# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a module could not run."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _unrun


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("Missing sudo password", "it wants a password"),
        ("sudo: a password is required", "it wants a password"),
        ("Incorrect sudo password", "it does not accept the password"),
        ("ops is not in the sudoers file.  This incident will be reported.", "the login user may not become root"),
        ("Sorry, user ops may not run sudo on gpu-1.", "the login user may not become root"),
        ("/bin/sh: 1: sudo: not found", "it is not installed"),
        ("sudo: /etc/sudo.conf is\nworld writable", "becoming root failed: sudo: /etc/sudo.conf is world writable"),
    ],
)
def test_sudo_says_in_many_words_what_it_lacks(root: str, problem: str) -> None:
    found = _unrun.finding("MODULE FAILURE", root, "exit status 1")
    assert (found.where, found.problem) == ("sudo", problem)
    assert found.fix


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("Python 3.7\nPython 3.6", "its newest is Python 3.7, 3.9 or newer is needed"),
        ("exit status 1", "there is no python3"),
    ],
)
def test_a_missing_python_is_told_from_an_old_one(python: str, problem: str) -> None:
    found = _unrun.finding("MODULE FAILURE", "", python)
    assert (found.where, found.problem) == ("python", problem)


def test_a_full_disk_is_recognised() -> None:
    assert _unrun.finding("mkdir: cannot create: No space left on device", "", "").where == "disk"


def test_what_nobody_foresaw_is_shown_on_one_short_line() -> None:
    found = _unrun.finding(_unrun.said_of({"msg": "odd", "module_stderr": "line\n" * 200}), "", "")
    assert found.problem.startswith("the look at it failed: odd line line ")
    assert "\n" not in found.problem
    assert len(found.problem) < 350
