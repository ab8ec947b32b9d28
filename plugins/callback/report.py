# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: report
type: aggregate
short_description: Show what each hive is doing while it is at work
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Shows lines while M(rbee.fleet.components) works on a host, such as how far a download is, that an environment is
    built, or what a health check was answered last.
  - It is no stdout callback. The output of everything else stays as it is, and so does the one that you have chosen.
  - Says nothing of other tasks. The summary at the end comes with or without it.
  - On a terminal it tells progress every few seconds; elsewhere, as in the log of a CI job, about every quarter.
  - With C(-v) every step has its line, with C(-vv) all progress.
  - Where the stdout callback writes JSON, the lines go to standard error.
requirements:
  - To be enabled, with C(callbacks_enabled) in the section C([defaults]) of C(ansible.cfg), or with the environment
    variable E(ANSIBLE_CALLBACKS_ENABLED).
options:
  interval:
    description:
      - Seconds between two lines of progress of one component on a terminal, at least; twice as many elsewhere.
      - With more than 5 hosts on a terminal it grows with their number.
    type: float
    default: 5
    env:
      - name: RBEE_REPORT_INTERVAL
    ini:
      - section: rbee_report
        key: interval
seealso:
  - module: rbee.fleet.components
  - module: rbee.fleet.summary
"""

EXAMPLES = r"""
# In ansible.cfg:
#
#   [defaults]
#   callbacks_enabled = rbee.fleet.report
"""

import sys
import typing as t

from ansible.plugins.callback import CallbackBase
from ansible_collections.rbee.fleet.plugins.plugin_utils import _live, _report


class CallbackModule(CallbackBase):
    """Decides how the lines look; the tasks that know something make them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rbee.fleet.report"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        stream = sys.stderr if _live.for_machines() else sys.stdout
        _live.look = _report.Look(stream.isatty(), self.get_option("interval"), self._display.verbosity)
