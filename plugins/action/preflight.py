# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of rbee.fleet.preflight: secrets, files, the way to the host, why a module cannot run there."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
import typing as t

from ansible import constants
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils._finding import Finding
from ansible_collections.rbee.fleet.plugins.plugin_utils import _clues, _findings, _reach, _secrets, _unrun

MODULE = "rbee.fleet.preflight"


class ActionModule(ActionBase):
    """Each step only where the one before it led on, so that a host has the cause and not its consequences."""

    _supports_check_mode = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        secrets = {str(name): str(item) for name, item in (arguments.pop("secrets", None) or {}).items()}
        here = _secrets.secret_findings(secrets)
        sizes, missing = files_of(arguments.get("components") or ())
        arguments.update(sizes=sizes, now=time.time())
        theirs, there = self._host(arguments, task_vars)
        # As of an installation: what the host has needs no file here.
        needed = [one for one in missing if one.where not in there]
        ours = [_row(one, _findings.CONTROLLER) for one in (*here, *needed)]
        return {"changed": False, "findings": ours + theirs}

    def _host(self, arguments: dict[str, t.Any], task_vars: t.Any) -> tuple[list[dict[str, str]], list[str]]:
        """What is found there, and the components of which it needs nothing."""
        route = self._route() if self._connection.transport == "ssh" else None
        lost = _reach.reach(route) if route else []
        if lost:
            blind = [] if _clues.available() else [_row(_clues.MISSING, _findings.CONTROLLER)]
            return [*blind, *(_row(one) for one in lost)], []
        try:
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            if "findings" in answer:
                return list(answer["findings"]), list(answer["there"])
            said = _unrun.said_of(answer)
        except AnsibleConnectionFailure as error:
            if route:
                return [_row(_reach.explain(route, str(error)))], []
            said = str(error)
        except AnsibleError as error:
            said = str(error)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return [_row(_unrun.finding(said, *self._look_why(task_vars)))], []

    def _route(self) -> _reach.Route:
        """What Ansible's ssh connection would do, in the same order of precedence."""
        option = self._connection.get_option
        words = [
            word
            for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")
            for word in shlex.split(option(name) or "")
        ]
        if not option("host_key_checking"):
            words += ["-o", "StrictHostKeyChecking=no"]
        values = {"port": option("port"), "user": option("remote_user"), "key": option("private_key_file")}
        return _reach.Route(
            destination=str(option("host")),
            arguments=_reach.options_of(words, values),
            executable=str(option("ssh_executable") or "ssh"),
            timeout=float(option("timeout") or constants.DEFAULT_TIMEOUT),
            log_in=not option("password"),
        )

    def _look_why(self, task_vars: t.Any) -> tuple[str, str]:
        """What becoming root and the host's Python say, each empty when it works."""
        return self._try(_unrun.AS_ROOT, True), self._try(_unrun.PYTHON, False)

    def _try(self, command: str, become: bool) -> str:
        try:
            done = self._low_level_execute_command(command, sudoable=become)
        except AnsibleError as error:
            return str(error)
        if done["rc"] == 0:
            return ""
        return str(done["stderr"] or done["stdout"] or f"exit status {done['rc']}")


def files_of(components: t.Iterable[t.Mapping[str, t.Any]]) -> tuple[dict[str, int], list[Finding]]:
    """Bytes of the controller's files that hosts are to get, by path, and a finding for each that is not there."""
    sizes: dict[str, int] = {}
    missing = []
    for component in components:
        for path in _paths(component):
            try:
                sizes[path] = os.stat(path).st_size
            except OSError as error:
                missing.append(
                    Finding(
                        str(component.get("name", "")), f"{path} cannot be read: {error.strerror}", "correct its path"
                    )
                )
    return sizes, list(dict.fromkeys(missing))


def _paths(component: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for variant in component.get("variants") or ():
        for source in (variant.get("sources") or {}).values():
            for one in (source, *(source.get("also") or ())):
                if one.get("path"):
                    yield str(one["path"])


def _row(finding: Finding, host: str = "") -> dict[str, str]:
    row: dict[str, str] = dataclasses.asdict(finding)
    return {**row, "host": host} if host else row
