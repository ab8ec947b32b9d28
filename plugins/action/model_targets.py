# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.model_targets: which models a run is about, and where. Runs on the controller alone."""

from __future__ import annotations

import os
import posixpath
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._spec import to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load_locked
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile_disk import draft_path
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import file_name
from ansible_collections.rbee.fleet.plugins.plugin_utils._wanted import (
    ABSENT,
    PRESENT,
    SOURCE_KEYS,
    WantedError,
    wanted,
)

OPTIONS: t.Mapping[str, t.Mapping[str, t.Any]] = {
    "folder": {"type": "path", "required": True},
    "model": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": [PRESENT, ABSENT], "default": PRESENT},
    **{key: {"type": "str", "default": ""} for key in SOURCE_KEYS},
    "limited": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Reads the configuration, and which hosts the play has."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=OPTIONS)
        given = {key: options[key] for key in SOURCE_KEYS if options[key]}
        names = [name.strip() for name in options["model"] if name.strip()]
        place = given.get("url") or given.get("path")
        if not names and place:
            names = [posixpath.splitext(file_name(place))[0]]
        try:
            if not names:
                raise WantedError("name a model with -e model=NAME")
            fleet = load_locked(options["folder"], draft_path(options["folder"])).fleet
            found = wanted(
                fleet, names, given, list(map(str, task_vars["ansible_play_hosts_all"])), options["limited"],
                options["state"], os.getcwd(),
            )  # fmt: skip
        except (WantedError, ConfigError) as error:
            return {"failed": True, "msg": str(error)}
        for note in found.notes:
            self._display.display(note, stderr=_live.for_machines())
        secrets = {HUB_TOKEN: fleet.hf_token} if found.from_hub and fleet.hf_token else {}
        return {"changed": False, "hosts": to_dict(found.hosts), "secrets": secrets, "notes": list(found.notes)}
