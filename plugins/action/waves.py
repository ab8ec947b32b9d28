# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.waves: orders the hosts that wait to switch. Runs on the controller alone."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live, _waves


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play, and what is declared for the others of the fleet."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "group": {"type": "str", "default": "rbee"},
            }
        )
        everyone = task_vars["hostvars"]
        playing = {str(host): everyone[host].get(options["register"]) for host in task_vars["ansible_play_hosts_all"]}
        fleet = map(str, task_vars["groups"].get(options["group"], ()))
        order, without = _waves.order_of(playing, fleet, lambda host: everyone[host].get("rbee_components") or ())
        for line in _waves.lines(order, without):
            self._display.display(line, stderr=_live.for_machines())
        return {"changed": False, "waves": order, "downtime": without}
