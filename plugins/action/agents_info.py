# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.agents_info: asks the agents of all hives and the queen at once. Runs on the controller alone."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils._spec import QUEEN
from ansible_collections.rbee.fleet.plugins.plugin_utils import _agents
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question, ask_all
from ansible_collections.rbee.fleet.plugins.plugin_utils._host_variables import reach_of, specs_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import API_KEY
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError, resolve_secret

Key = tuple[str, str]  # host, path


class ActionModule(ActionBase):
    """Reads what is declared for all hosts of the play."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "fleet": {"type": "str", "default": "default"},
                "prefix": {"type": "str", "default": "/opt/rbee"},
                "deep": {"type": "bool", "default": False},
            }
        )
        questions: dict[Key, Question] = {}
        silent: dict[str, str] = {}
        queen: dict[str, t.Any] = {}
        for host in map(str, task_vars["ansible_play_hosts_all"]):
            variables = task_vars["hostvars"][host]
            specs, reach = specs_of(variables), reach_of(variables)
            place = _agents.agent_of(specs, reach)
            if options["deep"] and not isinstance(place, str):
                place = "agents compare no digests, so it was not asked"
            if isinstance(place, str):
                silent[host] = place
            else:
                questions[host, _agents.STATE] = place
            if any(spec["kind"] == QUEEN for spec in specs):
                queen = self._queen(host, variables, _agents.queen_of(specs, reach), questions)
        answers = ask_all(questions)
        hosts: dict[str, t.Any] = {}
        for (host, path), question in questions.items():
            if path == _agents.STATE:
                state, reason = _agents.state_of(question, answers[host, path], options["fleet"], options["prefix"])
                if state is None:
                    silent[host] = reason
                else:
                    hosts[host] = state
        return {"changed": False, "hosts": hosts, "silent": silent, "queen": _told(queen, answers)}

    def _queen(
        self, host: str, variables: t.Any, place: Question | str, questions: dict[Key, Question]
    ) -> dict[str, t.Any]:
        """Adds what she is to be asked; returns what is known before."""
        queen: dict[str, t.Any] = {"host": host, "url": "", "answers": False, "reason": "", "info": None}
        queen["info_reason"] = ""
        if isinstance(place, str):
            return {**queen, "reason": place}
        queen["url"] = f"http://{place.where}"
        questions[host, _agents.HEALTH] = place
        reference = (variables.get("rbee_secrets") or {}).get(API_KEY, "")
        try:
            key = resolve_secret(API_KEY, str(reference)) if reference else ""
        except SecretError as error:
            return {**queen, "info_reason": str(error)}
        questions[host, _agents.INFO] = dataclasses.replace(place, path=_agents.INFO, key=key)
        return queen


def _told(queen: dict[str, t.Any], answers: t.Mapping[Key, Answer]) -> dict[str, t.Any]:
    """The queen with what she answered."""
    health = answers.get((queen.get("host", ""), _agents.HEALTH))
    if health is None:
        return queen
    queen["answers"], queen["reason"] = _agents.health_of(health)
    info = answers.get((queen["host"], _agents.INFO))
    if info is not None:
        queen["info"], queen["info_reason"] = _agents.info_of(info)
    return queen
