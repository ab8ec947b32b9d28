# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks Hugging Face what models are at the moment, from the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._hub_info import Unknown, infos
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin, pin_of

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Model


def ask(models: t.Sequence[Model], token: str, environment: t.Mapping[str, str]) -> dict[str, Pin | Unknown]:
    """What each model is, or why that is not known, by name.

    token, environment: as of ``_hub_info.info``. Raises SourceError when the hub says that a model is not what is
    declared.
    """
    answers = infos({model.name: model.revision for model in models}, token, environment)
    known = {model.name: (model, answers[model.name]) for model in models}
    return {
        name: answer if isinstance(answer, Unknown) else pin_of(model, *answer)
        for name, (model, answer) in known.items()
    }
