# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.findings: shows and records what a validation found. Runs on the controller alone."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _findings, _live
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain, record


class ActionModule(ActionBase):
    """Reads what rbee.fleet.preflight registered on all hosts of the play."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "path": {"type": "str", "default": ""},
                "fleet": {"type": "str", "default": "default"},
            }
        )
        results = {
            str(host): plain(task_vars["hostvars"][host].get(options["register"]))
            for host in task_vars["ansible_play_hosts_all"]
        }
        found = _findings.rows(results)
        shown = _findings.lines(found, len(results))
        _live.show(self._display, shown)
        path = "" if self._task.check_mode else os.path.expanduser(options["path"])
        if path:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            path = record(self._display, path, _findings.document(found, options["fleet"], results, moment))
        broken = _findings.broken(results)
        return {"changed": False, "lines": shown, "findings": found, "broken": broken, "path": path}
