# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of rbee.fleet.components: secrets, scope by tags, files of the controller, the journal."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import platform
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.rbee.fleet.plugins.module_utils import _needs, _store, _supply
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._request import ABSENT, HOST, IGNORE, Outcome, result
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, human
from ansible_collections.rbee.fleet.plugins.module_utils._spec import SpecError, from_dict
from ansible_collections.rbee.fleet.plugins.module_utils._target import TargetError
from ansible_collections.rbee.fleet.plugins.plugin_utils import _summary
from ansible_collections.rbee.fleet.plugins.plugin_utils._depot import Depot, default_folder
from ansible_collections.rbee.fleet.plugins.plugin_utils._parcels import pack
from ansible_collections.rbee.fleet.plugins.plugin_utils._tags import KINDS_OF_TAG, kinds_of

MODULE = "rbee.fleet.components"
NOT_WELL = (_summary.FAILED, _summary.UNREACHABLE)
SHORTEST_SECRET = 8  # characters; Ansible also hides the value wherever it appears, which short ones make unreadable


class ActionModule(ActionBase):
    """Runs the module until the process at work on the host has ended."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        try:
            return self._run(task_vars)
        except AnsibleActionFail as error:
            # A result and no exception, which would end the play before its summary.
            return {"failed": True, "msg": str(error)}

    def _run(self, task_vars: t.Any) -> dict[str, t.Any]:
        arguments = dict(self._task.args)
        arguments["controller"] = f"{getpass.getuser()}@{platform.node()}"
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
        if kinds is not None:
            narrowed = _narrowed(arguments, kinds)
            if not narrowed:
                return result([Outcome(HOST, HOST)])
            arguments.update(narrowed)
        return self._converge(arguments, task_vars)

    def _converge(self, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        changed, waited_for = False, ""
        supplies: dict[str, list[dict[str, t.Any]]] = {}
        answer = self._module(arguments, task_vars)
        while True:
            events = [event for event in answer.pop("events", ()) if event.get("reason") != waited_for]
            self._tell(events, task_vars["inventory_hostname"])
            if "again" in answer:
                waited_for = next((event["reason"] for event in events), waited_for)
                arguments["lock_timeout"] = answer["again"]
                answer = self._module({**arguments, "supplies": supplies}, task_vars)
            elif "needs" in answer:
                answer = self._bring(answer, supplies, arguments, task_vars)
            elif "follow" in answer:
                changed = True
                answer = self._module({"follow": answer["follow"]}, task_vars)
            else:
                break
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if changed and answer.get("failed"):
            answer["changed"] = True  # how far it came is not known
        return answer

    def _module(self, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        return dict(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))

    def _bring(
        self,
        answer: t.Mapping[str, t.Any],
        supplies: dict[str, list[dict[str, t.Any]]],
        arguments: dict[str, t.Any],
        task_vars: t.Any,
    ) -> dict[str, t.Any]:
        """Obtain what the host lacks, copy what is not there yet, and ask again. supplies: of all rounds so far."""
        host = task_vars["inventory_hostname"]
        files: dict[str, str] = {}
        sizes: dict[str, int] = {}
        try:
            depot = self._depot(arguments, host)
            for need in map(_needs.need_from, answer["needs"]):
                if need.id in supplies:
                    raise SourceError("another run has used up what was brought to the host; run again")
                self._display.v(f"host: obtain {_supply.describe(need.source)}", host=host)
                stock = depot.obtain(need, anew=bool(arguments.get("force")))
                supplies[need.id] = [dataclasses.asdict(item) for item in stock]
                files.update({item.sha256: path for item, path in stock.items()})
                sizes.update({item.sha256: item.size for item in stock if item.sha256 not in answer["held"]})
            for names in pack(sizes):
                size = human(sum(sizes[name] for name in names))
                self._display.v(f"host: copy {len(names)} file{'s' * (len(names) > 1)}, {size}", host=host)
                taken = self._send(depot, {name: files[name] for name in names}, arguments, task_vars)
                if taken.get("failed"):
                    return taken
        except (SourceError, SpecError, TargetError, _store.StoreError, OSError) as error:
            raise AnsibleActionFail(f"on the controller: {error}") from error
        return self._module({**arguments, "supplies": supplies}, task_vars)

    def _depot(self, arguments: t.Mapping[str, t.Any], host: str) -> Depot:
        def say(what: str, done: int, total: int) -> None:
            self._display.vv(f"controller: {what} {f'{human(done)} of {human(total)}' if total else ''}", host=host)

        tools = {tool.name: tool for tool in map(from_dict, arguments.get("tools") or ())}
        return Depot(default_folder(), tools, arguments["secrets"].get(HUB_TOKEN, ""), say)

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
        take = {"prefix": arguments.get("prefix", "/opt/rbee"), "files": {remote: sha256}}
        return self._module({"take": take}, task_vars)

    def _dict(self, name: str) -> t.Mapping[str, t.Any]:
        value = self._task.args.get(name) or {}
        if not isinstance(value, t.Mapping):
            raise AnsibleActionFail(f"{name}: expected a dictionary")
        return value

    def _tell(self, events: t.Iterable[t.Mapping[str, t.Any]], host: str) -> None:
        for event in events:
            name = event.get("component", "host")
            if event["event"] == "step":
                self._display.v(f"{name}: {event['step']} {event['detail']}".rstrip(), host=host)
            elif event["event"] == "progress":
                self._display.vv(f"{name}: {event['what']} {event['done']} of {event['total'] or '?'}", host=host)
            elif event["event"] == "waiting":
                self._display.display(f"{host}: waiting for {event['reason']}")


def _narrowed(arguments: t.Mapping[str, t.Any], kinds: set[str]) -> dict[str, t.Any]:
    """The arguments that leave only these kinds; none at all when the host has nothing of them."""
    if arguments.get("state") == ABSENT:
        return {"kinds": sorted(kinds)}
    if arguments.get("extra", IGNORE) != IGNORE:  # whether it has something of them that is not declared only it knows
        return {"kinds": sorted(kinds)}
    components = arguments.get("components") or ()
    for index, item in enumerate(components):
        if not isinstance(item, t.Mapping) or not {"name", "kind"} <= item.keys():
            raise AnsibleActionFail(f"components[{index}]: expected a specification, which has a name and a kind")
    names = {item["name"] for item in components if item["kind"] in kinds}
    chosen = sorted(names & set(arguments.get("names") or names))
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


def resolve_secret(name: str, reference: str) -> str:
    """The value of ``env:NAME`` or ``file:PATH``; a vaulted variable is its own value. Errors never show a value."""
    scheme, _colon, where = reference.partition(":")
    if scheme == "env":
        if where not in os.environ:
            raise AnsibleActionFail(f"secret {name}: the environment variable {where} is not set on the controller")
        return usable_secret(name, os.environ[where], reference)
    if scheme == "file":
        try:
            with open(os.path.expanduser(where), encoding="utf-8") as stream:
                value = stream.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise AnsibleActionFail(f"secret {name}: {where} cannot be read: {reason}") from None
        return usable_secret(name, value, reference)
    return usable_secret(name, reference, "its value")


def usable_secret(name: str, value: str, where: str) -> str:
    """The value, if a client can send it in a header and nobody guesses it at once."""
    value = value.strip()
    if len(value) < SHORTEST_SECRET or value.startswith("#") or not value.isprintable() or " " in value:
        raise AnsibleActionFail(
            f"secret {name}: {where} holds no usable key; expected one line of {SHORTEST_SECRET} characters or more "
            f"without spaces, not beginning with #"
        )
    return value
