# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of what is temporary, as one-offs change it. Commands alone write it, anew as a whole. Pure."""

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.plugin_utils import _toml
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, Table
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY, entry_name
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import pairs

HEAD = """\
# What was installed with -e temp=true. It counts as if it stood in hives.conf and models.conf, for runs from here.
# rbee.fleet.remove_worker and rbee.fleet.remove_hive take it out; installed again without temp, it goes to those files.
"""


def edited(text: str, change: Change) -> str:
    """The text after a change; empty when nothing is left. Raises ConfigError."""
    data = changed(_toml.parse(TEMPORARY, text).data, change)
    tables = [f"\n[[{kind}]]\n{pairs(table)}" for kind, found in data.items() for table in found]
    return HEAD + "".join(tables) if tables else ""


def changed(data: Table, change: Change) -> Table:
    """The tables after a change. A model that nobody serves or has any more goes with the last who did."""
    hives = {hive["alias"]: hive for hive in data.get("hive", [])}
    models = {model["name"]: model for model in data.get("model", [])}
    for table in change.hives:
        hives.pop(table["alias"], None)
        if change.present:
            hives[table["alias"]] = table
    for alias, workers in change.workers.items():
        hive = hives.get(alias, {"alias": alias})
        names = {entry_name(worker) for worker in workers}
        left = [worker for worker in hive.get("workers", []) if entry_name(worker) not in names]
        hives[alias] = {**hive, "workers": left + (list(workers) if change.present else [])}
    for model in change.models if change.present else ():
        models[model["name"]] = model
    hives = {alias: hive for alias, hive in hives.items() if hive.get("workers") or "hostname" in hive}
    served = {
        worker.get("model") for hive in hives.values() for worker in hive.get("workers", []) if isinstance(worker, dict)
    }
    served |= {name for hive in hives.values() for name in hive.get("models", [])}
    kept = [model for model in models.values() if model["name"] in served]
    return {key: value for key, value in (("hive", list(hives.values())), ("model", kept)) if value}


def models_only_there(models_conf: Table, temporary: Table) -> dict[str, Table]:
    """The tables of models, by name, that would go with what is temporary. Both arguments: data of the files."""
    lasting = {table.get("name") for table in models_conf.get("model", [])}
    return {table["name"]: table for table in temporary.get("model", []) if table["name"] not in lasting}
