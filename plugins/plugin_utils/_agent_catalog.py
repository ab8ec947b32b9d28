# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent of a hive may install on its own; ``_agent_request`` has the format. Pure."""

from __future__ import annotations

import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _spec
from ansible_collections.rbee.fleet.plugins.module_utils._target import fill
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import (
    entry_of,
    on_demand,
    tools,
    values_of,
    worker_spec,
)


def catalog_of(fleet: _fleet.Fleet, hive: _fleet.Hive, catalog: Catalog) -> dict[str, t.Any]:
    """What the agent may install on its own; ``_agent_request`` has the format."""
    types = ((name, entry_of(catalog, name)) for name in catalog.types(_spec.WORKER))
    workers: dict[str, t.Any] = {}
    for name, entry in types:
        plain = _fleet.Worker(type=name, name=name, version=entry.latest, port=entry.port)
        workers[name] = {
            "model": entry.model,
            "model_command": [fill(word, values_of(fleet, hive)) for word in entry.model_command],
            "spec": _spec.to_dict(worker_spec(fleet, hive, plain, entry)),
        }
        models = on_demand(fleet, hive, plain, entry)
        if models:
            workers[name]["on_demand"] = _spec.to_dict(worker_spec(fleet, hive, plain, entry, models))
    models = {
        model.name: _spec.to_dict(model_spec(fleet, model)) for model in fleet.models if model.name in hive.models
    }
    known: dict[str, t.Any] = _portable(
        {
            "fleet": fleet.name,
            "scope": fleet.scope,
            "tools": _spec.to_dict(tools(fleet, catalog)),
            "models": models,
            "workers": workers,
        }
    )
    return known


def _portable(value: t.Any) -> t.Any:
    """Without the folders of this controller: whoever runs the next one has the same files elsewhere."""
    if isinstance(value, dict):
        plain = {key: _portable(item) for key, item in value.items()}
        return plain | {"path": posixpath.basename(plain["path"])} if {"path", "sha256"} <= plain.keys() else plain
    return [_portable(item) for item in value] if isinstance(value, list) else value
