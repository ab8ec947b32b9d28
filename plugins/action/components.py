# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of rbee.fleet.components: secrets, scope by tags, files of the controller, the journal."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _events, _store
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._request import ABSENT, HOST, IGNORE, Outcome, result
from ansible_collections.rbee.fleet.plugins.modules.components import argument_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils import _kept_program, _live, _summary
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import SecretError, resolve_secret
from ansible_collections.rbee.fleet.plugins.plugin_utils._tags import KINDS_OF_TAG, kinds_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._user import user

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._depot import Depot

MODULE = "rbee.fleet.components"
PREFIX = argument_spec()["prefix"]["default"]
PROGRAM = _bundle.digest_of(_bundle.NODE)  # here, since Ansible loads this file once and then forks for each host
NOT_WELL = (_summary.FAILED, _summary.UNREACHABLE)


class ActionModule(ActionBase):
    """Runs the module, or the program that the host keeps of it, until the process at work on the host has ended."""

    _kept = False  # whether to try that program
    _brief = True  # until the host has something to do

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        try:
            return self._run(task_vars)
        except AnsibleConnectionFailure:
            raise  # a result of its own: unreachable
        except (AnsibleError, SecretError) as error:
            # Also of a wrong password for sudo. A result and no exception, which would end the play before its summary.
            return {"failed": True, "msg": str(error)}

    def _run(self, task_vars: t.Any) -> dict[str, t.Any]:
        arguments = dict(self._task.args)
        arguments["controller"] = f"{user()}@{platform.node()}"
        arguments["secrets"] = {name: resolve_secret(name, str(ref)) for name, ref in self._dict("secrets").items()}
        broken = broken_of(arguments.pop("after", None) or {}, task_vars)
        if broken:
            return {"failed": True, "msg": f"not switched, because {', '.join(broken)} failed in an earlier wave"}
        retry_from = str(arguments.pop("retry_from", "") or "")
        if retry_from:
            failed = failed_in(retry_from).get(task_vars["inventory_hostname"])
            if failed is None:
                return {"skipped": True, "msg": "it did not fail in the last run"}
            arguments["names"] = failed
        # Only a task that carries all of these tags leaves it to us which of its components were asked for.
        selects = KINDS_OF_TAG.keys() <= set(self._task.tags)
        kinds = kinds_of(task_vars.get("ansible_run_tags", ())) if selects else None
        only = arguments.pop("only", None) or ()
        if kinds is not None or only:
            narrowed = _narrowed(arguments, kinds, only)
            if not narrowed:
                return result([Outcome(HOST, HOST)])
            arguments.update(narrowed)
        return self._converge(arguments, task_vars)

    def _converge(self, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        hosts, names = task_vars.get("ansible_play_hosts_all") or (), names_in(arguments)
        self._live = _live.Live(self._display, task_vars["inventory_hostname"], hosts, names)
        self._kept = self._may_keep()
        if self._kept:
            arguments["program"] = PROGRAM
        changed, waited_for = False, ""
        supplies: dict[str, list[dict[str, t.Any]]] = {}
        answer = self._module(arguments, task_vars)
        while True:
            said = {"event": _events.WAITING, "reason": waited_for}
            events = [event for event in answer.pop("events", ()) if not said.items() <= event.items()]
            self._live.tell(events)
            if "again" in answer:
                waited_for = next((event["reason"] for event in events), waited_for)
                arguments["lock_timeout"] = answer["again"]
                answer = self._module({**arguments, "supplies": supplies}, task_vars)
            elif "needs" in answer:
                answer = self._bring(answer, supplies, arguments, task_vars)
            elif "follow" in answer:
                changed = True
                self._kept = self._may_keep()  # what was begun keeps the program before all that takes long
                follow = {"follow": answer["follow"], "prefix": arguments.get("prefix", PREFIX)}
                answer = self._module(follow, task_vars)
            else:
                break
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if changed and answer.get("failed"):
            answer["changed"] = True  # how far it came is not known
        return answer

    def _module(self, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        answer = None
        if self._kept:
            answer = self._ask_kept(_kept_program.in_brief(arguments) if self._brief else arguments)
            if answer and "full" in answer:
                self._brief = False
                answer = self._ask_kept(arguments)
        self._kept = answer is not None
        if answer is None:
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return dict(answer)

    def _may_keep(self) -> bool:
        """Whether what the host keeps can be called with the arguments on its stdin, by a shell that we know."""
        pipelining = self._is_pipelining_enabled("new") and not self._task.async_val
        return bool(pipelining and self._connection._shell.SHELL_FAMILY == "sh")

    def _ask_kept(self, arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
        """None when the host has no such program, or when it did not answer: then the module can, or says why not."""
        environment = self._compute_environment_string()
        call = _kept_program.call_of(arguments, argument_spec(), self._task.check_mode, PROGRAM, environment)
        if call is None:
            return None
        done = self._low_level_execute_command(call.command, in_data=call.stdin)
        answer = call.answer(done["stdout"])
        return None if answer is None else wrap_var(answer)

    def _bring(
        self,
        answer: t.Mapping[str, t.Any],
        supplies: dict[str, list[dict[str, t.Any]]],
        arguments: dict[str, t.Any],
        task_vars: t.Any,
    ) -> dict[str, t.Any]:
        """Obtain what the host lacks, copy what is not there yet, and ask again. supplies: of all rounds so far."""
        # Not at the top: few runs bring something, and Ansible compiles what it imports from a collection each time.
        from ansible_collections.rbee.fleet.plugins.module_utils import _needs, _supply
        from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, human
        from ansible_collections.rbee.fleet.plugins.module_utils._spec import SpecError
        from ansible_collections.rbee.fleet.plugins.module_utils._target import TargetError
        from ansible_collections.rbee.fleet.plugins.plugin_utils._parcels import pack

        files: dict[str, str] = {}
        sizes: dict[str, int] = {}
        try:
            depot = self._depot(arguments)
            for need in map(_needs.need_from, answer["needs"]):
                if need.id in supplies:
                    raise SourceError("another run has used up what was brought to the host; run again")
                self._live.tell_step(_events.OBTAIN, _supply.describe(need.source))
                stock = depot.obtain(need, anew=bool(arguments.get("force")))
                supplies[need.id] = [dataclasses.asdict(item) for item in stock]
                files.update({item.sha256: path for item, path in stock.items()})
                sizes.update({item.sha256: item.size for item in stock if item.sha256 not in answer["held"]})
            for names in pack(sizes):
                size = human(sum(sizes[name] for name in names))
                self._live.tell_step(_events.COPY, f"{len(names)} file{'s' * (len(names) > 1)}, {size}")
                taken = self._send(depot, {name: files[name] for name in names}, arguments, task_vars)
                if taken.get("failed"):
                    return taken
        except (SourceError, SpecError, TargetError, _store.StoreError, OSError) as error:
            raise AnsibleActionFail(f"on the controller: {error}") from error
        return self._module({**arguments, "supplies": supplies}, task_vars)

    def _depot(self, arguments: t.Mapping[str, t.Any]) -> Depot:
        from ansible_collections.rbee.fleet.plugins.module_utils._spec import from_dict
        from ansible_collections.rbee.fleet.plugins.plugin_utils._depot import Depot, default_folder

        tools = {tool.name: tool for tool in map(from_dict, arguments.get("tools") or ())}
        return Depot(default_folder(), tools, arguments["secrets"].get(HUB_TOKEN, ""), self._live.tell_progress)

    def _send(
        self, depot: Depot, files: t.Mapping[str, str], arguments: t.Mapping[str, t.Any], task_vars: t.Any
    ) -> dict[str, t.Any]:
        """Copy one parcel to the host, which takes it in. files: path by digest."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        tmpdir = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(tmpdir, "parcel")
        several = len(files) > 1
        sha256, path = ("", "") if several else next(iter(files.items()))
        with depot.parcel(files) if several else contextlib.nullcontext(path) as local:
            self._transfer_file(local, remote)
        self._fixup_perms2((tmpdir, remote), execute=False)
        take = {"prefix": arguments.get("prefix", PREFIX), "files": {remote: sha256}}
        return self._module({"take": take}, task_vars)

    def _dict(self, name: str) -> t.Mapping[str, t.Any]:
        value = self._task.args.get(name) or {}
        if not isinstance(value, t.Mapping):
            raise AnsibleActionFail(f"{name}: expected a dictionary")
        return value


def names_in(arguments: t.Mapping[str, t.Any]) -> list[str]:
    """The names of the components that a task is about, as far as it says."""
    return [
        str(item["name"])
        for item in arguments.get("components") or ()
        if isinstance(item, t.Mapping) and "name" in item
    ]


def _narrowed(arguments: t.Mapping[str, t.Any], kinds: set[str] | None, only: t.Collection[str]) -> dict[str, t.Any]:
    """The arguments that leave only these kinds and names; none at all when the host has nothing of them.

    kinds: None for all; those of the arguments bound them. only: empty for all.
    """
    if arguments.get("state") == ABSENT or arguments.get("extra", IGNORE) != IGNORE:
        # Whether it has something of them that is not declared only the host knows.
        if kinds is not None and arguments.get("kinds"):
            kinds = kinds.intersection(arguments["kinds"])
            if not kinds:
                return {}
        return {key: sorted(chosen) for key, chosen in (("kinds", kinds), ("names", only)) if chosen}
    components = arguments.get("components") or ()
    for index, item in enumerate(components):
        if not isinstance(item, t.Mapping) or not {"name", "kind"} <= item.keys():
            raise AnsibleActionFail(f"components[{index}]: expected a specification, which has a name and a kind")
    names = {item["name"] for item in components if kinds is None or item["kind"] in kinds}
    wanted = [chosen for chosen in (only, arguments.get("names")) if chosen]
    chosen = sorted(names.intersection(*wanted))
    return {"names": chosen} if chosen else {}


def broken_of(after: t.Mapping[str, t.Any], task_vars: t.Any) -> list[str]:
    """The hosts of earlier waves whose result is not good."""
    hosts, register = after.get("hosts") or (), str(after.get("register", ""))
    results = {str(host): task_vars["hostvars"][host].get(register) for host in hosts}
    return sorted(host for host, found in results.items() if _summary.host_report(found)["state"] in NOT_WELL)


def failed_in(path: str) -> dict[str, list[str]]:
    """What a result file says failed: components by host, none for a host that failed as a whole."""
    try:
        failed = _store.read_json(os.path.expanduser(path))
    except _store.StoreError as error:
        raise AnsibleActionFail(f"{error}; remove it and run without rbee_retry_failed") from None
    if failed is None:
        raise AnsibleActionFail(f"there is no result of a last run in {path}; run without rbee_retry_failed")
    if not isinstance(failed.get("failed"), dict):
        raise AnsibleActionFail(f"{path} is no result of a run; remove it and run without rbee_retry_failed")
    return dict(failed["failed"])
