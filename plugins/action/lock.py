# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.lock: writes what was chosen into rbee.lock. Runs on the controller alone."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils._hub_info import Unknown
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._needs import FROM_HOST
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.plugin_utils import _hub_ask, _hub_told, _live, _lockfile, _lockfile_disk
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import Loaded, load_locked
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError, resolve_secret

NAME = _lockfile.NAME


class ActionModule(ActionBase):
    """Reads the configuration of the fleet, asks the hub or takes what hives were told, and writes the lock."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "update": {"type": "bool", "default": False},
                "frozen": {"type": "bool", "default": False},
                "unpinned": {"type": "dict", "default": {}},
                "told": {"type": "str", "default": ""},
            }
        )
        folder, hosts = os.path.abspath(options["folder"]), list(map(str, task_vars["ansible_play_hosts_all"]))
        try:
            if options["told"]:
                answers = {host: plain(task_vars["hostvars"][host].get(options["told"])) or {} for host in hosts}
                return self._told(folder, options["update"], options["unpinned"], answers)
            return self._run(folder, options["update"], options["frozen"], hosts)
        except (ConfigError, EditError, SourceError, SecretError) as error:
            return {"failed": True, "msg": f"{NAME} is as it was. {error}"}

    def _run(self, folder: str, update: bool, frozen: bool, hosts: t.Collection[str]) -> dict[str, t.Any]:
        loaded = load_locked(folder, update=update)
        if frozen:
            return _frozen(loaded)
        models = _lockfile.hub_models(loaded.lasting) if update else _lockfile.unpinned(loaded.lasting, loaded.wanted)
        answers = _asked(loaded, models)
        unpinned = _reasons(answers)
        # Where the controller fetches for them, hives need not reach the hub.
        by_hosts = loaded.fleet.fetch == FROM_HOST
        ask = _hub_told.questions(loaded.lasting, unpinned, hosts) if by_hosts else {}
        return {
            **self._locked(folder, loaded, answers, {name for wanted in ask.values() for name in wanted}),
            "ask": ask,
        }

    def _told(
        self, folder: str, update: bool, unpinned: t.Mapping[str, str], answers: t.Mapping[str, t.Mapping[str, t.Any]]
    ) -> dict[str, t.Any]:
        """What is left of a first task. unpinned: what that returned."""
        loaded = load_locked(folder, _lockfile_disk.draft_path(folder), update)
        models = [model for model in _lockfile.hub_models(loaded.lasting) if model.name in unpinned]
        return self._locked(folder, loaded, _hub_told.told(models, answers, unpinned))

    def _locked(
        self,
        folder: str,
        loaded: Loaded,
        answers: t.Mapping[str, _lockfile.Pin | Unknown],
        open_yet: t.Collection[str] = (),
    ) -> dict[str, t.Any]:
        """Lock what is known. open_yet: models that somebody else is asked for, so that nothing is said of them."""
        pins = {name: answer for name, answer in answers.items() if isinstance(answer, _lockfile.Pin)}
        new = dataclasses.replace(loaded.wanted, models=dict(sorted({**loaded.wanted.models, **pins}.items())))
        unpinned = _reasons(answers)
        for name, why in unpinned.items():
            if name not in open_yet:
                self._display.warning(_warning(name, why, loaded.lock.models.get(name)))
        changes = _lockfile.differences(loaded.lock, new)
        if changes:
            self._keep(folder, new)
            missing = not (loaded.lock.latest or loaded.lock.models)
            title = f"{NAME} {'would be ' if self._task.check_mode else ''}{'written' if missing else 'changed'}"
            lines = [f"{title}:", *(f"  {change}" for change in changes)]
            self._display.display("\n".join(lines), stderr=_live.for_machines())
        before = _lockfile_disk.text_of(loaded.lock) if loaded.lock != _lockfile.Lock() else ""
        after = _lockfile_disk.text_of(new)
        shown = after if before else f"({after.count(chr(10))} lines)\n"  # what it pins is named above
        diff = {"before_header": NAME, "after_header": NAME, "before": before, "after": shown}
        return {
            "changed": bool(changes),
            "changes": [dataclasses.asdict(change) for change in changes],
            "unpinned": unpinned,
            **({"diff": [diff]} if changes else {}),
        }

    def _keep(self, folder: str, new: _lockfile.Lock) -> None:
        """In the folder; for this run alone where nothing is to be written, or where it cannot be."""
        if not self._task.check_mode:
            try:
                return _lockfile_disk.write(folder, new)
            except EditError as error:
                self._display.warning(f"What was chosen counts for this run alone: {error}")
        try:
            return _lockfile_disk.write_draft(folder, new)
        except OSError as error:
            raise EditError(f"{error.filename}: cannot be written: {error.strerror}") from error


def _frozen(loaded: Loaded) -> dict[str, t.Any]:
    if not loaded.unlocked:
        return {"changed": False, "changes": [], "unpinned": {}, "ask": {}}
    return {
        "failed": True,
        "msg": f"{NAME} does not fit the configuration: {', '.join(loaded.unlocked)}. Run install without rbee_frozen "
        f"where the configuration is written, and put {NAME} into git",
    }


def _asked(loaded: Loaded, models: t.Sequence[Model]) -> dict[str, _lockfile.Pin | Unknown]:
    """What the hub says of these models."""
    if not models:
        return {}
    reference = loaded.fleet.hf_token
    token = resolve_secret(HUB_TOKEN, reference) if reference else ""
    return _hub_ask.ask(models, token, os.environ)


def _reasons(answers: t.Mapping[str, _lockfile.Pin | Unknown]) -> dict[str, str]:
    """The models of which the hub says nothing, with the reason."""
    return {name: str(answer) for name, answer in answers.items() if isinstance(answer, Unknown)}


def _warning(name: str, why: str, known: _lockfile.Pin | None) -> str:
    if known:
        return f"{name} is not renewed and stays at {known.commit[:12]}: {why}."
    return f"{name} is not locked, so each host takes what its revision is when it fetches it: {why}."
