# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has already of the models of Hugging Face that it is to have. Reads only.

A model may be here under the name of a branch and be wanted by its files, or the other way round.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._digest import blob_hash
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build

_CHUNK = 1 << 20


def kept(spec: Spec, build: Build, receipt: t.Mapping[str, t.Any]) -> Build:
    """The build under the name of the installed release, where that is the same model; else the build itself.

    Which files are wanted may not be known: then what was installed of the same branch stays.
    """
    name, path, known = receipt.get("release"), str(receipt.get("release_path", "")), receipt.get("source", {})
    if name in (None, build.release) or not os.path.isdir(path):
        return build
    content = known.get("content", "")
    if not build.content:
        same = bool(content) and (known.get("file", ""), receipt.get("version")) == (build.source.name, spec.version)
    elif content:
        same = content == build.content
    else:
        same = _holds(path, build.source.files)
    return dataclasses.replace(build, release=name, path=path, content=build.content or content) if same else build


def _holds(tree: str, files: t.Mapping[str, str]) -> bool:
    """Whether a release has just these files. files: digest by path; large ones are compared by its manifest."""
    try:
        listed = (_store.read_json(os.path.join(tree, _store.MANIFEST)) or {}).get("files", {})
        return listed.keys() == files.keys() and all(
            digest in (f"sha256:{listed[path][2]}", f"git:{_blob(os.path.join(tree, path), digest)}")
            for path, digest in files.items()
        )
    except (_store.StoreError, OSError, IndexError):
        return False


def _blob(path: str, wanted: str) -> str:
    if not wanted.startswith("git:"):
        return ""
    found = blob_hash(os.path.getsize(path))
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(_CHUNK), b""):
            found.update(block)
    return str(found.hexdigest())


def by_digest(releases: str) -> dict[str, str]:
    """The files of all releases in a folder: path by SHA-256."""
    found: dict[str, str] = {}
    for name in _store.list_folder(releases):
        tree = os.path.join(releases, name)
        try:
            listed = (_store.read_json(os.path.join(tree, _store.MANIFEST)) or {}).get("files", {})
        except _store.StoreError:
            continue
        found.update({entry[2]: os.path.join(tree, path) for path, entry in listed.items() if entry[0] != "link"})
    return found
