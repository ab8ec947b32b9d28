# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen as a run on the controller asks her: where she is, and with which key. Reads secrets of the controller."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _agents
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Question
from ansible_collections.rbee.fleet.plugins.plugin_utils._host_variables import reach_of, specs_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import API_KEY
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import resolve_secret


class QueenError(Exception):
    """She cannot be asked from here; the message says why."""


def question(task_vars: t.Any, path: str) -> Question:
    """A question to the queen of the inventory. Raises QueenError, SecretError."""
    host = str(task_vars["groups"]["rbee_queen"][0])
    variables = task_vars["hostvars"][host]
    place = _agents.queen_of(specs_of(variables), reach_of(variables))
    if isinstance(place, str):
        raise QueenError(f"the queen cannot be asked from here: {place}; set bind in rbee.conf, or ask from there")
    reference = (variables.get("rbee_secrets") or {}).get(API_KEY, "")
    key = resolve_secret(API_KEY, str(reference)) if reference else ""
    return dataclasses.replace(place, path=path, key=key)
