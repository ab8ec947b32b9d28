# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An entry of the catalog as the table that it is read from: the inverse of ``_catalog.entry_of``. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import ANY_PLATFORM, File, Source, to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import PLAIN, Entry, Release
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog_keys import DEFAULT_VARIANT, NO_MODEL

Table = dict[str, t.Any]


def table_of(entry: Entry) -> Table:
    """What differs from the defaults, files named by their content."""
    found: Table = {key: to_dict(getattr(entry, key)) for key in PLAIN}
    found["model"] = entry.model if entry.model != NO_MODEL else ""
    found |= {"health": to_dict(entry.health), "service": to_dict(entry.service)}
    found["files"] = _files(entry.files)
    found["release"] = [_release(release) for release in entry.releases]
    return _said(found)


def _said(table: Table) -> Table:
    """Without what says nothing."""
    return {key: value for key, value in table.items() if value not in ("", 0, [], {})}


def _files(files: t.Sequence[File]) -> Table:
    """All of them as texts or all as tables, which keeps their order: in TOML, tables come after all else."""
    if not any(file.template or file.each_model for file in files):
        return {file.path: file.content for file in files}
    return {
        file.path: {"each_model" if file.each_model else "content": file.content} | _template(file) for file in files
    }


def _template(file: File) -> Table:
    return {"template": True} if file.template else {}


def _release(release: Release) -> Table:
    variant = release.variant
    env = next((source.env for source in variant.sources.values() if source.env), None)
    sources = {platform: _source(source) for platform, source in variant.sources.items()}
    if variant.sources == {ANY_PLATFORM: Source("python", env=env)}:
        sources = {}
    return _said(
        {
            "version": release.version,
            "variant": variant.name if variant.name != DEFAULT_VARIANT else "",
            "device": variant.device,
            "command": list(variant.command),
            "models_command": list(release.models_command),
            "env": dict(variant.env),
            "libraries": to_dict(variant.libraries),
            "binaries": to_dict(variant.binaries),
            "python": to_dict(env) if env else {},
            "source": sources,
        }
    )


def _source(source: Source) -> Table:
    plain = to_dict(dataclasses.replace(source, env=None, also=()))
    also = [{key: value for key, value in to_dict(part).items() if key != "kind"} for part in source.also]
    return _said({**plain, "also": also})
