# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes things away: by receipt and manifest, so that what a person changed or added stays and is named."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _fetch, _host, _links, _packages, _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, Spec
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._target import DESCRIPTION


def remember(layout: Layout, account: str = "", packages: t.Sequence[str] = ()) -> None:
    """Record what was done to the host itself, so that it can be undone."""
    known = _store.read_json(layout.host_receipt) or {"schema": 1}
    if account:
        known["accounts"] = sorted({*known.get("accounts", ()), account})
    if packages:
        known["packages"] = sorted({*known.get("packages", ()), *packages})
    _store.write_json(layout.host_receipt, known)


def remove(
    layout: Layout, manager: ServiceManager, name: str, receipt: t.Mapping[str, t.Any], purge: bool
) -> list[str]:
    """Remove one component that is stopped. Returns the paths that stay."""
    kept: list[str] = []
    if "generation" in receipt:
        unit = manager.installed(name)
        if unit is None or layout.is_run_by(name, unit):
            manager.remove(name)
    for path in receipt.get("links", ()):
        _links.remove(path, layout.component(name))
    for link in (layout.current(name), layout.previous(name), layout.draining(name)):
        _store.remove_tree(link)
    for generation in _store.list_folder(layout.generations(name)):
        kept += _remove_listed(layout.generation(name, generation))
    data = layout.data(name)
    if purge:
        _store.remove_tree(data)
    elif not _remove_empty(data):
        kept.append(data)
    _store.remove_tree(layout.receipt(name))
    for folder in (layout.generations(name), layout.component(name)):
        _remove_empty(folder)
    if receipt.get("kind") == MODEL:
        _forget_generations(layout, str(receipt.get("release_path", "")))
    if receipt.get("release_path"):
        kept += _prune_releases(layout, os.path.dirname(receipt["release_path"]))
    return kept


def _forget_generations(layout: Layout, model: str) -> None:
    """Remove the generations that are not current and serve a model that goes: nobody could return to them."""
    for component in _store.list_folder(layout.components):
        for generation in _store.list_folder(layout.generations(component)):
            path = layout.generation(component, generation)
            about = _store.read_json(os.path.join(path, DESCRIPTION)) or {}
            served = (about.get("model_path", ""), *about.get("model_paths", ()))
            if generation != _store.link_target(layout.current(component)) and any(
                _is_in(one, model) for one in served
            ):
                if _store.link_target(layout.previous(component)) == generation:
                    _store.remove_tree(layout.previous(component))
                _store.remove_tree(path)


def _is_in(path: str, tree: str) -> bool:
    return path == tree or path.startswith(tree + "/")


def prune(layout: Layout, spec: Spec) -> None:
    """Keep the current and the previous generation of a component, and the releases that any generation names."""
    kept = {_store.link_target(layout.current(spec.name)), _store.link_target(layout.previous(spec.name))}
    for generation in _store.list_folder(layout.generations(spec.name)):
        if generation not in kept:
            _store.remove_tree(layout.generation(spec.name, generation))
    _prune_releases(layout, layout.releases(spec))


def prune_cache(layout: Layout) -> None:
    """Remove the artefacts that no release shares; what a download can go on from stays."""
    for name in _store.list_folder(layout.cache):
        path = os.path.join(layout.cache, name)
        if re.fullmatch("[0-9a-f]{64}", name) and os.lstat(path).st_nlink == 1:
            os.unlink(path)


def tear_down(layout: Layout, manager: ServiceManager, purge: bool) -> list[str]:
    """Remove what the components had in common. Returns the paths that stay; lock and journal are the caller's."""
    host = _store.read_json(layout.host_receipt) or {}
    if isinstance(manager, SupervisorManager):
        manager.shutdown()
        _store.remove_tree(os.path.join(layout.prefix, "supervisor"))
    for path in (layout.staging, layout.cache, os.path.join(layout.prefix, "tools")):
        _store.remove_tree(path)
    releases = os.path.join(layout.prefix, "releases")
    kept = [
        path for name in _store.list_folder(releases) for path in _prune_releases(layout, os.path.join(releases, name))
    ]
    if purge:
        _store.remove_tree(os.path.join(layout.prefix, "models"))
        if host.get("packages"):
            _packages.remove(host["packages"])
    for account in host.get("accounts", ()):
        stays = _host.remove_account(account)
        if stays:
            kept.append(f"user {account} ({stays})")
    _store.remove_tree(layout.host_receipt)  # not earlier: the next uninstall takes up what it names
    folders = [os.path.join(layout.prefix, name) for name in ("components", "data", "models")]
    _remove_empty(releases)
    return kept + [path for path in folders if not _remove_empty(path)]


def clear_leftovers(layout: Layout, manager: ServiceManager) -> None:
    """Remove what a killed apply left half done; what a download can go on from stays. Only under the lock."""
    for name in _store.list_folder(layout.staging):
        _store.remove_tree(os.path.join(layout.staging, name))
    for name in _store.list_folder(layout.components):
        _store.remove_tree(layout.draining(name))
    supervisor = os.path.join(layout.prefix, "supervisor")
    folders = [layout.prefix, layout.cache, supervisor, os.path.join(supervisor, "enabled")]
    folders += [os.path.join(layout.components, name) for name in _store.list_folder(layout.components)]
    for folder in [*folders, os.path.dirname(manager.unit_path(""))]:
        for name in _store.list_folder(folder):
            if name.startswith((_store.TEMPORARY, _fetch.TEMPORARY)):
                _store.remove_tree(os.path.join(folder, name))


def _prune_releases(layout: Layout, folder: str) -> list[str]:
    """Remove the releases in *folder* that no receipt and no generation names."""
    named: set[str] = set()  # releases
    served: set[str] = set()  # what lies in those of models
    for component in _store.list_folder(layout.components):
        root = os.path.join(layout.components, component)
        abouts = [os.path.join(root, "receipt.json")]
        abouts += [
            os.path.join(root, "generations", generation, "generation.json")
            for generation in _store.list_folder(os.path.join(root, "generations"))
        ]
        for path in abouts:
            about = _store.read_json(path) or {}
            named.add(about.get("release_path", ""))
            served.update((about.get("model_path", ""), *about.get("model_paths", ())))
    kept: list[str] = []
    for release in _store.list_folder(folder):
        path = os.path.join(folder, release)
        if path not in named and not any(_is_in(one, path) for one in served):
            kept += _remove_listed(path)
    _store.remove_empty_folder(folder)
    return kept


def _remove_listed(tree: str) -> list[str]:
    """Remove the files that a tree's manifest lists and that are unchanged. Returns those that stay."""
    manifest = _store.read_json(os.path.join(tree, _store.MANIFEST)) or {"files": {}}
    for relative, entry in manifest["files"].items():
        path = os.path.join(tree, relative)
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            if entry[0] == "link" or [status.st_size, status.st_mtime_ns] == entry[:2]:
                os.unlink(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(tree, _store.MANIFEST))
    _remove_empty(tree)
    return [os.path.join(folder, name) for folder, _folders, files in os.walk(tree) for name in files]


def _remove_empty(tree: str) -> bool:
    """Remove a tree that holds nothing but folders, sockets and compiled Python. Returns whether it is gone.

    By descriptors: whoever may write to a folder in it could put a link to somewhere else in the place of that folder.
    """
    for folder, folders, files, here in os.fwalk(tree, topdown=False) if os.path.isdir(tree) else ():
        compiled = os.path.basename(folder) == "__pycache__"
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                if compiled or stat.S_ISSOCK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=here)
        for name in folders:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=here)
    with contextlib.suppress(OSError):
        os.rmdir(tree)
    return not os.path.lexists(tree)
