# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converges as the module and its action plugin do: node_driver.py TREE COMMAND, with the arguments as JSON on stdin.

COMMAND: ``converge`` follows the process at work to its end; ``begin`` returns as soon as it works.
"""

from __future__ import annotations

import json
import sys

sys.path.insert(0, sys.argv[1])

from ansible_collections.rbee.fleet.plugins.module_utils import _converge, _manager, _request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import SpecError
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager


def main() -> None:
    _manager.detect = lambda _scope, prefix, environment: SupervisorManager(prefix, environment)
    events = []
    try:
        arguments = json.load(sys.stdin)
        if "take" in arguments:
            answer = _converge.take(**arguments["take"])
        else:
            answer = _converge.converge(_request.parse(arguments), False, 0.2)
        events += answer.pop("events", ())
        while "again" in answer and sys.argv[2] == "converge":
            arguments["lock_timeout"] = answer["again"]
            answer = _converge.converge(_request.parse(arguments), False, 0.2)
            events += answer.pop("events", ())
        while "follow" in answer and sys.argv[2] == "converge":
            attached = answer.get("attached", False)
            answer = {**_converge.follow(**answer["follow"], wait=5.0), "attached": attached}
            events += answer.pop("events", ())
    except (_converge.ConvergeError, SpecError) as error:
        answer = {"failed": True, "msg": str(error)}
    json.dump({**answer, "events": events}, sys.stdout)


main()
