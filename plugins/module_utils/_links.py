# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links from a folder of the PATH to programs of a component.

A link leads through ``current``, so a new generation needs no new link. A name that another installation of ours has is
left to it; anything else of that name is not ours to replace.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store

Links = t.Mapping[str, str]  # what each path shall lead to


def fault(wanted: Links) -> str:
    """Why a link cannot be made, or an empty string."""
    for path, target in wanted.items():
        if os.path.lexists(path) and not _is_link_like(path, target):
            return f"{path} exists and is not ours; rename it, since the program {target} is to be called by that name"
    return ""


def to_change(wanted: Links, known: t.Iterable[str]) -> tuple[str, ...]:
    """The links to make, and those to remove of the *known* ones that are no longer wanted."""
    make = [path for path, target in wanted.items() if not _leads(path, target) and not _is_alive(path)]
    return (*make, *(path for path in known if path not in wanted and os.path.islink(path)))


def change(paths: t.Iterable[str], wanted: Links, component: str) -> None:
    """component: folder of the component, which the links to be removed lead into."""
    for path in paths:
        if path in wanted:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _store.switch(path, wanted[path])
        else:
            remove(path, component)


def remove(path: str, component: str) -> None:
    """Remove a link if it leads into the folder of the component."""
    if os.path.islink(path) and os.readlink(path).startswith(component + "/"):
        os.unlink(path)


def _leads(path: str, target: str) -> bool:
    return os.path.islink(path) and os.readlink(path) == target


def _is_link_like(path: str, target: str) -> bool:
    """Whether a path leads to the same program of this or another installation, which may be gone."""
    tail = target.rsplit("/components/", 1)[1]
    return os.path.islink(path) and os.readlink(path).endswith("/components/" + tail)


def _is_alive(path: str) -> bool:
    return os.path.exists(path)
