# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References to secrets."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError, resolve_secret, secret_findings

KEY = "0123456789abcdef"


def test_a_secret_that_is_there_and_private_is_no_finding(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RBEE_TEST_KEY", KEY)
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    assert secret_findings({"a": "env:RBEE_TEST_KEY", "b": f"file:{path}", "c": KEY}) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_is_open_to_others_is_a_warning(tmp_path: pathlib.Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    (found,) = secret_findings({"api_key": f"file:{path}"})
    assert (found.severity, found.fix) == ("warning", f"chmod 600 {path}")


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("env:RBEE_NOT_SET", "secret api_key: the environment variable RBEE_NOT_SET is not set on the controller"),
        ("file:/nowhere/key", "secret api_key: /nowhere/key cannot be read: No such file or directory"),
    ],
)
def test_a_secret_that_is_not_there_is_an_error(reference: str, problem: str) -> None:
    (found,) = secret_findings({"api_key": reference})
    assert (found.severity, found.problem) == ("error", problem)


def test_a_value_that_is_no_key_is_not_shown() -> None:
    with pytest.raises(SecretError) as refused:
        resolve_secret("api_key", "short")
    assert "short" not in str(refused.value)
