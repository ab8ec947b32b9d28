# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.summary: shows and records what a run did. Runs on the controller alone."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live, _summary, _waves
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain, record, told


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "path": {"type": "str", "default": ""},
                "action": {"type": "str", "default": "install"},
                "fleet": {"type": "str", "default": "default"},
                "order": {"type": "bool", "default": False},
                "group": {"type": "str", "default": "rbee"},
                "notes": {"type": "list", "elements": "str", "default": []},
                "on_failure": {"type": "str", "default": ""},
            }
        )
        check = self._task.check_mode
        everyone = task_vars["hostvars"]
        playing = {
            str(host): plain(everyone[host].get(options["register"])) for host in task_vars["ansible_play_hosts_all"]
        }
        hosts = {host: _summary.host_report(result) for host, result in playing.items()}
        order: list[list[str]] = []
        if options["order"]:
            fleet = map(str, task_vars["groups"].get(options["group"], ()))
            order, without = _waves.order_of(playing, fleet, lambda host: everyone[host].get("rbee_components") or ())
        if order:
            shown = _waves.lines(order, without)
            self._display.display("\n".join(shown), stderr=_live.for_machines())
            return {"changed": False, "lines": shown, "hosts": hosts, "path": "", "waves": order}
        shown = [*_summary.lines(hosts, check), _summary.closing(hosts, options["action"], _live.elapsed(), check)]
        shown += _summary.left_out(task_vars["groups"].get("rbee_queen", ()), hosts, options["action"])
        failed = any(host["state"] in (_summary.FAILED, _summary.UNREACHABLE) for host in hosts.values())
        shown += [options["on_failure"]] if failed and options["on_failure"] else []
        shown += options["notes"]
        _live.show(self._display, shown)
        path = "" if check else os.path.expanduser(options["path"])
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        document = _summary.document(hosts, options["fleet"], options["action"], moment)
        path = record(self._display, path, document) if path else ""
        return {"changed": False, "lines": shown, "hosts": hosts, "path": path, "waves": order, **told(document)}
