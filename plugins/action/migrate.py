# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.migrate: writes a configuration of what was found on machines. Runs on the controller alone."""

from __future__ import annotations

import os
import pathlib
import shlex
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import (
    _config,
    _live,
    _load,
    _migrate_fleet,
    _place,
    _starter,
    _summary,
    _unrun,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate import Migration
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_fleet import Installed, Looked, MigrateError
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain

FORESEEN = (MigrateError, _place.PlaceError, ConfigError)


class ActionModule(ActionBase):
    """All of it or nothing: a machine that could not be looked at would be missing from the files for good."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "machines": {"type": "list", "elements": "dict", "required": True},
                "register": {"type": "str", "required": True},
                "fleet": {"type": "str", "default": ""},
                "without": {"type": "list", "elements": "str", "default": []},
                "ssh_config": {"type": "str", "default": ""},
                "notes": {"type": "list", "elements": "str", "default": []},
            }
        )
        try:
            return self._migrate(plain(options), _results(options, task_vars["hostvars"]))
        except FORESEEN as error:
            return {"failed": True, "msg": "Nothing was written. " + "; ".join(str(error).splitlines())}

    def _migrate(self, options: dict[str, t.Any], results: dict[str, t.Any]) -> dict[str, t.Any]:
        folder = str(options["folder"])
        looked = [
            _looked(Machine(**host["machine"]), results[host["machine"]["alias"]]) for host in options["machines"]
        ]
        found = _migrate_fleet.installed(looked, options["fleet"], options["without"])
        catalog = _load.merged_catalog(pathlib.Path(folder, "catalog"))
        migration = Migration(looked, found, catalog)
        files = _starter.files("", options["ssh_config"]) | migration.texts
        kept = _place.there(folder, [*files, _starter.KEY])
        texts = files | _place.texts(folder, [name for name in _config.FILES if name in kept])
        fleet = _config.parse({name: texts[name] for name in _config.FILES}, catalog, folder)
        notes = [*options["notes"], *_seen_less(results), *migration.notes, *_of_key(found, folder)]
        modes = dict.fromkeys(files, _place.OPEN)
        if not found.name and fleet.queen.api_key == f"file:{os.path.join(folder, _starter.KEY)}":
            files[_starter.KEY] = _place.new_key()
            modes[_starter.KEY] = _place.SECRET
        differing = [name for name in _config.FILES if name in kept and texts[name] != files[name]]
        if differing:
            notes.append(
                f"what was found is not what was kept: {', '.join(differing)}; to compare, write into another folder:"
                " -e config=NEW_FOLDER"
            )
        wanted = [name for name in files if name not in kept]
        if not self._task.check_mode:
            wanted = [name for name in wanted if _place.put(folder, name, files[name], modes[name])]
        left = [name for name in files if name not in wanted]
        summary = [f"{look.machine.alias}: {_migrate_fleet.summary(found, look)}" for look in looked]
        _live.show(self._display, [*summary, *_lines(folder, wanted, left, notes, self._task.check_mode)])
        return {
            "changed": bool(wanted),
            "folder": folder,
            "written": wanted,
            "kept": left,
            "found": summary,
            "notes": notes,
        }


def _results(options: t.Mapping[str, t.Any], hostvars: t.Any) -> dict[str, t.Any]:
    """What was registered of each machine. Raises MigrateError with all that could not be looked at."""
    results, lost = {}, []
    for host in options["machines"]:
        alias = str(host["machine"]["alias"])
        result = {"msg": "it was not part of the run", **(plain(hostvars[alias].get(options["register"])) or {})}
        if "engines" in result:
            results[alias] = result
        else:
            lost.append(f"{alias} could not be looked at: {_why(result)}")
    if lost:
        raise MigrateError("; ".join([*lost, "mend that, or leave them out with -e without=ALIAS,ALIAS"]))
    return results


def _why(result: t.Mapping[str, t.Any]) -> str:
    if result.get("unreachable"):
        return _summary.cause(str(result["msg"]))
    said = _unrun.said_of(result)
    found = _unrun.finding(said, root=said if "sudo" in said else "", python="")
    return f"{found.where}: {found.problem}; {found.fix}"


def _looked(machine: Machine, result: t.Mapping[str, t.Any]) -> Looked:
    return Looked(machine, result["installations"], result["engines"])


def _seen_less(results: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for alias, result in results.items():
        yield from (f"{alias}: {problem}" for problem in [*result["problems"], result["blind"]] if problem)


def _of_key(found: Installed, folder: str) -> t.Iterator[str]:
    if found.has_key:
        path = f"{found.prefix}/components/queen/current/files/keys"
        yield (
            f"{found.queen}: the queen asks for a key, which was not copied: put it into"
            f" {os.path.join(folder, _starter.KEY)}, readable by you alone; there it is in {path}, readable by root"
        )


def _lines(
    folder: str, written: t.Sequence[str], kept: t.Sequence[str], notes: t.Sequence[str], check: bool
) -> t.Iterator[str]:
    """What people read: what was done, what the files do not say, and what to do next."""
    if written:
        yield f"{folder}: {'would write' if check else 'wrote'} {', '.join(written)}"
    if kept:
        yield f"{folder}: kept as they are: {', '.join(kept)}"
    yield from (f"Note: {note}" for note in notes)
    if not check:
        yield f"Next: see to the notes and to {os.path.join(folder, _config.HIVES)}, then"
        yield f"  cd {shlex.quote(folder)}"
        yield "  ansible-playbook rbee.fleet.validate     # and then rbee.fleet.install --check --diff"
