# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.config: edits the configuration files. Runs on the controller alone."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config_files
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain


class ActionModule(ActionBase):
    """Adds entries to the files, or removes them."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "hives": {"type": "list", "elements": "dict", "default": []},
                "workers": {"type": "dict", "default": {}},
                "models": {"type": "list", "elements": "dict", "default": []},
            }
        )
        given = plain(options)
        try:
            wanted = Change(
                hives=tuple(_named(given["hives"], "hives", "alias")),
                workers={alias: tuple(_workers(alias, entries)) for alias, entries in given["workers"].items()},
                models=tuple(_named(given["models"], "models", "name")),
                present=given["state"] == "present",
            )
            return answer(_config_files.change(given["folder"], wanted, self._task.check_mode))
        except (EditError, ConfigError) as error:
            return {"failed": True, "msg": f"Nothing was written. {error}"}


def answer(diff: list[dict[str, str]]) -> dict[str, t.Any]:
    return {"changed": bool(diff), "files": [entry["after_header"] for entry in diff], "diff": diff}


def _named(entries: list[dict[str, t.Any]], option: str, key: str) -> t.Iterator[dict[str, t.Any]]:
    for index, entry in enumerate(entries):
        if not entry.get(key):
            raise EditError(f"{option}[{index}]: has no {key}")
        yield entry


def _workers(alias: str, entries: t.Any) -> t.Iterator[t.Any]:
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        if not isinstance(entry, str) and not (isinstance(entry, dict) and (entry.get("type") or entry.get("name"))):
            raise EditError(f"workers.{alias}[{index}]: expected a worker type, or a table with one")
        yield entry
