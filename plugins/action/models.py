# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.models: models on one host, by the module that converges all components of it."""

from __future__ import annotations

import platform
import typing as t

from ansible_collections.rbee.fleet.plugins.action import components
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _model_specs, _worker_specs
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import merged_catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import resolve_secret
from ansible_collections.rbee.fleet.plugins.plugin_utils._user import user
from ansible_collections.rbee.fleet.plugins.plugin_utils._wanted import models_from

OPTIONS: t.Mapping[str, t.Mapping[str, t.Any]] = {
    "models": {"type": "list", "elements": "raw", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "force": {"type": "bool", "default": False},
    "fetch": {"type": "str", "choices": ["host", "controller"], "default": "host"},
    "hf_token": {"type": "str", "default": "", "no_log": True},
    "fleet": {"type": "str", "default": "default"},
    "scope": {"type": "str", "choices": ["system", "user"], "default": "system"},
    "prefix": {"type": "str", "default": "/opt/rbee"},
    "tools": {"type": "list", "elements": "dict", "default": []},
    "lock_timeout": {"type": "int", "default": 600},
}
PASSED = ("fleet", "scope", "prefix", "state", "fetch", "force", "lock_timeout")


class ActionModule(components.ActionModule):
    """Makes specifications of the models; the rest is as of rbee.fleet.components."""

    def _run(self, task_vars: t.Any) -> dict[str, t.Any]:
        _validation, options = self.validate_argument_spec(argument_spec=OPTIONS)
        fleet = _fleet.Fleet(name=options["fleet"])
        try:
            models = models_from(plain(options["models"]), str(task_vars.get("playbook_dir", "")), "models")
            tools = plain(options["tools"]) or to_dict(_worker_specs.tools(fleet, merged_catalog()))
        except ConfigError as error:
            return {"failed": True, "msg": str(error)}
        specs = [_model_specs.model_spec(fleet, model) for model in models]
        token = options["hf_token"]
        arguments = {name: options[name] for name in PASSED}
        arguments.update(
            components=to_dict(specs),
            names=[spec.name for spec in specs],
            kinds=[MODEL],
            purge=options["state"] == "absent",  # which means these models alone
            tools=tools,
            secrets={HUB_TOKEN: resolve_secret(HUB_TOKEN, token)} if token else {},
            controller=f"{user()}@{platform.node()}",
        )
        return self._converge(arguments, task_vars) if specs else {"changed": False, "components": [], "host": None}
