# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.models_info: shows the models of the hosts of a fleet. Runs on the controller alone."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live, _models_list
from ansible_collections.rbee.fleet.plugins.plugin_utils._host_variables import specs_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain, record


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play, and what is declared for them."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "fleet": {"type": "str", "default": "default"},
                "path": {"type": "str", "default": ""},
            }
        )
        everyone = task_vars["hostvars"]
        names = list(map(str, task_vars["ansible_play_hosts_all"]))
        found = {name: plain(everyone[name].get(options["register"])) for name in names}
        declared = {name: plain(specs_of(everyone[name])) for name in names}
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        document = _models_list.document(found, declared, options["fleet"], moment)
        shown = _models_list.lines(document)
        _live.show(self._display, shown)
        path = "" if self._task.check_mode else os.path.expanduser(options["path"])
        if path:
            record(self._display, path, document)
        lost = _models_list.lost(document)
        return {"changed": False, "lines": shown, "models": document, "not_looked_at": lost, "path": path}
