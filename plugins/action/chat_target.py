# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.chat_target: which model is to be asked, and where it is brought first. Runs on the controller alone."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.plugin_utils import (
    _agents,
    _chat_target,
    _config_files,
    _fitting,
    _fleet,
    _live,
    _load,
    _model_size,
    _one_off,
    _one_off_given,
    _queen,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Question, ask, ask_all
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError

OUTSIDE = (SourceError, OSError)
OURS = (ConfigError, EditError, SecretError, _queen.QueenError, _chat_target.ChatError)


class ActionModule(ActionBase):
    """Asks the queen who serves what, and the hives how they are where nobody serves it."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "model": {"type": "str", "default": ""},
                "file": {"type": "str", "default": ""},
                "serve": {"type": "bool", "default": True},
                "prompt": {"type": "str", "default": ""},
                "max_tokens": {"type": "raw"},
                "temperature": {"type": "raw"},
            }
        )
        try:
            _one_off_given.check_names(_chat_target.NAMES, load_extra_vars(self._loader))
            _chat_target.check(options["prompt"], options["max_tokens"], options["temperature"])
            queen = _queen.question(task_vars, _chat_target.MODELS)
            served = _chat_target.served_of(queen, ask(queen))
            name = _chat_target.chosen(options["model"], served)
            if name in served and _chat_target.is_up(name, ask(dataclasses.replace(queen, path=_chat_target.LOAD))):
                return {"changed": False, "model": name, "brought": False, "hosts": {}, "pattern": "rbee:!rbee"}
            return {"model": name, **self._bring(name, served, options, queen)}
        except OURS as error:
            return {"failed": True, "msg": str(error)}
        except OUTSIDE as error:
            return {"failed": True, "msg": f"{options['model']}: {error}"}

    def _bring(
        self, name: str, served: t.Sequence[str], options: t.Mapping[str, t.Any], queen: Question
    ) -> dict[str, t.Any]:
        folder = pathlib.Path(options["folder"])
        fleet, catalog = _load.load(str(folder))
        states, silent = _states(fleet, queen)
        if name in served:
            _chat_target.check_held(name, states)
        entry = _chat_target.serving(name, fleet, catalog, states)
        _chat_target.check_serve(name, served, options["serve"])
        if not entry:
            keys = _chat_target.model_keys(name, options["file"], fleet, served)
            declares, needed = _model_size.needed(name, keys, fleet, str(folder))
            place, unfit = _fitting.choose(needed, fleet, catalog, states, silent)
            if place is None:
                raise _chat_target.ChatError(_chat_target.nowhere(needed, unfit))
            _live.show(self._display, _chat_target.announcement(needed, place, self._task.check_mode))
            entry = {"hive": place.hive, "type": place.type, "name": place.worker, "port": place.port, "model": name}
            entry |= declares
        texts = _load.read_texts(folder)
        found = _one_off.installed(_one_off_given.WORKER, {**entry, "temp": True}, texts, catalog, str(folder))
        _config_files.change(str(folder), Change(), self._task.check_mode, found.temporary)
        hosts = {host: list(names) for host, names in found.hosts.items()}
        pattern = "rbee:!rbee" if self._task.check_mode else ":".join(hosts)
        about = {"hosts": hosts, "pattern": pattern, "hive": entry["hive"], "worker": found.name}
        return {"changed": bool(found.temporary), "brought": not self._task.check_mode, **about}


def _states(fleet: _fleet.Fleet, queen: Question) -> tuple[dict[str, _agents.State], dict[str, str]]:
    """What each hive's agent says through the queen, and why others say nothing."""
    answers = ask_all(
        {hive.alias: dataclasses.replace(queen, path=f"/hives/{hive.alias}{_agents.STATE}") for hive in fleet.hives}
    )
    states: dict[str, _agents.State] = {}
    silent: dict[str, str] = {}
    for alias, answer in answers.items():
        state, reason = _agents.said_by(answer, fleet.name)
        if state is None:
            silent[alias] = reason
        else:
            states[alias] = state
    return states, silent
