# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.drift: shows and records what a sync found. Runs on the controller alone."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils._request import REMOVE
from ansible_collections.rbee.fleet.plugins.plugin_utils import _drift_report, _live, _summary
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain, record, told


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play, and of the hives that have left the configuration."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "departed": {"type": "list", "elements": "dict", "default": []},
                "notes": {"type": "list", "elements": "str", "default": []},
                "extra": {"type": "str", "default": "report"},
                "fleet": {"type": "str", "default": "default"},
                "path": {"type": "str", "default": ""},
            }
        )
        hostvars = task_vars["hostvars"]
        hosts = {
            str(host): _summary.host_report(plain(hostvars[host].get(options["register"])))
            for host in task_vars["ansible_play_hosts_all"]
        }
        gone = {str(item["alias"]): _found(plain(item), hostvars) for item in options["departed"]}
        about = {
            "fleet": options["fleet"],
            "extra": options["extra"],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        report = _drift_report.document(hosts, gone, about, self._task.check_mode, options["extra"] == REMOVE)
        shown = _drift_report.lines(report) + options["notes"]
        _live.show(self._display, shown)
        path = os.path.expanduser(options["path"])
        path = record(self._display, path, report) if path else ""
        kept = {key: report[key] for key in ("result", "drift", "notes", "failures")}
        return {
            "changed": False,
            **kept,
            "lines": shown,
            "path": path,
            "forgotten": _drift_report.forgotten(gone),
            **told(report),
        }


def _found(item: dict[str, t.Any], hostvars: t.Any) -> dict[str, t.Any]:
    """What the tasks on a hive that has left registered there."""
    own = hostvars[item["alias"]] if item["alias"] in hostvars else {}  # noqa: SIM401  # get() raises nothing
    return {
        **item,
        "found": plain(own.get("rbee_found")),
        "done": _ran(plain(own.get("rbee_removed"))),
        "left": _ran(plain(own.get("rbee_left"))),
    }


def _ran(result: t.Any) -> t.Any:
    return None if not result or result.get("skipped") else result
