# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rbee.fleet.one_off: a hive or a worker of the command line. Runs on the controller alone."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config_files, _live, _load, _one_off, _one_off_given
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import EditError
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._results import plain


class ActionModule(ActionBase):
    """Checks what -e says, and writes it into the files or takes it out."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "what": {"type": "str", "choices": ["hive", "worker"], "required": True},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            }
        )
        what, present = options["what"], options["state"] == "present"
        try:
            given = {
                name: plain(self._templar.template(value)) for name, value in load_extra_vars(self._loader).items()
            }
            _one_off_given.check_names(_one_off_given.NAMES[what, present], given)
            place = pathlib.Path(options["folder"])
            texts, catalog = _load.read_texts(place), _load.catalog_of(place)
            find = _one_off.installed if present else _one_off.removed
            found = find(what, _one_off_given.typed(given), texts, catalog, str(place))
            diff = _config_files.change(str(place), found.files, self._task.check_mode, found.temporary)
        except (EditError, ConfigError) as error:
            return {"failed": True, "msg": "Nothing was changed. " + "; ".join(str(error).splitlines())}
        files = [entry["after_header"] for entry in diff]
        if files:
            _live.show(self._display, [f"{what} {found.name}: {told(diff, self._task.check_mode)}"])
        hosts = {host: list(names) for host, names in found.hosts.items()}
        # A pattern without hosts where nothing was written: the inventory does not have them.
        pattern = "rbee:!rbee" if self._task.check_mode else ":".join(hosts)
        about = {
            "hosts": hosts,
            "pattern": pattern,
            "name": found.name,
            "declared": found.declared,
            "file": found.place,
        }
        return {"changed": bool(diff), "files": files, "diff": diff, **about}


def told(diff: t.Sequence[t.Mapping[str, str]], check: bool) -> str:
    """What becomes of the files; one without content goes."""
    kept, gone = ([entry["after_header"] for entry in diff if bool(entry["after"]) is there] for there in (True, False))
    parts = [f"{'would write' if check else 'wrote'} {', '.join(kept)}"] if kept else []
    parts += [f"{'would remove' if check else 'removed'} {', '.join(gone)}"] if gone else []
    return "; ".join(parts)
