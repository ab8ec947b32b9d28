# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node library as a program that a host keeps, so that a run ships and compiles nothing when nothing changed.

It is one executable zip file, ``<prefix>/tools/rbee-node/<digest>/rbee-node``: the sources, of which the digest is,
and what the host's interpreter has compiled from them. Another interpreter compiles the sources again, each time.
"""

from __future__ import annotations

import os
import shutil

from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError

COMPILE_TIMEOUT = 60  # seconds


def fault(layout: Layout, digest: str, deep: bool = False) -> str:
    """Why the program is to be installed, or an empty string. digest: the wanted one; another than ours cannot be."""
    if digest != _bundle.digest_of(_bundle.NODE):
        return ""
    folder = layout.node(digest)
    return _store.tree_fault(folder, deep) or _owner_fault(os.path.join(folder, _bundle.NODE))


def _owner_fault(path: str) -> str:
    """The controller calls what belongs to the user who runs it and nothing else."""
    return "" if os.stat(path).st_uid == os.geteuid() else "owned by another user"


def install(layout: Layout, digest: str, python: str) -> None:
    """Put the program there, and take those of other versions away. python: absolute path of who is to run it."""
    staged = _store.staging_folder(layout.staging)
    try:
        path = os.path.join(staged, _bundle.NODE)
        _store.write_atomic(path, _bundle.build(_bundle.NODE, f"{python} -I"), 0o755)
        _compile(python, path)
        _store.write_manifest(staged, {"type": _bundle.NODE, "interpreter": python})
        _store.commit_tree(staged, layout.node(digest))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for other in _store.list_folder(layout.nodes):
        if other != digest:
            _store.remove_tree(os.path.join(layout.nodes, other))


def _compile(python: str, path: str) -> None:
    """Without this it is only slower, so it is no fault of the host."""
    compiled = f"{path}.compiled"
    try:
        done = run_program([python, "-I", path, "compile", compiled], COMPILE_TIMEOUT)
    except SourceError:
        return
    if done.status == 0:
        os.rename(compiled, path)
