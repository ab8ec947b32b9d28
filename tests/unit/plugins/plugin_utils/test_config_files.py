# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of the configuration on disk: all of a file or nothing, and nothing that could not be read again."""

from __future__ import annotations

import os
import pathlib
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.plugin_utils._config_files import change
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError

TREE = pathlib.Path(__file__).resolve().parents[4] / ".cache" / "collections"
HIVES = '# ours\n[[hive]]\nalias = "gpu-1"\nhostname = "192.168.1.100" # here\n'
GPU_2 = {"alias": "gpu-2", "hostname": "192.168.1.101"}


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "rbee.conf").write_text('[queen]\nhostname = "192.168.1.99"\nbind = "192.168.1.99"\ninsecure = true\n')
    (tmp_path / "hives.conf").write_text(HIVES)
    return tmp_path


def test_an_edit_is_written_and_said(folder: pathlib.Path) -> None:
    wanted = Change(hives=(GPU_2,), workers={"gpu-1": ("comfyui",)})
    dry = change(str(folder), wanted, check=True)
    assert (folder / "hives.conf").read_text() == HIVES
    assert change(str(folder), wanted, check=False) == dry
    (diff,) = dry
    assert diff["before"] == HIVES and diff["after"] == (folder / "hives.conf").read_text()
    assert change(str(folder), wanted, check=False) == []


def test_a_mistake_writes_nothing(folder: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"hives.conf:\d+: hive\[0\].workers\[0\]: unknown worker type; did you mean"):
        change(str(folder), Change(workers={"gpu-1": ("comfyiu",)}), check=False)
    with pytest.raises(ConfigError, match="same machine"):
        change(str(folder), Change(hives=({**GPU_2, "hostname": "192.168.1.100"},)), check=False)
    assert (folder / "hives.conf").read_text() == HIVES
    assert sorted(os.listdir(folder)) == ["hives.conf", "rbee.conf"]


def test_a_file_keeps_its_mode_and_a_link_its_place(
    folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    real = tmp_path_factory.mktemp("shared") / "fleet.toml"
    (folder / "hives.conf").rename(real)
    real.chmod(0o640)
    (folder / "hives.conf").symlink_to(real)
    change(str(folder), Change(hives=(GPU_2,)), check=False)
    assert (folder / "hives.conf").is_symlink()
    assert real.read_text().startswith(HIVES) and "gpu-2" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_model_and_the_worker_that_serves_it_come_in_an_order_that_is_never_wrong(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = _store.write_atomic
    monkeypatch.setattr(
        _store, "write_atomic", lambda path, *rest: (written.append(os.path.basename(path)), write(path, *rest))
    )
    model = {"name": "org/m", "file": "m.gguf"}
    both = {"models": (model,), "workers": {"gpu-1": ({"type": "llama-cpp", "model": "org/m"},)}}
    change(str(folder), Change(**both), check=False)
    change(str(folder), Change(**both, present=False), check=False)
    assert written == ["models.conf", "hives.conf", "hives.conf", "models.conf"]


def test_an_edit_that_is_killed_loses_nothing_and_the_next_one_tidies_up(folder: pathlib.Path) -> None:
    script = f"""
        import os, signal
        from ansible_collections.rbee.fleet.plugins.plugin_utils import _config_files
        from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change
        os.rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
        _config_files.change({str(folder)!r}, Change(hives=({GPU_2!r},)), False)
        """
    environment = {**os.environ, "PYTHONPATH": str(TREE)}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / "hives.conf").read_text() == HIVES
    assert len(os.listdir(folder)) == 3
    change(str(folder), Change(hives=(GPU_2,)), check=False)
    assert sorted(os.listdir(folder)) == ["hives.conf", "rbee.conf"]


def test_a_folder_that_cannot_be_edited_is_named(folder: pathlib.Path) -> None:
    with pytest.raises(EditError, match="No such file"):
        change(str(folder / "gone"), Change(hives=(GPU_2,)), check=False)
    (folder / "hives.conf").write_bytes(b"\xff")
    with pytest.raises(EditError, match="not UTF-8"):
        change(str(folder), Change(hives=(GPU_2,)), check=False)
