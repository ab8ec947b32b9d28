# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of rbee.fleet.hub_info: the token."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError, resolve_secret

MODULE = "rbee.fleet.hub_info"


class ActionModule(ActionBase):
    """Runs the module with the values of secrets."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            secrets = {name: resolve_secret(name, str(ref)) for name, ref in (arguments.get("secrets") or {}).items()}
        except SecretError as error:
            return {"failed": True, "msg": str(error)}
        return dict(self._execute_module(MODULE, {**arguments, "secrets": secrets}, task_vars=task_vars))
