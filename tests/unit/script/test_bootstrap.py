# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When script/bootstrap makes an environment anew, and what it refuses."""

from __future__ import annotations

import pathlib
import platform
import sys
import types
import typing as t

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the scripts run on Python 3.11 and newer", allow_module_level=True)


@pytest.fixture(name="script")
def fixture_script(
    load_script: t.Callable[[str], types.ModuleType], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> types.ModuleType:
    """The script with a checkout of its own, whose uv only makes the folder of an environment."""
    module = load_script("bootstrap")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "CACHE", tmp_path / ".cache")
    lock = tmp_path / "requirements" / "run.txt"
    lock.parent.mkdir()
    lock.write_text("one==1\n", "utf-8")
    return module


@pytest.fixture(name="calls")
def fixture_calls(script: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []

    def run_uv(uv: pathlib.Path, *arguments: str) -> None:
        calls.append(arguments[0])
        if arguments[0] == "venv":
            pathlib.Path(arguments[-1]).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(script, "run_uv", run_uv)
    monkeypatch.setattr(script, "find_uv", lambda: pathlib.Path("uv-1") / "uv")
    return calls


def test_an_environment_is_made_once(script: types.ModuleType, calls: list[str]) -> None:
    assert script.make_venv("run", sys.executable) == script.make_venv("run", sys.executable)
    assert calls == ["venv", "pip"]


def test_a_changed_lock_makes_the_environment_anew(script: types.ModuleType, calls: list[str]) -> None:
    script.make_venv("run", sys.executable)
    (script.ROOT / "requirements" / "run.txt").write_text("one==2\n", "utf-8")
    script.make_venv("run", sys.executable)
    assert calls == ["venv", "pip", "venv", "pip"]


def test_an_environment_that_was_not_finished_is_made_anew(
    script: types.ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(uv: pathlib.Path, *arguments: str) -> None:
        raise script.BootstrapError("out of reach")

    with monkeypatch.context() as patch, pytest.raises(script.BootstrapError):
        patch.setattr(script, "run_uv", broken)
        script.make_venv("run", sys.executable)
    script.make_venv("run", sys.executable)
    assert calls == ["venv", "pip"]


def test_an_unknown_name_is_answered_with_the_known_ones(script: types.ModuleType) -> None:
    with pytest.raises(script.BootstrapError, match=r"nope\.txt does not exist; known: run\."):
        script.make_venv("nope", sys.executable)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no uv is pinned for this machine")
def test_a_download_with_another_digest_is_refused_and_not_kept(
    script: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "download", lambda url: b"something else")
    with pytest.raises(script.BootstrapError, match=r"has sha256 .*, expected "):
        script.find_uv()
    assert not (script.CACHE / "uv").exists()
