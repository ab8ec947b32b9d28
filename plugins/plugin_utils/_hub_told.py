# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hives have found out about models of which the hub tells the controller nothing. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._hub_info import Unknown
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import info_from
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin, pin_of

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Model

Questions = dict[str, dict[str, str]]
"""Revisions by model, by the alias of the hive that can be asked."""


def questions(fleet: Fleet, models: t.Collection[str], hives: t.Collection[str]) -> Questions:
    """Which hive can be asked for which of these models: for those that it is to have. hives: of the run."""
    revisions = {model.name: model.revision for model in fleet.models if model.name in models}
    asked = {hive.alias: {name: revisions[name] for name in hive.models if name in revisions} for hive in fleet.hives}
    return {alias: wanted for alias, wanted in sorted(asked.items()) if wanted and alias in hives}


def told(
    models: t.Sequence[Model], answers: t.Mapping[str, t.Mapping[str, t.Any]], why: t.Mapping[str, str]
) -> dict[str, Pin | Unknown]:
    """What each model is, or why nobody knows, by name. All hives then get what the first of them was told.

    answers: what rbee.fleet.hub_info returned, by hive. why: what kept the controller from finding out, by model.
    Raises SourceError when the hub says that a model is not what is declared.
    """
    return {model.name: _told(model, answers, why.get(model.name, "")) for model in models}


def _told(model: Model, answers: t.Mapping[str, t.Mapping[str, t.Any]], why: str) -> Pin | Unknown:
    reasons = [f"controller: {why}"]
    for hive, answer in sorted(answers.items()):
        if model.name in answer.get("known", {}):
            return pin_of(model, *info_from(answer["known"][model.name]))
        if model.name in answer.get("unknown", {}):
            reasons.append(f"{hive}: {answer['unknown'][model.name]}")
        elif answer.get("msg"):
            reasons.append(f"{hive}: {answer['msg']}")
    return Unknown("; ".join(reasons))
