# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory plugin: the hosts of a fleet, from its TOML files."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hives
short_description: The hosts of a fleet, from C(hives.conf), C(rbee.conf) and C(models.conf)
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Makes one inventory host of every hive, named by its C(alias).
    The queen gets a host named C(queen), unless she is on the machine of a hive.
  - Every host gets its connection variables and the resolved specifications of what is to be installed on it.
  - Every mistake in the files is reported, with file, line and key, and then there is no host at all.
  - The source is a YAML file whose name ends in C(rbee.yml) or C(rbee.yaml), which needs no further setting.
  - A C(hives.conf) itself serves as well once the plugin is enabled,
    as in C(ANSIBLE_INVENTORY_ENABLED=rbee.fleet.hives,auto,yaml,ini).
  - Nothing is cached, as the sources are local files.
notes:
  - The groups are C(rbee) with all hosts, C(rbee_queen), C(rbee_hives), C(rbee_worker_TYPE) for every type of worker,
    and C(rbee_model_NAME) for every model that is on some hive; other characters than letters and digits become C(_).
  - The host variables C(rbee_components), C(rbee_tools), C(rbee_fleet) and C(rbee_secrets) are for the playbooks of
    this collection. Secrets stand there as references (C(env:NAME), C(file:PATH)) only.
extends_documentation_fragment:
  - ansible.builtin.constructed
options:
  plugin:
    description: Says that the file is meant for this plugin.
    type: str
    required: true
    choices:
      - rbee.fleet.hives
  config:
    description:
      - The folder that holds the configuration. A relative path starts at the folder of the inventory file.
      - Defaults to the folder of the inventory file.
    type: str
"""

EXAMPLES = r"""
# fleet/rbee.yml, beside fleet/hives.conf
plugin: rbee.fleet.hives
---
# The configuration lies elsewhere, and hives get a group for each of their login users
plugin: rbee.fleet.hives
config: ~/.config/rbee
keyed_groups:
  - key: ansible_user
    prefix: login
"""

import os
import re
import sys
import typing as t

from ansible import constants, context, release
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.rbee.fleet.plugins.module_utils._spec import to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._config import HIVES
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import Loaded, load_locked
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile_disk import draft_path
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import tools

_TEMPLATE = re.compile(r"\{[{%#]")
# From 2.19 on, what an inventory plugin sets is never a template, unless it says so. Before, every string was one.
_STRINGS_ARE_TEMPLATES = tuple(int(part) for part in release.__version__.split(".")[:2]) < (2, 19)


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Hosts, groups and variables of a fleet."""

    NAME = "rbee.fleet.hives"

    def verify_file(self, path: str) -> bool:
        name = os.path.basename(path)
        return super().verify_file(path) and (name == HIVES or name.endswith(("rbee.yml", "rbee.yaml")))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.basename(path) != HIVES:
            self._read_config_data(path)
            folder = os.path.normpath(os.path.join(folder, os.path.expanduser(self.get_option("config") or "")))
        try:
            loaded = load_locked(folder, draft_path(folder))
        except ConfigError as error:
            count = len(error.mistakes)
            mistakes = f"{count} mistake{'s' if count > 1 else ''} in the configuration {folder}"
            self.display.error(f"{mistakes}:\n{error}", wrap_text=False)
            self._end(f"{mistakes}, listed above; nothing was touched.")
        else:
            self._populate(loaded, folder)

    def _end(self, mistakes: str) -> None:
        """Leaves the inventory empty, and ends where the settings want that, as Ansible would.

        An exception would make Ansible try the file with every other plugin, and show at length how each failed.
        """
        if constants.INVENTORY_ANY_UNPARSED_IS_FAILED:
            raise SystemExit(1)
        if constants.INVENTORY_UNPARSED_IS_FAILED:
            if len(context.CLIARGS.get("inventory") or ()) > 1:  # others may have hosts
                raise AnsibleParserError(mistakes)
            raise SystemExit(1)
        self.inventory.set_variable("all", "rbee_mistakes", mistakes)

    def _populate(self, loaded: Loaded, folder: str) -> None:
        fleet, catalog = loaded.fleet, loaded.catalog
        common = {"rbee_fleet": _settings(loaded, folder), "rbee_tools": to_dict(tools(fleet, catalog))}
        reached: dict[str, _fleet.Queen | _fleet.Hive] = {fleet.queen_host: fleet.queen}
        reached.update({hive.alias: hive for hive in fleet.hives})
        for host, plan in resolve(fleet, catalog).items():
            self._host(host, "rbee")
            own = {"rbee_components": to_dict(plan.specs), "rbee_secrets": dict(plan.secrets)}
            for name, value in (_connection(reached[host], fleet.package) | common | own).items():
                self.inventory.set_variable(host, name, _plain(value))
        # Without a warning on each host that a Python was found there. Of the group, so that variables of hosts and
        # groups elsewhere count, and only where no setting names one.
        if constants.config.get_config_value_and_origin("INTERPRETER_PYTHON")[1] == "default":
            self.inventory.set_variable("rbee", "ansible_python_interpreter", "auto_silent")
        self._host(fleet.queen_host, "rbee_queen")
        self.inventory.add_group("rbee_hives")
        for hive in fleet.hives:
            self._host(hive.alias, "rbee_hives")
            for worker in hive.workers:
                self._host(hive.alias, _group("worker", worker.type))
            for model in hive.models:
                self._host(hive.alias, _group("model", _fleet.slug(model)))
        self._construct()

    def _host(self, host: str, group: str) -> None:
        self.inventory.add_group(group)
        self.inventory.add_host(host, group=group)

    def _construct(self) -> None:
        """What the user's compose, groups and keyed_groups add."""
        strict = self.get_option("strict")
        for name in sorted(self.inventory.groups["rbee"].get_hosts(), key=str):
            host = str(name)
            variables = self.inventory.get_host(host).get_vars()
            self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
            variables = self.inventory.get_host(host).get_vars()
            self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


def _group(of: str, name: str) -> str:
    return f"rbee_{of}_" + re.sub(r"[^a-z0-9]", "_", name.lower())


def _settings(loaded: Loaded, folder: str) -> dict[str, t.Any]:
    """folder: of the configuration, for the commands that edit it."""
    fleet = loaded.fleet
    return {
        "folder": folder,
        "name": fleet.name,
        "scope": fleet.scope,
        "prefix": fleet.prefix,
        "fetch": fleet.fetch,
        "max_concurrent_installs": fleet.package.max_concurrent_installs,
        "health_check_timeout": fleet.package.health_check_timeout,
        "unlocked": loaded.unlocked,
        "newer": [str(found) for found in loaded.newer],
    }


def _connection(reached: _fleet.Queen | _fleet.Hive, package: _fleet.Package) -> dict[str, t.Any]:
    """How Ansible reaches a machine."""
    if reached.connection == _fleet.LOCAL:
        return {
            "ansible_host": reached.hostname,
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
    found: dict[str, t.Any] = {
        "ansible_host": reached.hostname,
        "ansible_connection": "ssh",
        "ansible_port": reached.ssh_port,
        "ansible_ssh_timeout": package.ssh_timeout,
    }
    return found | ({"ansible_user": reached.ssh_user} if reached.ssh_user else {})


def _plain(value: t.Any) -> t.Any:
    """Keeps strings of the user's files from being read as templates."""
    if not _STRINGS_ARE_TEMPLATES:
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return wrap_var(value) if isinstance(value, str) and _TEMPLATE.search(value) else value
