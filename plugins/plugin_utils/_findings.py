# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a validation found on every host, for people and for machines. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import ERROR
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import one_line

CONTROLLER = "controller"
SCHEMA = 1

Row = dict[str, str]
"""``host``, ``where``, ``severity``, ``problem``, ``fix``."""


def rows(results: t.Mapping[str, t.Mapping[str, t.Any] | None]) -> list[Row]:
    """Every finding once, errors before warnings, hosts in the order given. results: what each host registered."""
    found: list[Row] = []
    for host, result in results.items():
        for finding in _findings(result):
            row = {key: one_line(str(finding.get(key, ""))) for key in ("where", "severity", "problem", "fix")}
            row = {"host": str(finding.get("host") or host), **row}
            if row not in found:  # what is wrong with the controller shows for every host that it concerns
                found.append(row)
    return sorted(
        found,
        key=lambda row: (
            row["host"] != CONTROLLER,
            list(results).index(row["host"]) if row["host"] in results else -1,
            row["severity"] != ERROR,
        ),
    )


def _findings(result: t.Mapping[str, t.Any] | None) -> list[t.Mapping[str, t.Any]]:
    if result and "findings" in result:
        return list(result["findings"])
    said = (result or {}).get("msg") or "it was not looked at"
    return [{"where": "host", "severity": ERROR, "problem": str(said), "fix": ""}]


def broken(results: t.Mapping[str, t.Mapping[str, t.Any] | None]) -> list[str]:
    """The hosts on which an installation would fail."""
    return [
        host for host, result in results.items() if any(found.get("severity") == ERROR for found in _findings(result))
    ]


def lines(found: t.Sequence[Row], hosts: int) -> list[str]:
    """What people read: a line for each finding, as in ``gpu-2  error  ssh: host key changed …; fix``, and the sum."""
    width = max((len(row["host"]) for row in found), default=0)
    out = []
    for row in found:
        said = "; ".join(filter(None, (row["problem"], row["fix"])))
        out.append(f"{row['host']:<{width}}  {row['severity']:<7}  {row['where']}: {said}")
    errors = sum(row["severity"] == ERROR for row in found)
    looked = f"{hosts} host{'s' if hosts != 1 else ''} looked at"
    return [*out, f"{looked}: {_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}"]


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' if number != 1 else ''}"


def document(found: t.Sequence[Row], fleet: str, hosts: t.Iterable[str], time: str) -> dict[str, t.Any]:
    """The result file. time: ISO 8601, UTC."""
    return {
        "schema": SCHEMA,
        "fleet": fleet,
        "time": time,
        "hosts": list(hosts),
        "findings": [dict(row) for row in found],
    }
