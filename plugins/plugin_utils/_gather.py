# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the machines that a task was given. Reads files and asks ssh for its configuration; connects to nothing."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.vars.manager import VariableManager
from ansible_collections.rbee.fleet.plugins.plugin_utils import _given, _hives_conf, _sshconf
from ansible_collections.rbee.fleet.plugins.plugin_utils._given import GivenError
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._user import user

OWN_SSH_CONFIG = "~/.ssh/config"
OPTIONS: dict[str, dict[str, t.Any]] = {
    "hosts": {"type": "raw", "default": []},
    "ssh_config": {"type": "str", "default": ""},
    "from_inventory": {"type": "str", "default": ""},
    "group": {"type": "str", "default": "all"},
}
"""Of the argument specification of a task that takes machines."""


@dataclasses.dataclass(frozen=True)
class Gathered:
    """machines: each once, with an alias of its own. notes: what there is to say of them.

    ssh_config: one that the machines are aliases of, other than the user's own, or empty.
    """

    machines: list[Machine]
    notes: list[str]
    ssh_config: str


def gather(options: t.Mapping[str, t.Any], loader: t.Any, templar: t.Any) -> Gathered:
    """All machines of ``OPTIONS``, and of ``hives_conf`` where the task has that.

    loader, templar: Ansible's. Raises GivenError, SshError, ConfigError.
    """
    found, notes, ssh_config = _given.from_list(options["hosts"]), [], ""
    if options["ssh_config"]:
        path = absolute(options["ssh_config"])
        found += _of_ssh_config(path)
        ssh_config = path if path != absolute(OWN_SSH_CONFIG) else ""
    if options["from_inventory"]:
        more, left = _of_inventory(absolute(options["from_inventory"]), options["group"], loader, templar)
        found += more
        notes += left
    if options.get("hives_conf"):
        more, left = _of_hives_conf(absolute(options["hives_conf"]))
        found += more
        notes += left
    machines, repeated = _given.named(found)
    return Gathered(machines, notes + repeated, ssh_config)


def absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _of_ssh_config(path: str) -> list[Machine]:
    names = _given.names_in(_sshconf.read(path), _sshconf.included)
    if not names:
        raise GivenError(f"ssh_config: {path} names no host but by patterns")
    return [_given.from_ssh(name, _sshconf.settings(["-F", path, name]), user()) for name in names]


def _of_hives_conf(path: str) -> tuple[list[Machine], list[str]]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as stream:
            text = stream.read()
    except OSError as error:
        raise GivenError(f"hives_conf: {path} cannot be read: {error.strerror}") from None
    if not _hives_conf.is_older(text):
        raise GivenError(
            f"hives_conf: {path} does not begin with 'Host NAME', as the older format does; TOML is used as it is"
        )
    return _hives_conf.parse(text, os.path.basename(path), user())


def _of_inventory(path: str, group: str, loader: t.Any, templar: t.Any) -> tuple[list[Machine], list[str]]:
    if not os.path.exists(path):
        raise GivenError(f"from_inventory: {path} does not exist")
    try:
        inventory = InventoryManager(loader=loader, sources=[path])
        manager = VariableManager(loader=loader, inventory=inventory)
        hosts = inventory.groups[group].get_hosts() if group in inventory.groups else None
        if hosts is None:
            known = ", ".join(sorted(map(str, inventory.groups)))
            raise GivenError(f"group: {path} has no group {group!r}; it has {known}")
        found: list[Machine] = []
        left: dict[str, list[str]] = {}
        for host in hosts:
            variables = manager.get_vars(host=host)
            own = templar.copy_with_new_env(available_variables=variables)
            asked = {name: variables[name] for name in variables if name.startswith("ansible_")}
            wanted = {*_given.READ, *_given.CARRIED}
            plain = {name: _plain(own, value) for name, value in asked.items() if name in wanted}
            found.append(_given.from_variables(str(host), plain))
            for name in _given.left_behind(asked):
                left.setdefault(name, []).append(str(host))
    except AnsibleError as error:
        raise GivenError(f"from_inventory: {path}: {error.message}") from None
    if not found:
        raise GivenError(f"from_inventory: {path} has no host in the group {group!r}")
    place = "set it in host_vars or group_vars beside rbee.yml, or in your ssh configuration"
    return found, [f"{name} of {', '.join(names)} was not taken over: {place}" for name, names in left.items()]


def _plain(templar: t.Any, value: t.Any) -> t.Any:
    value = templar.template(value)
    return str(value) if isinstance(value, str) else value
