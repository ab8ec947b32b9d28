# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.adopt: declares what was found. Runs on the controller alone."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.action.config import answer
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config_files
from ansible_collections.rbee.fleet.plugins.plugin_utils._adopt import Adoption, Departed, is_hive
from ansible_collections.rbee.fleet.plugins.plugin_utils._config import MODELS
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load, read_texts
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain
from ansible_collections.rbee.fleet.plugins.plugin_utils._temporary import models_only_there
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import parse


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play, and of the hives that have left the configuration."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "register": {"type": "str", "required": True},
                "departed": {"type": "list", "elements": "dict", "default": []},
            }
        )
        hostvars, register = task_vars["hostvars"], options["register"]
        found = {str(host): _components(hostvars[host].get(register)) for host in task_vars["ansible_play_hosts_all"]}
        gone = {}
        for item in map(plain, options["departed"]):
            own = hostvars[item["alias"]] if item["alias"] in hostvars else {}  # noqa: SIM401  # get() raises nothing
            components = _components(own.get(register))
            if not item["reason"] and is_hive(components):
                gone[item["alias"]] = Departed(item["entry"], tuple(components))
        try:
            texts = read_texts(pathlib.Path(options["folder"]))
            only_temporary = models_only_there(*(parse(name, texts.get(name, "")).data for name in (MODELS, TEMPORARY)))
            adoption = Adoption(*load(options["folder"]), found, gone, MODELS in texts, only_temporary)
            out = answer(_config_files.change(options["folder"], adoption.change, self._task.check_mode))
        except (EditError, ConfigError) as error:
            return {"failed": True, "msg": f"Nothing was written. {error}"}
        for note in adoption.notes:
            self._display.warning(note)
        return {**out, "notes": adoption.notes}


def _components(result: t.Any) -> list[dict[str, t.Any]]:
    return list((plain(result) or {}).get("components") or ())
