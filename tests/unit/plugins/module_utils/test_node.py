# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._node import answer, expanded

NOTHING = {"take": None, "follow": None}


def test_the_home_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/there")
    found = expanded({"prefix": "~/rbee", "take": {"prefix": "~/rbee", "files": {}}, "follow": None})
    assert (found["prefix"], found["take"]["prefix"]) == ("/home/there/rbee", "/home/there/rbee")


def test_what_cannot_be_done_is_a_result() -> None:
    found = answer({**NOTHING, "fleet": "f", "prefix": "/"}, check=True)
    assert found["failed"] and found["changed"] is False
    assert "prefix is '/'" in found["msg"]
