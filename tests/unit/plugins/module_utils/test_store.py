# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are old or new and never half, trees that know when they were changed."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._store import StoreError


def names(folder: pathlib.Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path: pathlib.Path) -> None:
    old = os.umask(0o077)
    try:
        _store.write_atomic(str(tmp_path / "f"), b"x", 0o644)
        _store.make_folder(str(tmp_path / "d"), 0o755)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o755


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def fail(*_arguments: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        _store.write_atomic(str(path), b"new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["f"])


def test_a_secret_is_never_readable_by_others_not_even_for_a_moment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    fchmod = os.fchmod

    def record(descriptor: int, mode: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", record)
    _store.write_atomic(str(tmp_path / "f"), b"s3cr3t", 0o640)
    assert modes == [0o600]


def test_an_existing_folder_is_left_alone(tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o700)
    _store.make_folder(str(tmp_path), 0o755)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_link_is_switched_in_place(tmp_path: pathlib.Path) -> None:
    link = str(tmp_path / "current")
    for target in ("generations/a", "generations/b"):
        _store.switch(link, target)
        assert os.readlink(link) == target
        assert _store.link_target(link) == os.path.basename(target)
    assert names(tmp_path) == ["current"]


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', "\udcff"])
def test_a_file_that_is_no_json_object_is_named(content: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreError, match=str(path)):
        _store.read_json(str(path))


def test_what_is_not_there_reads_as_nothing(tmp_path: pathlib.Path) -> None:
    gone = str(tmp_path / "gone" / "x")
    assert _store.read_json(gone) is None
    assert _store.read_text(gone) is None
    assert _store.link_target(gone) == ""
    assert _store.list_folder(gone) == []
    _store.remove_tree(gone)
    _store.remove_empty_folder(gone)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "run").write_text("program")
    (tree / "link").symlink_to("bin/run")
    (tree / "folder").symlink_to("bin", target_is_directory=True)
    _store.write_manifest(str(tree), {"type": "engine"})
    return tree


def test_a_tree_is_what_its_manifest_says(tree: pathlib.Path) -> None:
    assert _store.tree_fault(str(tree), deep=True) == ""
    manifest = json.loads((tree / _store.MANIFEST).read_text())
    assert manifest["type"] == "engine"
    assert sorted(manifest["files"]) == ["bin/run", "folder", "link"]


def longer(tree: pathlib.Path) -> None:
    (tree / "bin" / "run").write_text("programme")


def later(tree: pathlib.Path) -> None:
    os.utime(tree / "bin" / "run", (1, 1))


def gone(tree: pathlib.Path) -> None:
    (tree / "bin" / "run").unlink()


def elsewhere(tree: pathlib.Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("/bin/sh")


def no_link(tree: pathlib.Path) -> None:
    (tree / "link").unlink()
    (tree / "link").write_text("program")


def a_link(tree: pathlib.Path) -> None:
    (tree / "bin" / "run").rename(tree / "moved")
    (tree / "bin" / "run").symlink_to("../moved")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (longer, "modified: bin/run"),
        (later, "modified: bin/run"),
        (gone, "modified: bin/run is gone"),
        (elsewhere, "modified: link"),
        (no_link, "modified: link"),
        (a_link, "modified: bin/run"),
    ],
)
def test_a_tree_that_was_changed_says_where(
    damage: t.Callable[[pathlib.Path], None], fault: str, tree: pathlib.Path
) -> None:
    damage(tree)
    assert _store.tree_fault(str(tree)) == fault


def test_a_deep_look_compares_the_content(tree: pathlib.Path) -> None:
    path = tree / "bin" / "run"
    status = path.stat()
    path.write_text("PROGRAM")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert _store.tree_fault(str(tree)) == ""
    assert _store.tree_fault(str(tree), deep=True) == "modified: bin/run"


def test_a_tree_without_a_manifest_is_missing_and_one_with_half_a_manifest_is_not_trusted(tree: pathlib.Path) -> None:
    assert _store.tree_fault(str(tree.with_name("other"))) == "missing"
    (tree / _store.MANIFEST).write_text("{")
    assert _store.tree_fault(str(tree)) == "manifest unreadable"


def staged(tmp_path: pathlib.Path, text: str) -> str:
    (tmp_path / "staging").mkdir(exist_ok=True)
    folder = _store.staging_folder(str(tmp_path / "staging"))
    pathlib.Path(folder, "f").write_text(text)
    return folder


def test_a_tree_gets_its_name_when_it_is_complete(tmp_path: pathlib.Path) -> None:
    final = tmp_path / "releases" / "r"
    _store.commit_tree(staged(tmp_path, "new"), str(final))
    assert (final / "f").read_text() == "new"
    assert stat.S_IMODE(final.stat().st_mode) == 0o755
    assert names(tmp_path / "staging") == []


@pytest.mark.parametrize("kernel", [True, False], ids=["exchanged", "renamed aside"])
def test_a_tree_takes_the_place_of_another(
    kernel: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "r"
    _store.commit_tree(staged(tmp_path, "old"), str(final))
    if not kernel:
        monkeypatch.setattr(_store.ctypes, "CDLL", lambda *_arguments, **_options: object())
    _store.commit_tree(staged(tmp_path, "new"), str(final))
    assert (final / "f").read_text() == "new"
    assert names(tmp_path / "staging") == []


def test_a_tree_is_never_gone_while_another_takes_its_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "r"
    _store.commit_tree(staged(tmp_path, "old"), str(final))
    monkeypatch.setattr(os, "rename", lambda *_paths: pytest.fail("two renames leave a moment without a tree"))
    _store.commit_tree(staged(tmp_path, "new"), str(final))
    assert (final / "f").read_text() == "new"
