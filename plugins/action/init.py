# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.init: writes the files of a new fleet. Runs on the controller alone."""

from __future__ import annotations

import getpass
import os
import pathlib
import shlex
import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.plugins.action import ActionBase
from ansible.vars.manager import VariableManager
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds
from ansible_collections.rbee.fleet.plugins.plugin_utils import (
    _config,
    _fleet,
    _given,
    _live,
    _load,
    _place,
    _sshconf,
    _starter,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError

OWN_SSH_CONFIG = "~/.ssh/config"
FORESEEN = (_given.GivenError, _sshconf.SshError, _place.PlaceError, ConfigError)


class InitError(Exception):
    """What the user asked for cannot be done; the message says why."""


class ActionModule(ActionBase):
    """Reads what is given, renders, loads the outcome to be sure of it, and only then writes."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "config": {"type": "str", "default": "~/.config/rbee"},
                "hosts": {"type": "raw", "default": []},
                "ssh_config": {"type": "str", "default": ""},
                "from_inventory": {"type": "str", "default": ""},
                "group": {"type": "str", "default": "all"},
            }
        )
        try:
            return self._init(options)
        except (InitError, *FORESEEN) as error:
            return {"failed": True, "msg": "; ".join(str(error).splitlines())}

    def _init(self, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        folder = _absolute(options["config"])
        machines, notes = self._machines(options)
        kept = _place.there(folder, [*_starter.files(""), _starter.KEY])
        catalog = _load.merged_catalog(pathlib.Path(folder, "catalog"))
        described = _starter.hives(machines) if machines else _starter.local(catalog, set(_gpu_kinds.kinds()))
        ssh_config = _absolute(options["ssh_config"]) if options["ssh_config"] else ""
        own = ssh_config in ("", _absolute(OWN_SSH_CONFIG))
        files = _starter.files(described, "" if own else ssh_config)
        texts = files | _place.texts(folder, [name for name in _config.FILES if name in kept])
        fleet = _config.parse({name: texts[name] for name in _config.FILES}, catalog, folder)
        notes += _not_taken(machines, fleet)
        if not own and _starter.SETTINGS in kept:
            notes.append(f"{_starter.SETTINGS} is kept: ssh has to be told of {ssh_config} there (ssh_common_args)")
        modes = dict.fromkeys(files, _place.OPEN)
        if fleet.queen.api_key == f"file:{os.path.join(folder, _starter.KEY)}":
            files[_starter.KEY] = _place.new_key()
            modes[_starter.KEY] = _place.SECRET
        wanted = [name for name in files if name not in kept]
        if not self._task.check_mode:
            wanted = [name for name in wanted if _place.put(folder, name, files[name], modes[name])]
        shown = lines(folder, wanted, [name for name in files if name not in wanted], notes, self._task.check_mode)
        _live.show(self._display, shown)
        return {
            "changed": bool(wanted),
            "folder": folder,
            "written": wanted,
            "kept": [name for name in files if name not in wanted],
            "notes": notes,
        }

    def _machines(self, options: t.Mapping[str, t.Any]) -> tuple[list[_starter.Machine], list[str]]:
        """All machines that are given, and what there is to say of them."""
        found, notes = _given.from_list(options["hosts"]), []
        if options["ssh_config"]:
            found += _of_ssh_config(_absolute(options["ssh_config"]))
        if options["from_inventory"]:
            more, left = self._of_inventory(_absolute(options["from_inventory"]), options["group"])
            found += more
            notes += left
        machines, repeated = _given.named(found)
        return machines, notes + repeated

    def _of_inventory(self, path: str, group: str) -> tuple[list[_starter.Machine], list[str]]:
        if not os.path.exists(path):
            raise InitError(f"from_inventory: {path} does not exist")
        try:
            inventory = InventoryManager(loader=self._loader, sources=[path])
            manager = VariableManager(loader=self._loader, inventory=inventory)
            hosts = inventory.groups[group].get_hosts() if group in inventory.groups else None
            if hosts is None:
                known = ", ".join(sorted(map(str, inventory.groups)))
                raise InitError(f"group: {path} has no group {group!r}; it has {known}")
            found: list[_starter.Machine] = []
            left: dict[str, list[str]] = {}
            for host in hosts:
                variables = manager.get_vars(host=host)
                templar = self._templar.copy_with_new_env(available_variables=variables)
                asked = {name: variables[name] for name in variables if name.startswith("ansible_")}
                plain = {name: _plain(templar, value) for name, value in asked.items() if name in _given.READ}
                found.append(_given.from_variables(str(host), plain))
                for name in _given.left_behind(asked):
                    left.setdefault(name, []).append(str(host))
        except AnsibleError as error:
            raise InitError(f"from_inventory: {path}: {error.message}") from None
        if not found:
            raise InitError(f"from_inventory: {path} has no host in the group {group!r}")
        place = "set it in host_vars or group_vars beside rbee.yml, or in your ssh configuration"
        return found, [f"{name} of {', '.join(names)} was not taken over: {place}" for name, names in left.items()]


def lines(
    folder: str, written: t.Sequence[str], kept: t.Sequence[str], notes: t.Sequence[str], check: bool
) -> list[str]:
    """What people read: what was done, and what to do next."""
    done = [f"{folder}: {'would write' if check else 'wrote'} {', '.join(written)}"] if written else []
    done += [f"{folder}: kept as they are: {', '.join(kept)}"] if kept else []
    next_steps = [
        f"Next: see to {os.path.join(folder, _config.HIVES)}, then",
        f"  cd {shlex.quote(folder)}",
        "  ansible-playbook rbee.fleet.validate     # and then rbee.fleet.install; add -K where sudo wants a password",
    ]
    return done + [f"Note: {note}" for note in notes] + ([] if check else next_steps)


def _not_taken(machines: t.Sequence[_starter.Machine], fleet: _fleet.Fleet) -> list[str]:
    """What was given and is not in the hives.conf that was there before."""
    known = {hive.hostname for hive in fleet.hives}
    missing = [machine.hostname for machine in machines if machine.hostname not in known]
    return [f"{_config.HIVES} is kept, add to it by hand: {', '.join(missing)}"] if missing else []


def _of_ssh_config(path: str) -> list[_starter.Machine]:
    names = _given.names_in(_sshconf.read(path), _sshconf.included)
    if not names:
        raise InitError(f"ssh_config: {path} names no host but by patterns")
    user = getpass.getuser()
    return [_given.from_ssh(name, _sshconf.settings(["-F", path, name]), user) for name in names]


def _plain(templar: t.Any, value: t.Any) -> t.Any:
    value = templar.template(value)
    return str(value) if isinstance(value, str) else value


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
