# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.machines: the machines that a user names, as hosts to look at. Runs on the controller alone."""

from __future__ import annotations

import os
import sys
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _gather, _given, _hives_conf, _place, _sshconf
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine

FORESEEN = (_given.GivenError, _sshconf.SshError, _place.PlaceError, ConfigError)


class ActionModule(ActionBase):
    """Also refuses a folder in which nothing could be written later, before anybody looks at a machine."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "config": {"type": "str", "default": "~/.config/rbee"},
                "hives_conf": {"type": "str", "default": ""},
                "without": {"type": "list", "elements": "str", "default": []},
                **_gather.OPTIONS,
            }
        )
        folder = _gather.absolute(options["config"])
        try:
            _check_folder(folder)
            given = _gather.gather(options, self._loader, self._templar)
        except FORESEEN as error:
            return {"failed": True, "msg": "; ".join(str(error).splitlines())}
        found = given.machines or [Machine("local-hive", "localhost")]
        machines = [machine for machine in found if machine.alias not in options["without"]]
        hosts = [{"machine": _data(machine), **_variables(machine, given.ssh_config)} for machine in machines]
        return {
            "changed": False,
            "folder": folder,
            "machines": hosts,
            "notes": given.notes,
            "ssh_config": given.ssh_config,
        }


def _check_folder(folder: str) -> None:
    for name, text in _place.texts(folder, _place.there(folder, [_config.HIVES])).items():
        if _hives_conf.is_older(text):
            path = os.path.join(folder, name)
            raise _given.GivenError(
                f"{path} is in the older format and is not overwritten: write into another folder, and read it with"
                f" -e hives_conf={path} -e config=NEW_FOLDER"
            )


def _data(machine: Machine) -> dict[str, t.Any]:
    keys = ("alias", "hostname", "user", "port", "address", "hive_port")
    return {key: getattr(machine, key) for key in keys}


def _variables(machine: Machine, ssh_config: str) -> dict[str, t.Any]:
    """Of the inventory host that stands for it."""
    if machine.local:
        return {
            "ansible_connection": "local",
            "ansible_host": "localhost",
            "ansible_python_interpreter": sys.executable,
        }
    options = {"ansible_ssh_common_args": f'-F "{ssh_config}"'} if ssh_config else {}
    found = {
        "ansible_connection": "ssh",
        "ansible_host": machine.hostname,
        "ansible_port": machine.port if machine.port != 22 else None,
        "ansible_user": machine.user or None,
        **options,
        **machine.variables,
    }
    return {key: value for key, value in found.items() if value is not None}
