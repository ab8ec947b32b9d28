# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.known: stops at a name that nobody has. Runs on the controller alone."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import suggestion


class ActionModule(ActionBase):
    """Compares names."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "required": True},
                "names": {"type": "list", "elements": "str", "required": True},
                "valid": {"type": "list", "elements": "str", "required": True},
                "what": {"type": "str", "required": True},
            }
        )
        valid = [str(name) for name in options["valid"]]
        unknown = [str(name) for name in options["names"] if name not in valid]
        if not unknown and options["names"]:
            return {"changed": False}
        if not options["names"]:
            return {"failed": True, "msg": f"Nothing was changed. -e {options['variable']}: missing; it is required"}
        said = [f"unknown {options['what']} '{name}'; {suggestion(name, valid)}" for name in unknown]
        return {"failed": True, "msg": f"Nothing was changed. -e {options['variable']}: {'; '.join(said)}"}
