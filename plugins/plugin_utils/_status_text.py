# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a fleet as text. Pure. docs/status.md says what each column means."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL
from ansible_collections.rbee.fleet.plugins.plugin_utils._status import DRIFT, HTTP, NOT_LOOKED_AT, OK, STATES

Thing = t.Mapping[str, t.Any]
Cells = tuple[str, ...]

HEAD = ("NAME", "STATE", "HEALTH", "MODEL", "PORT", "VERSION", "UP", "RESTARTS")
NONE, UNKNOWN = "-", "?"
MANY = 10  # hosts; with more, the end repeats which are not well
EXACT = "Drift is what one look shows; 'ansible-playbook rbee.fleet.sync --check --diff' shows all of it."
_FIELDS = {
    "memory_total_bytes": "total",
    "memory_used_bytes": "used",
    "utilization_percent": "utilization",
    "temperature_celsius": "temperature",
    "processes": "processes",
}
_LONGEST = 300  # characters of one foreign text
_GIB = 1024**3


def lines(document: Thing, now: float) -> list[str]:
    """The whole status. now: seconds since the epoch."""
    hosts = document["hosts"]
    services = {name: [_service(component, now) for component in _services(host)] for name, host in hosts.items()}
    services = {name: rows + [_absent(gone) for gone in hosts[name]["missing"]] for name, rows in services.items()}
    devices = {name: [_device(device) for device in host["devices"] or ()] for name, host in hosts.items()}
    wide = _widths([HEAD, *(row for rows in services.values() for row in rows)])
    broad = _widths([row for rows in devices.values() for row in rows])
    out = [summary(document), ""]
    if any(services.values()):
        out.append("  " + _aligned(HEAD, wide))
    for name, host in hosts.items():
        out.append(_title(name, host))
        out += [f"  {line}" for line in _below_title(host)]
        out += [f"  {_aligned(row, wide)}" for row in services[name]]
        out += [f"  {_aligned(row, broad)}" for row in devices[name]]
        out += [f"  {line}" for line in _below(host)]
        if document["queen"] and document["queen"]["host"] == name:
            out.append(f"  {_queen(document['queen'])}")
    return out + _end(document)


def summary(document: Thing) -> str:
    """For example ``300 hives: 298 ok, 1 drift, 1 unreachable``."""
    counts = document["summary"]
    said = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    hives = f"{_counted(counts['hives'], 'hive')}{': ' if said else ''}{said}"
    return f"queen: {document['queen']['state']}; {hives}" if document["queen"] else hives


def duration(seconds: float) -> str:
    """The two largest units, for example ``3 d 4 h``; a clock that differs does not make it negative."""
    left = max(0, int(seconds))
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        parts.append((count, unit))
    first = next((index for index, (count, _unit) in enumerate(parts) if count), len(parts) - 1)
    shown = [parts[first], *(part for part in parts[first + 1 : first + 2] if part[0])]
    return " ".join(f"{count} {unit}" for count, unit in shown)


def memory(used: int | None, total: int | None) -> str:
    """For example ``16.0 / 24.0 GiB (66 %)``."""
    share = f" ({used * 100 // total} %)" if used is not None and total else ""
    return f"{_gib(used)} / {_gib(total)} GiB{share}"


def clean(text: t.Any) -> str:
    """What a host says, on one line and without what a terminal would act upon."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())[:_LONGEST]


def _services(host: Thing) -> list[Thing]:
    return [component for component in host["components"] if component["kind"] != MODEL]


def _service(component: Thing, now: float) -> Cells:
    variant = f" ({component['variant']})" if component["variant"] not in ("", "default") else ""
    since, restarts = component["since"], component["restarts"]
    return (
        clean(component["name"]),
        clean(component["state"] or "unknown"),
        {True: "ok", False: "not ready", None: NONE}[component["healthy"]],
        clean(component["served_name"] or ", ".join(map(str, component.get("models", ())))) or NONE,
        str(component["port"] or NONE),
        clean(component["version"] + variant) or NONE,
        NONE if since is None else duration(now - since),
        NONE if restarts is None else str(restarts),
    )


def _absent(name: str) -> Cells:
    return (clean(name), "not installed", *[NONE] * (len(HEAD) - 2))


def _device(device: Thing) -> Cells:
    use, heat = device["utilization_percent"], device["temperature_celsius"]
    held = memory(device["memory_used_bytes"], device["memory_total_bytes"])
    kind = " unified" if device.get("memory_kind") == "unified" else ""
    return (
        f"GPU {device['index']}",
        clean(device["name"] or UNKNOWN),
        "divided" if device.get("divided") else held + kind,
        f"{UNKNOWN if use is None else round(use)} %",
        f"{UNKNOWN if heat is None else round(heat)} °C",
        ", ".join([*_shares(device), *_unknown(device)]) or NONE,
    )


def _shares(device: Thing) -> list[str]:
    """How much of a GPU's memory each component holds."""
    held: collections.Counter[str] = collections.Counter()
    for process in device["processes"]:
        held[clean(process["component"]) or "others"] += process["memory_bytes"] or 0
    return [f"{name} {_gib(count) if count else UNKNOWN} GiB" for name, count in held.items()]


def _unknown(device: Thing) -> list[str]:
    """Why something of a GPU's line is not known."""
    whys = collections.defaultdict(list)
    for field, word in _FIELDS.items():
        if device["reasons"].get(field):
            whys[clean(device["reasons"][field])].append(word)
    return [f"no {', '.join(words)}: {why}" for why, words in whys.items()]


def _title(name: str, host: Thing) -> str:
    title = f"{name} ({host['address']}): {host['state']}"
    if host["state"] in NOT_LOOKED_AT:
        return f"{title}: {clean(host['reason'])}"
    return f"{title}, over {host['source']}"


def _below_title(host: Thing) -> list[str]:
    found = [f"drift: {'; '.join(map(clean, host['drift']))}"] if host["state"] == DRIFT else []
    if host["source"] != HTTP and host["agent"]:
        found.append(f"agent: {clean(host['agent'])}")
    return found


def _below(host: Thing) -> list[str]:
    if host["state"] in NOT_LOOKED_AT:
        return []
    found = []
    if host["devices_reason"]:
        kinds = "" if host["devices"] else f"{', '.join(map(clean, host['host']['device_kinds'])) or UNKNOWN}: "
        found.append(f"GPU: {kinds}{clean(host['devices_reason'])}")
    elif host["devices"] == []:
        found.append("no GPU")
    models = [clean(item["served_name"] or item["name"]) for item in host["components"] if item["kind"] == MODEL]
    if models:
        found.append(f"models: {', '.join(models)}")
    if not host["components"] and not host["drift"]:
        found.append("nothing is installed")
    about = host["host"]
    if about["holder"]:
        found.append(f"a run of {clean(about['holder'].get('controller'))} is changing this host")
    found += [f"{clean(key)} is not known: {clean(why)}" for key, why in about["reasons"].items()]
    return found


def _queen(queen: Thing) -> str:
    if not queen["answers"]:
        return f"asked from here: {clean(queen['reason'])}"
    info = queen["info"]
    if info is None:
        return f"answers on {queen['url']}; more is not known: {clean(queen['info_reason'])}"
    if not {"hives", "workers", "models"} & info.keys():
        return f"answers on {queen['url']}: another program than ours, which tells nothing of the fleet"
    models = info.get("models")
    count = len(models) if isinstance(models, list) else None
    known = (_counted(info.get("hives"), "hive"), _counted(info.get("workers"), "worker"), _counted(count, "model"))
    return f"answers on {queen['url']}: {', '.join(known)}"


def _end(document: Thing) -> list[str]:
    """What must not scroll away, and what the columns do not say."""
    hosts = document["hosts"]
    found: list[str] = []
    running = [item for host in hosts.values() for item in _services(host) if item["since"] is not None]
    if any(item["restarts"] is None for item in running):
        found.append(f"RESTARTS is {NONE} where the service manager does not count them, as supervisor.")
    unwell = {name: host for name, host in hosts.items() if host["state"] != OK}
    if any(host["state"] == DRIFT for host in unwell.values()):
        found.append(EXACT)
    if unwell and len(hosts) > MANY:
        found += ["", summary(document)]
        found += [
            f"  {name}: {host['state']}: {clean('; '.join(host['drift']) or host['reason'])}"
            for name, host in unwell.items()
        ]
    return ["", *found] if found else []


def _counted(count: t.Any, word: str) -> str:
    return f"{UNKNOWN if count is None else clean(count)} {word}{'' if count == 1 else 's'}"


def _gib(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / _GIB:.1f}"


def _widths(rows: t.Sequence[Cells]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _aligned(row: Cells, widths: t.Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
