# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before and after of the files that a plan writes, as Ansible shows them with ``--diff``. Reads only."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._plan import UNIT as UNIT_STEP
from ansible_collections.rbee.fleet.plugins.module_utils._plan import WRITE
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey
from ansible_collections.rbee.fleet.plugins.module_utils._target import UNIT

HIDDEN = "(secret)\n"
LONG = 300  # lines of a new file from which on only their number is shown: the page, the catalog and their like


def diff_of(found: Survey) -> list[dict[str, str]]:
    """One entry a file that changes. A secret shows that it changed, never what it was or is."""
    entries: list[dict[str, str]] = []
    for name, plan in found.plans.items():
        if name not in found.targets:
            continue
        target = found.targets[name]
        current = found.layout.current(name)
        if plan.has(WRITE):
            for path, content in sorted(target.contents.items()):
                if path != UNIT:
                    entries += _entry(
                        f"{name}/{path}", _store.read_text(os.path.join(current, path)), content.text, content.secret
                    )
        if plan.has(UNIT_STEP):
            entries += _entry(found.manager.unit_path(name), found.seen[name].unit, target.unit, False)
    return entries


def _entry(where: str, before: t.Optional[str], after: str, secret: bool) -> list[dict[str, str]]:
    if before == after:
        return []
    if secret:
        before, after = None if before is None else "(old secret)\n", HIDDEN
    elif before is None and after.count("\n") >= LONG:
        after = f"({after.count(chr(10))} lines)\n"
    return [{"before_header": where, "after_header": where, "before": before or "", "after": after}]
