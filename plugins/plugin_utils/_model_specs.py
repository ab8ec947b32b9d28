# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of the configuration as a component of a host. Pure."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _spec
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import file_name

MODEL_PREFIX = "model-"
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip", ".whl")


def model_component(name: str) -> str:
    """The name of a model's component on a host."""
    return MODEL_PREFIX + _fleet.slug(name)


def model_spec(fleet: _fleet.Fleet, model: _fleet.Model) -> _spec.Spec:
    """A model as a component of a host."""
    source = model_source(model)
    return _spec.Spec(
        name=model_component(model.name),
        type=_spec.MODEL,
        kind=_spec.MODEL,
        fleet=fleet.name,
        version=model.revision if model.source == _keys.HUGGINGFACE else source.sha256[:12],
        variants=(_spec.Variant(model.source, {_spec.ANY_PLATFORM: source}),),
        served_name=model.name,
        declared=json.dumps(declared_model(model), sort_keys=True),
    )


def declared_model(model: _fleet.Model) -> dict[str, t.Any]:
    """The shortest ``[[model]]`` that means this one, without hives and what is locked; its path without a folder."""
    usual = _fleet.Model(model.name)
    given = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    own = {name: value for name, value in given.items() if name not in ("hives", "pre_download", "commit", "files")}
    own["path"] = posixpath.basename(model.path)  # the folder is one of the controller's
    return {"name": model.name} | {name: value for name, value in own.items() if value != getattr(usual, name)}


def model_source(model: _fleet.Model) -> _spec.Source:
    """Where the files of a model come from."""
    if model.source == _keys.HUGGINGFACE:
        return _spec.Source(
            kind=HUGGINGFACE,
            repository=model.name,
            revision=model.commit or model.revision,
            name=model.file,
            sha256=model.sha256,
            files=dict(model.files),
            fetch=model.fetch,
        )
    name = file_name(model.path or model.url)
    archive = name.endswith(_ARCHIVES)
    return _spec.Source(
        kind="archive" if archive else "file",
        url=model.url,
        path=model.path,
        sha256=model.sha256,
        name=model.file if archive else name,
        fetch=model.fetch,
    )
