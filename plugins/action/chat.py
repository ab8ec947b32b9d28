# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.chat: asks a model through the queen. Runs on the controller alone."""

from __future__ import annotations

import shutil
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _chat_http, _completion, _live, _queen
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError

WIDEST = 100  # letters of a line that is shown


class ActionModule(ActionBase):
    """Shows the answer line by line, as it comes."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "prompt": {"type": "str", "required": True},
                "model": {"type": "str", "required": True},
                "system": {"type": "str", "default": ""},
                "max_tokens": {"type": "int"},
                "temperature": {"type": "float"},
                "timeout": {"type": "int", "default": 600},
                "patience": {"type": "int", "default": 0},
            }
        )
        lines = _completion.Lines(min(shutil.get_terminal_size().columns, WIDEST))
        more = {name: options[name] for name in ("max_tokens", "temperature")}
        began = time.monotonic()
        try:
            queen = _queen.question(task_vars, _chat_http.PATH)
            body = _completion.body_of(options["model"], options["prompt"], options["system"], more)
            found = _chat_http.complete(
                queen, body, options["timeout"], options["patience"], lambda piece: self._show(lines.add(piece))
            )
        except (_queen.QueenError, SecretError, _completion.CompletionError) as error:
            self._show(lines.rest())
            return {"failed": True, "msg": f"{options['model']}: {error}"}
        self._show(lines.rest())
        about = {"answer": found.text, "usage": found.usage, "finish_reason": found.reason}
        return {"changed": False, "model": options["model"], **about, "seconds": round(time.monotonic() - began, 1)}

    def _show(self, lines: t.Iterable[str]) -> None:
        for line in lines:
            self._display.display(line, stderr=_live.for_machines())
