# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What models take on the disk of a host: those that are there, and downloads that were begun. Reads only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _hub, _store
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

_HUB = "hub-"
_PART = ".part"


def size_of(release: str) -> t.Optional[int]:
    """Bytes of an installed tree, by its manifest; None when it has none."""
    try:
        manifest = _store.read_json(os.path.join(release, _store.MANIFEST))
        return sum(entry[0] for entry in manifest["files"].values() if entry[0] != "link") if manifest else None
    except (_store.StoreError, KeyError, TypeError, AttributeError, IndexError):
        return None


def parts_of(layout: Layout, source: Source) -> list[str]:
    """What a download of the source has left in the cache to go on with."""
    if source.kind == HUGGINGFACE:
        paths = [_hub.work_folder(layout.cache, source)]
    else:
        key = source.sha256 or "url-" + hashlib.sha256(source.url.encode()).hexdigest()
        paths = [os.path.join(layout.cache, key + ending) for ending in (_PART, f"{_PART}.etag")]
    return [path for path in paths if os.path.exists(path)]


def downloads(layout: Layout) -> list[dict[str, t.Any]]:
    """The downloads that were begun and not ended, of models and of anything else that is fetched by its digest.

    ``sha256`` is that of the whole file, empty for a model of Hugging Face, which has ``repository`` and ``revision``
    instead, in the letters of a folder's name. ``bytes`` are those that are here.
    """
    found = []
    for name in _store.list_folder(layout.cache):
        path = os.path.join(layout.cache, name)
        if name.startswith(_HUB) and os.path.isdir(path):
            repository, _at, revision = name[len(_HUB) :].rpartition("@")
            found.append({"repository": repository, "revision": revision, "sha256": "", "bytes": _bytes_in(path)})
        elif re.fullmatch("[0-9a-f]{64}" + re.escape(_PART), name):
            sha256 = name[: -len(_PART)]
            found.append({"repository": "", "revision": "", "sha256": sha256, "bytes": _bytes_of(path)})
    return found


def _bytes_in(folder: str) -> int:
    return sum(_bytes_of(os.path.join(where, name)) for where, _folders, names in os.walk(folder) for name in names)


def _bytes_of(path: str) -> int:
    with contextlib.suppress(FileNotFoundError):  # whoever is at work renames what is complete
        return os.lstat(path).st_size
    return 0
