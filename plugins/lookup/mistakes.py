# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: what is wrong with the variables and tags of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mistakes
short_description: What is wrong with the variables and tags of a run
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Compares the variables of the command line whose names begin with C(rbee_), and what C(--tags) and C(--skip-tags)
    name, with those that the playbooks of this collection know. Every mistake is named, with the nearest valid name.
  - What stands on the command line itself, and not in a file of variables, has to count in the playbook that stands
    there. A word without a name there is what Ansible has split off at a space.
  - The values of the variables are checked wherever they come from. An empty text counts as not given, as a survey of
    AWX gives it.
  - The playbooks of this collection do this first; there is no need to do it elsewhere.
options:
  _terms:
    description: Takes none.
    type: list
    elements: str
notes:
  - Of tags, only what is nearly one of this collection is a mistake, since playbooks that import ours have their own.
seealso:
  - plugin: rbee.fleet.specs
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Stop where the command line has a mistake
  ansible.builtin.assert:
    that: query('rbee.fleet.mistakes') | length == 0
"""

RETURN = r"""
_list:
  description: The mistakes, a line each; none when all is well.
  type: list
  elements: str
  sample: ["rbee_forse: unknown variable; did you mean 'rbee_force'?"]
"""

import typing as t

from ansible import context
from ansible.parsing.splitter import parse_kv
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain
from ansible_collections.rbee.fleet.plugins.plugin_utils._run_variables import (
    VARIABLES,
    mistakes,
    near_misses,
    not_counting,
    strays,
)


class LookupModule(LookupBase):
    """Of the run at hand."""

    def run(self, terms: t.Sequence[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        known = variables or {}
        given = [str(name) for name in load_extra_vars(self._loader)]
        # Without an inventory the defaults cannot be read, and need not be.
        asked = [name for name in VARIABLES if name in known and ("inventory_dir" in known or name in given)]
        values = {name: plain(self._templar.template(known[name])) for name in asked}
        tags = [str(tag) for which in ("run", "skip") for tag in known.get(f"ansible_{which}_tags") or ()]
        typed = self._typed()
        return (
            mistakes(given, values, tags)
            + near_misses(given, terms)
            + strays(typed)
            + not_counting(typed, context.CLIARGS.get("args") or ())
        )

    def _typed(self) -> dict[str, t.Any]:
        """The variables that stand on the command line itself, without those of files."""
        found: dict[str, t.Any] = {}
        for text in filter(None, context.CLIARGS.get("extra_vars") or ()):
            if not text.startswith("@"):
                found.update(self._loader.load(text) if text[0] in "[{" else parse_kv(text))
        return found
