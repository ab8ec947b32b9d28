# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's command line prints for people. Pure."""

from __future__ import annotations

import typing as t

HEAD = ("NAME", "STATE", "HEALTH", "VERSION", "ADDRESS", "MODEL")


def state_text(state: t.Mapping[str, t.Any]) -> str:
    """The observed state: a line for the host, one a component, and the reasons below."""
    host, components = state["host"], state["components"]
    busy = f", busy: {host['holder'].get('controller')} is at work" if host["holder"] else ""
    about = [host["platform"], f"Python {host['python']}", host["service_manager"] or "no service manager"]
    lines = [f"{host['prefix']}: {', '.join(about)}, {_devices(host)}{busy}"]
    if not components:
        return "\n".join([*lines, "nothing is installed", ""])
    lines += table([HEAD, *(row(component) for component in components)])
    for component in components:
        lines += [f"{component['name']}: {note}" for note in notes(component)]
    return "\n".join([*lines, ""])


def devices_text(capabilities: t.Mapping[str, t.Any]) -> str:
    return _devices(capabilities) + "\n"


def outcome_text(answer: t.Mapping[str, t.Any]) -> str:
    """What a run did, a line a component, the last lines of a service that failed below."""
    outcomes = [*answer.get("components", ()), *([answer["host"]] if answer.get("host") else [])]
    lines = []
    for outcome in outcomes:
        if outcome["name"] == "host" and not outcome["changed"] and not outcome["reason"]:
            continue
        reason = f" ({outcome['reason']})" if outcome["reason"] else ""
        lines.append(f"{outcome['name']}: {outcome['state']}{reason}")
        lines += [f"  {line}" for line in outcome["logs"]]
        lines += [f"  kept {path}" for path in outcome["kept"]]
    if not outcomes:
        return str(answer.get("msg", "no answer")) + "\n"
    return "\n".join([*lines, "changed" if answer.get("changed") else "nothing changed", ""])


def plan_text(answer: t.Mapping[str, t.Any]) -> str:
    """What a run would do."""
    outcomes = [answer["host"], *answer["components"]]
    lines = [f"{outcome['name']}: {step}" for outcome in outcomes for step in outcome["steps"]]
    return "\n".join([*(lines or ["nothing to do"]), ""])


def notes(component: t.Mapping[str, t.Any]) -> list[str]:
    """What a person must know beside the columns."""
    found = [component["reason"]] if component["reason"] else []
    if component["healthy"] is False and component["health"] != component["reason"]:
        found.append(component["health"])
    return found + list(component["problems"])


def table(rows: t.Sequence[t.Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def row(component: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    address = component["address"]
    where = f"{f'[{address}]' if ':' in address else address}:{component['port']}" if component["port"] else "-"
    variant = f" ({component['variant']})" if component["variant"] not in ("", "default") else ""
    return (
        component["name"],
        component["state"] or "unknown",
        {True: "ok", False: "not ready", None: "-"}[component["healthy"]],
        component["version"] + variant or "-",
        where,
        component["served_name"] or "-",
    )


def _devices(host: t.Mapping[str, t.Any]) -> str:
    return f"devices: {', '.join(host['device_kinds'])}" if host["device_kinds"] else "no GPU"
