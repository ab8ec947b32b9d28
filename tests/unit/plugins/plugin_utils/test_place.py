# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New files, and never one over another."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _place


def test_a_new_file_is_whole_and_has_its_mode(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "a" / "b"
    previous = os.umask(0o077)
    try:
        assert _place.put(str(folder), "key", "text", _place.SECRET)
        assert _place.put(str(folder), "conf", "text")
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"key": 0o600, "conf": 0o644}
    assert (folder / "key").read_text() == "text"


def test_a_file_that_appeared_meanwhile_is_kept(tmp_path: pathlib.Path) -> None:
    (tmp_path / "conf").write_text("mine")
    assert not _place.put(str(tmp_path), "conf", "other")
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
    assert (tmp_path / "conf").read_text() == "mine"


def test_a_dangling_link_counts_as_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "outside")
    assert _place.there(str(tmp_path), ["key", "conf"]) == ["key"]
    assert not _place.put(str(tmp_path), "key", "text")
    assert not (tmp_path / "outside").exists()


def test_a_folder_that_is_a_file_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(_place.PlaceError, match="file is not a folder; name another one"):
        _place.there(str(tmp_path / "file"), [])


def test_a_text_that_is_not_utf_8_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_bytes(b"\xe9")
    with pytest.raises(_place.PlaceError, match=r"hives\.conf is not UTF-8"):
        _place.texts(str(tmp_path), ["hives.conf"])


def test_keys_differ_and_are_long() -> None:
    keys = {_place.new_key().strip() for _number in range(3)}
    assert {len(key) for key in keys} == {64}
    assert len(keys) == 3
