# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""models.conf: what a model's keys have to do with each other and with the hives. Pure."""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Path

_KEYS_OF_SOURCE = {
    _keys.HUGGINGFACE: {"file", "revision", "sha256", "fetch"},
    _keys.URL: {"url", "sha256", "file", "fetch"},
    _keys.FILE: {"path", "sha256", "file"},
}
_NEEDED = {_keys.HUGGINGFACE: (), _keys.URL: ("url", "sha256"), _keys.FILE: ("path", "sha256")}


def build(
    reader: Reader, tables: t.Sequence[_keys.Table], aliases: t.Collection[str], folder: str
) -> dict[str, _fleet.Model]:
    """The declared models by name. aliases: those of the hives. folder: where relative paths start."""
    models: dict[str, _fleet.Model] = {}
    for index, table in enumerate(tables):
        path: Path = ("model", index)
        _source(reader, path, table)
        for position, alias in enumerate(table["hives"]):
            if alias is not None and alias not in aliases:
                reader.wrong(path + ("hives", position), f"unknown hive; {suggestion(alias, aliases)}")
        if table["name"]:
            tell_apart(reader, path + ("name",), table["name"], models)
            local = posixpath.normpath(posixpath.join(folder, table["path"])) if table["path"] else ""
            models[table["name"]] = _fleet.Model(**table | {"path": local, "sha256": table["sha256"].lower()})
    return models


def file_name(place: str) -> str:
    """The last part of a path, or of a URL without its query."""
    return posixpath.basename(place.split("?")[0].split("#")[0] if "://" in place else place)


def fits(model: _fleet.Model, engine_format: str) -> bool:
    """Whether an engine that reads this format, ``model_format`` of the catalog, could serve it, by its file's name."""
    name = model.file or file_name(model.path or model.url)
    is_gguf = name.lower().endswith(".gguf")
    return is_gguf == (engine_format == "gguf") if engine_format else True


def tell_apart(reader: Reader, path: Path, name: str, others: t.Collection[str]) -> None:
    """Names must differ in the letters that are left in file and group names."""
    if name in others:
        reader.wrong(path, "there is a model of this name already")
        return
    for other in others:
        if _fleet.slug(other) == _fleet.slug(name):
            reader.wrong(path, f"differs from '{other}' only in case or punctuation")


def _source(reader: Reader, path: Path, table: _keys.Table) -> None:
    """Every source has keys of its own."""
    given = reader.given(path)
    if given.get("source", table["source"]) != table["source"]:
        return  # not a source at all, which has been reported
    source = table["source"]
    foreign = set(given) & set().union(*_KEYS_OF_SOURCE.values()) - _KEYS_OF_SOURCE[source]
    for key in sorted(foreign):
        owners = " or ".join(f"'{name}'" for name, keys in _KEYS_OF_SOURCE.items() if key in keys)
        reader.wrong(path + (key,), f"only with source = {owners}")
    for key in _NEEDED[source]:
        if given and key not in given:
            remedy = "; the command 'sha256sum PATH' prints it" if (source, key) == (_keys.FILE, "sha256") else ""
            reader.wrong(path + (key,), f"missing; source = '{source}' needs it{remedy}")
    if source == _keys.HUGGINGFACE and "sha256" in given and "file" not in given:
        reader.wrong(path + ("sha256",), "is the digest of one file; name that with 'file'")
