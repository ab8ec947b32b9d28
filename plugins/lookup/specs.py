# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: the specifications of a host, from Ansible variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: specs
short_description: What a host of a fleet is to be, from Ansible variables
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Resolves the variables that the roles P(rbee.fleet.hive#role) and P(rbee.fleet.queen#role) describe to
    specifications for M(rbee.fleet.components).
  - Every mistake in the variables is reported, with host and variable, all mistakes at once.
options:
  _terms:
    description:
      - V(hive) for the models, the agent and the workers of this host, made from its own variables.
      - V(queen) for the queen on this host, made from its variables and those of every hive.
      - V(tools) for the tools that a host may need.
    type: list
    elements: str
    required: true
    choices: [hive, queen, tools]
notes:
  - Variables of the host at hand count as the task sees them.
    Those of other hosts are read from their C(hostvars), where variables of plays and roles do not show.
seealso:
  - module: rbee.fleet.components
"""

EXAMPLES = r"""
- name: Make this host a hive
  rbee.fleet.components:
    components: "{{ query('rbee.fleet.specs', 'hive') }}"
    tools: "{{ query('rbee.fleet.specs', 'tools') }}"
"""

RETURN = r"""
_list:
  description: Specifications for O(rbee.fleet.components#module:components) or O(rbee.fleet.components#module:tools).
  type: list
  elements: dict
"""

import datetime
import pathlib
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.rbee.fleet.plugins.module_utils._spec import to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _resolve, _variables, _worker_specs
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import merged_catalog

CATALOG = "rbee_catalog"
HIVES = "rbee_hives"  # the group, unless rbee_hives_group names another


class LookupModule(LookupBase):
    """Specifications of the host at hand."""

    def run(self, terms: t.Sequence[str], variables: t.Any = None, **kwargs: t.Any) -> list[t.Any]:
        self._variables = variables or {}
        parts = {"hive": self._hive, "queen": self._queen, "tools": self._tools}
        unknown = [str(term) for term in terms if term not in parts]
        if unknown:
            raise AnsibleLookupError(f"unknown part {unknown[0]!r}, expected one of {', '.join(parts)}")
        try:
            return [spec for term in terms for spec in to_dict(parts[term]())]
        except ConfigError as error:
            count = len(error.mistakes)
            raise AnsibleLookupError(f"{count} mistake{'s' if count > 1 else ''} in the variables:\n{error}") from None

    def _hive(self) -> t.Any:
        site = self._site()
        fleet = _variables.hive(site)
        return _resolve.hive_specs(fleet, fleet.hives[0], site.catalog)

    def _queen(self) -> t.Any:
        site, hostvars = self._site(), self._variables["hostvars"]
        hives = {name: site.own if name == site.host else _chosen(hostvars[name]) for name in site.group}
        return [_resolve.queen_spec(_variables.queen(site, hives), site.catalog)]

    def _tools(self) -> t.Any:
        return _worker_specs.tools(_fleet.Fleet(), self._catalog())

    def _site(self) -> _variables.Site:
        own = {name: self._value(name) for name in _variables.NAMES}
        host = str(self._variables["inventory_hostname"])
        return _variables.Site(host, own, self._group(), self._catalog(), self._folder())

    def _folder(self) -> str:
        return str(self._variables["playbook_dir"])

    def _value(self, name: str) -> t.Any:
        """A variable as the task at hand sees it."""
        return _plain(self._templar.template(self._variables[name])) if name in self._variables else None

    def _group(self) -> list[str]:
        name = self._value(_variables.GROUP) or HIVES
        groups = self._variables["groups"]
        if name not in groups:
            message = f"{_variables.GROUP}: there is no group {name!r} in the inventory; name that of the hives"
            raise AnsibleLookupError(message)
        return [str(host) for host in groups[name]]

    def _catalog(self) -> t.Any:
        own = self._value(CATALOG)
        folder = pathlib.Path(self._folder(), pathlib.Path(own).expanduser()) if own else None
        if folder and not folder.is_dir():
            raise AnsibleLookupError(f"{CATALOG}: {folder} is not a folder on the controller")
        return merged_catalog(folder)


def _chosen(hostvars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: _plain(hostvars[name]) for name in _variables.NAMES if name in hostvars}


def _plain(value: t.Any) -> t.Any:
    """Without the marks that ansible-core keeps on values: templates must not come of them later."""
    if isinstance(value, t.Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, datetime.date, datetime.time)):
        return value
    return str(value)
