# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs Ansible."""

from __future__ import annotations

import getpass
import os

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._user import user


@pytest.mark.parametrize("error", [KeyError("uid not found: 1000"), OSError("No username set in the environment")])
def test_a_number_without_an_account_may_run_it(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", refuse)
    assert user() == f"uid-{os.getuid()}"
