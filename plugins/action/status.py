# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.status: shows what was found on the hosts of a fleet. Runs on the controller alone."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._spec import KINDS
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live, _status, _status_text
from ansible_collections.rbee.fleet.plugins.plugin_utils._host_variables import reach_of, specs_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain
from ansible_collections.rbee.fleet.plugins.plugin_utils._tags import kinds_of


class ActionModule(ActionBase):
    """Reads the registered results of all hosts of the play, and what is declared for them."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "register": {"type": "str", "required": True},
                "agents": {"type": "str", "default": ""},
                "fleet": {"type": "str", "default": "default"},
                "path": {"type": "str", "default": ""},
            }
        )
        asked = plain(task_vars.get(options["agents"]) or {})
        looks = {}
        for host in _hosts(asked, task_vars):
            variables = task_vars["hostvars"][host]
            reach = reach_of(variables)
            looks[host] = _status.Look(
                declared=plain(specs_of(variables)),
                hostname=reach.hostname,
                connection=reach.connection,
                said=asked.get("hosts", {}).get(host),
                silent=asked.get("silent", {}).get(host, ""),
                found=plain(variables.get(options["register"])),
            )
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        kinds = kinds_of(task_vars.get("ansible_run_tags", ())) or set(KINDS)
        document = _status.document(looks, asked.get("queen") or {}, options["fleet"], moment, kinds)
        shown = _status_text.lines(document, now)
        _live.show(self._display, shown)
        path = ""
        if options["path"] and not self._task.check_mode:
            path = os.path.abspath(os.path.expanduser(options["path"]))
            _record(path, document)
        lost = _status.not_looked_at(document)
        return {"changed": False, "lines": shown, "status": document, "not_looked_at": lost, "path": path}


def _hosts(asked: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> list[str]:
    """Those of the play whose agents were asked, in the order of the inventory; else those of this play."""
    names = {*asked.get("hosts", ()), *asked.get("silent", ())}
    if not names:
        return list(map(str, task_vars["ansible_play_hosts_all"]))
    return [host for host in map(str, task_vars["groups"]["all"]) if host in names]


def _record(path: str, document: t.Mapping[str, t.Any]) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _store.write_json(path, document, 0o644)
    except OSError as error:
        raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}") from None
