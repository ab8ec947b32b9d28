# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.init: writes the files of a new fleet. Runs on the controller alone."""

from __future__ import annotations

import os
import pathlib
import shlex
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds
from ansible_collections.rbee.fleet.plugins.plugin_utils import (
    _config,
    _fleet,
    _gather,
    _given,
    _live,
    _load,
    _machine,
    _place,
    _sshconf,
    _starter,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError

FORESEEN = (_given.GivenError, _sshconf.SshError, _place.PlaceError, ConfigError)


class ActionModule(ActionBase):
    """Reads what is given, renders, loads the outcome to be sure of it, and only then writes."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "config": {"type": "str", "default": "~/.config/rbee"},
                **_gather.OPTIONS,
            }
        )
        try:
            return self._init(options)
        except FORESEEN as error:
            return {"failed": True, "msg": "; ".join(str(error).splitlines())}

    def _init(self, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        folder = _gather.absolute(options["config"])
        given = _gather.gather(options, self._loader, self._templar)
        machines, notes = given.machines, given.notes
        _given.apart(machines)
        kept = _place.there(folder, [*_starter.files(""), _starter.KEY])
        catalog = _load.merged_catalog(pathlib.Path(folder, "catalog"))
        described = _starter.hives(machines) if machines else _starter.local(catalog, set(_gpu_kinds.kinds()))
        files = _starter.files(described, given.ssh_config)
        texts = files | _place.texts(folder, [name for name in _config.FILES if name in kept])
        fleet = _config.parse({name: texts[name] for name in _config.FILES}, catalog, folder)
        notes += _not_taken(machines, fleet)
        if given.ssh_config and _starter.SETTINGS in kept:
            notes.append(
                f"{_starter.SETTINGS} is kept: ssh has to be told of {given.ssh_config} there (ssh_common_args)"
            )
        modes = dict.fromkeys(files, _place.OPEN)
        if fleet.queen.api_key == f"file:{os.path.join(folder, _starter.KEY)}":
            files[_starter.KEY] = _place.new_key()
            modes[_starter.KEY] = _place.SECRET
        wanted = [name for name in files if name not in kept]
        if not self._task.check_mode:
            wanted = [name for name in wanted if _place.put(folder, name, files[name], modes[name])]
        shown = lines(folder, wanted, [name for name in files if name not in wanted], notes, self._task.check_mode)
        _live.show(self._display, shown)
        return {
            "changed": bool(wanted),
            "folder": folder,
            "written": wanted,
            "kept": [name for name in files if name not in wanted],
            "notes": notes,
        }


def lines(
    folder: str, written: t.Sequence[str], kept: t.Sequence[str], notes: t.Sequence[str], check: bool
) -> list[str]:
    """What people read: what was done, and what to do next."""
    done = [f"{folder}: {'would write' if check else 'wrote'} {', '.join(written)}"] if written else []
    done += [f"{folder}: kept as they are: {', '.join(kept)}"] if kept else []
    next_steps = [
        f"Next: see to {os.path.join(folder, _config.HIVES)}, then",
        f"  cd {shlex.quote(folder)}",
        "  ansible-playbook rbee.fleet.validate     # and then rbee.fleet.install; add -K where sudo wants a password",
    ]
    return done + [f"Note: {note}" for note in notes] + ([] if check else next_steps)


def _not_taken(machines: t.Sequence[_machine.Machine], fleet: _fleet.Fleet) -> list[str]:
    """What was given and is not in the hives.conf that was there before."""
    known = {hive.hostname for hive in fleet.hives}
    missing = [machine.hostname for machine in machines if machine.hostname not in known]
    return [f"{_config.HIVES} is kept, add to it by hand: {', '.join(missing)}"] if missing else []
