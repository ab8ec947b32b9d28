# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to call the program that a host keeps in place of the module: the command, what it reads, what it says. Pure."""

from __future__ import annotations

import copy
import json
import shlex
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible_collections.rbee.fleet.plugins.module_utils._brief import brief
from ansible_collections.rbee.fleet.plugins.module_utils._bundle import MARK, NODE
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import SpecError, from_dict, to_dict


class Call:
    """One call. Secrets are in ``stdin``, never in the command."""

    def __init__(self, command: str, stdin: bytes, secrets: set[str]) -> None:
        self.command, self.stdin, self._secrets = command, stdin, secrets

    def answer(self, stdout: str) -> dict[str, t.Any] | None:
        """The module's result, with secrets made unreadable as in its own, or None when the program did not answer."""
        said = [line for line in stdout.splitlines() if line.startswith(MARK)]
        try:
            found = json.loads(said[-1][len(MARK) :]) if said else None
        except ValueError:
            return None
        return remove_values(found, self._secrets) if isinstance(found, dict) else None


def call_of(
    arguments: t.Mapping[str, t.Any], spec: t.Mapping[str, t.Any], check: bool, digest: str, environment: str
) -> Call | None:
    """None where only the module itself can do it, or say what is wrong with the arguments.

    spec: argument_spec of the module. digest: of the program. environment: what a shell sets before a command.
    """
    checked = ArgumentSpecValidator(_of_text(spec)).validate(dict(arguments))
    prefix = (checked.validated_parameters.get("take") or checked.validated_parameters).get("prefix", "")
    where = _quoted(prefix)
    if checked.error_messages or not where:
        return None
    try:
        stdin = json.dumps({"arguments": checked.validated_parameters, "check": check}).encode()
    except TypeError:
        return None
    program = f"{where}{Layout('/').node(digest)}/{NODE}"
    # Only what belongs to the user who runs it, so that nobody else decides what that is.
    command = f"if test -O {program}; then {environment} {program}; fi".replace("  ", " ")
    return Call(command, stdin, checked._no_log_values)


def in_brief(arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The arguments without what a host needs only where it has something to do; as they are where they are wrong."""
    try:
        shorter = {
            key: [to_dict(brief(from_dict(spec))) for spec in arguments[key]]
            for key in ("components", "tools")
            if arguments.get(key)
        }
    except (SpecError, TypeError):
        return dict(arguments)  # the host says what is wrong
    return {**arguments, **shorter}


def _of_text(spec: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An argument_spec whose paths are text: they are the host's, which expands them itself."""
    found: dict[str, t.Any] = copy.deepcopy(dict(spec))
    for option in found.values():
        if option.get("type") == "path":
            option["type"] = "str"
        if "options" in option:
            option["options"] = _of_text(option["options"])
    return found


def _quoted(prefix: str) -> str:
    """A folder for the host's shell, which knows its user's home; empty where it would have to know more."""
    home = "~" if prefix.startswith("~/") else ""
    if "$" in prefix or not prefix[len(home) :].startswith("/"):
        return ""
    return home + shlex.quote(prefix[len(home) :])
