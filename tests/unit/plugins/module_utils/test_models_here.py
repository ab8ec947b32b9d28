# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that a host has under another name is the same model."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _models_here, _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source, Spec, Variant
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, HostFacts, build_of

WEIGHTS, CONFIG = b"weights", b"{}"
BLOB = hashlib.sha1(b"blob 2\0{}", usedforsecurity=False).hexdigest()
FILES = {"a/m.safetensors": f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}", "config.json": f"git:{BLOB}"}
HOST = HostFacts("linux-x86_64", frozenset(), "/usr/bin/python3", "user", "", (), {})
BRANCH = Source("huggingface", repository="org/m", revision="main")
COMMIT = dataclasses.replace(BRANCH, revision="c" * 40, files=FILES)


class Here:
    """A prefix in which the branch was installed."""

    def __init__(self, prefix: pathlib.Path) -> None:
        self.layout = Layout(str(prefix))
        self.tree = pathlib.Path(self.wanted(BRANCH).path)
        (self.tree / "a").mkdir(parents=True)
        (self.tree / "a" / "m.safetensors").write_bytes(WEIGHTS)
        (self.tree / "config.json").write_bytes(CONFIG)
        self.finish()

    def finish(self) -> None:
        _store.write_manifest(str(self.tree), {})

    def spec(self, source: Source) -> Spec:
        return Spec("model-m", "model", "model", "f", "main", (Variant("v", {"any": source}),))

    def wanted(self, source: Source) -> Build:
        spec = self.spec(source)
        return build_of(spec, spec.variants[0], source, "", HOST, self.layout)

    def kept(self, source: Source, **known: str) -> Build:
        """known: of the source in the receipt."""
        receipt = {"release": self.tree.name, "release_path": str(self.tree), "version": "main", "source": known}
        return _models_here.kept(self.spec(source), self.wanted(source), receipt)


@pytest.fixture
def here(tmp_path: pathlib.Path) -> Here:
    return Here(tmp_path)


def test_what_a_branch_brought_is_the_commit_that_has_the_same_files(here: Here) -> None:
    found = here.kept(COMMIT)
    assert (found.path, found.release, found.content) == (str(here.tree), here.tree.name, here.wanted(COMMIT).content)
    assert found.source == COMMIT  # what a repair fetches


@pytest.mark.parametrize("change", ["weights", "config", "more", "less", "gone"])
def test_other_files_are_another_model(here: Here, change: str) -> None:
    if change == "weights":
        (here.tree / "a" / "m.safetensors").write_bytes(b"others!")
    elif change == "config":
        (here.tree / "config.json").write_bytes(b"[]")
    elif change == "more":
        (here.tree / "b").write_bytes(b"")
    elif change == "less":
        (here.tree / "config.json").unlink()
    here.finish()
    if change == "gone":
        (here.tree / _store.MANIFEST).unlink()
    assert here.kept(COMMIT) == here.wanted(COMMIT)


def test_a_receipt_that_says_what_is_there_is_believed_without_a_look(here: Here) -> None:
    content = here.wanted(COMMIT).content
    (here.tree / _store.MANIFEST).unlink()
    assert here.kept(COMMIT, content=content).path == str(here.tree)
    assert here.kept(COMMIT, content="other") == here.wanted(COMMIT)


def test_without_a_lock_what_was_locked_once_stays(here: Here) -> None:
    moved = here.tree.with_name("moved")
    here.tree.rename(moved)
    here.tree = moved
    found = here.kept(BRANCH, content="c0ffee", file="")
    assert (found.path, found.content) == (str(moved), "c0ffee")
    for known in ({}, {"content": "c0ffee", "file": "m.gguf"}):
        assert here.kept(BRANCH, **known) == here.wanted(BRANCH)


def test_a_release_that_is_gone_is_fetched_under_its_own_name(here: Here, tmp_path: pathlib.Path) -> None:
    here.tree.rename(tmp_path / "elsewhere")
    assert here.kept(COMMIT, content=here.wanted(COMMIT).content) == here.wanted(COMMIT)


def test_the_files_of_all_releases_are_found_by_their_digest(here: Here) -> None:
    found = _models_here.by_digest(str(here.tree.parent))
    assert found[FILES["a/m.safetensors"][len("sha256:") :]] == str(here.tree / "a" / "m.safetensors")
    (here.tree / _store.MANIFEST).write_text("no JSON")
    assert _models_here.by_digest(str(here.tree.parent)) == {}


def test_a_model_is_named_by_its_files(here: Here) -> None:
    def name(**change: t.Any) -> str:
        return here.wanted(dataclasses.replace(COMMIT, **change)).release

    assert name(revision="d" * 40) == name()  # a commit that changed something else
    assert name(files={**FILES, "config.json": "git:0"}) != name()
    assert name(files={}) != name()
