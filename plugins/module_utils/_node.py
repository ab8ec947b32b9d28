# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rbee.fleet.components does on a host, in the two ways in which the controller starts it.

Ansible's module calls answer(). The program ``rbee-node``, which a host keeps (see _kept), is main(): on stdin one JSON
object ``{"arguments": {...}, "check": bool}`` with arguments that the controller has checked; on stdout one line with
the result. Any other end of the program means that it did not answer; the module then does the same.
"""

from __future__ import annotations

import json
import os
import sys
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _converge, _request, _spec

# Whoever carries this library to a host takes along what is imported anywhere; a host builds rbee-hive from it.
if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.module_utils import _agent

    CARRIED = _agent

WAIT = 5.0  # seconds that one call waits for the process at work before it tells the controller how far things are


def answer(arguments: t.Mapping[str, t.Any], check: bool) -> dict[str, t.Any]:
    """The result of one call, for the arguments of rbee.fleet.components."""
    following, taking = arguments["follow"], arguments["take"]
    try:
        if following:
            found = _converge.follow(following["journal"], following["offset"], WAIT)
        elif taking:
            found = _converge.take(taking["prefix"], taking["files"])
        else:
            found = _converge.converge(_request.parse(arguments), check, WAIT)
    except (_converge.ConvergeError, _spec.SpecError) as error:
        return {"changed": False, "failed": True, "msg": str(error)}
    return {"changed": False, **found}


def main(words: t.Sequence[str]) -> int:
    """words: none, or ``compile`` and a path, where this program is written with what this interpreter compiles."""
    if words[:1] == ["compile"]:
        _bundle.write_compiled(sys.argv[0], words[1])
        return 0
    call = json.load(sys.stdin)
    said = answer(expanded(call["arguments"]), call["check"])
    sys.stdout.write(f"{_bundle.MARK}{json.dumps(said)}\n")
    return 0


def expanded(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with the folder of the installation as this host has it, as Ansible does for modules."""
    for place in (arguments, arguments["take"] or {}):
        if place.get("prefix"):
            place["prefix"] = os.path.expanduser(place["prefix"])
    return arguments
