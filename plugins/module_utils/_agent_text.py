# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's command line prints for people. Pure."""

from __future__ import annotations

import typing as t

_FIGURES = ("memory_total_bytes", "memory_used_bytes", "utilization_percent", "temperature_celsius", "power_watts")
DEVICES_HEAD = ("GPU", "NAME", "UUID", "MEMORY", "USE", "TEMPERATURE", "POWER", "DRIVER")
HEAD = ("NAME", "STATE", "HEALTH", "VERSION", "ADDRESS", "MODEL")


def state_text(state: t.Mapping[str, t.Any]) -> str:
    """The observed state: a line for the host, one a component, and the reasons below."""
    host, components = state["host"], state["components"]
    busy = f", busy: {host['holder'].get('controller')} is at work" if host["holder"] else ""
    about = [host["platform"], f"Python {host['python']}", host["service_manager"] or "no service manager"]
    lines = [f"{host['prefix']}: {', '.join(about)}, {_devices(state)}{busy}"]
    if state.get("devices_reason"):
        lines.append(str(state["devices_reason"]))
    if not components:
        return "\n".join([*lines, "nothing is installed", ""])
    lines += table([HEAD, *(row(component) for component in components)])
    for component in components:
        lines += [f"{component['name']}: {note}" for note in notes(component)]
    return "\n".join([*lines, ""])


def devices_text(capabilities: t.Mapping[str, t.Any]) -> str:
    """A line a GPU, what uses it below, and the reasons last."""
    devices, reason = capabilities["devices"], capabilities["devices_reason"]
    lines = table([DEVICES_HEAD, *(device_row(device) for device in devices)]) if devices else []
    for device in devices or ():
        for process in device["processes"]:
            used = "" if process["memory_bytes"] is None else f", {size(process['memory_bytes'])}"
            lines.append(f"GPU {device['index']}: process {process['pid']} ({process['component'] or 'other'}){used}")
        for field, why in sorted(device["reasons"].items()):
            if field in ("uuid", *_FIGURES):
                lines.append(f"GPU {device['index']}: {field}: {why}")
    if not devices:
        lines.append("no GPU" if devices is not None else "GPUs: not known")
    return "\n".join([*lines, *([reason] if reason else []), ""])


def device_row(device: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """What is not known is a dash."""

    def shown(field: str, unit: str) -> str:
        return "-" if device[field] is None else f"{device[field]:.0f}{unit}"

    used, total = (device[f"memory_{what}_bytes"] for what in ("used", "total"))
    figures = " / ".join("-" if value is None else size(value) for value in (used, total))
    kind = " (unified)" if device["memory_kind"] == "unified" else ""
    return (
        str(device["index"]),
        device["name"] or "-",
        device["uuid"] or device["pci"] or "-",
        ("divided" if device["divided"] and used is None else figures) + kind,
        shown("utilization_percent", " %"),
        shown("temperature_celsius", " °C"),
        shown("power_watts", " W"),
        device["driver"] or "-",
    )


def size(count: int) -> str:
    """Bytes for people, in GiB."""
    return f"{count / 1024**3:.1f} GiB"


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
        component["served_name"] or ", ".join(component.get("models", ())) or "-",
    )


def _devices(state: t.Mapping[str, t.Any]) -> str:
    """The GPUs by name, or where they are not known the kinds whose driver is loaded."""
    names = [device["name"] or device["vendor"] for device in state.get("devices") or () if not device["parent"]]
    kinds = state["host"]["device_kinds"]
    if not names and kinds:
        return f"devices: {', '.join(kinds)}"
    counted = [name if names.count(name) == 1 else f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return f"GPU: {', '.join(counted)}" if names else "no GPU"
