# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sync found and did, for people and for machines. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._drift import NOTES, TEMPORARY
from ansible_collections.rbee.fleet.plugins.module_utils._request import BROKEN, EXTRA
from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE
from ansible_collections.rbee.fleet.plugins.plugin_utils import _departed, _summary

SCHEMA = 1

DEPARTED, UNREACHED = "departed", "unreachable"  # kinds of drift beside those of components
CLEAN, DRIFT, FAILED = "clean", "drift", "failed"  # results of a sync
DIFFERS, REPAIRED = "differs", "repaired"  # what has become of a difference; or FAILED

Result = t.Mapping[str, t.Any]
Found = t.Mapping[str, t.Any]
"""Of a departed hive: what the filter says of it, and the results ``found``, ``done`` and ``left``, each or None."""


def document(
    hosts: t.Mapping[str, Result],
    gone: t.Mapping[str, Found],
    about: t.Mapping[str, t.Any],
    check: bool,
    remove: bool,
) -> dict[str, t.Any]:
    """The result file.

    hosts: reports as of ``_summary.host_report``. about: more keys of it. remove: whether what is extra was to go.
    """
    out: dict[str, t.Any] = {"schema": SCHEMA, "action": "sync", **about, "check": check}
    drift: list[dict[str, str]] = []
    notes: list[dict[str, str]] = []
    failures: list[dict[str, str]] = []
    for name, host in hosts.items():
        _host(name, host, check, drift, notes, failures)
    for name, found in gone.items():
        _gone(name, found, check, remove, drift, notes, failures)
    state = FAILED if failures else DRIFT if any(item["now"] == DIFFERS for item in drift) else CLEAN
    out.update(result=state, drift=drift, notes=notes, failures=failures, hosts={**hosts})
    out["hosts"].update({name: _summary.host_report(found["done"] or found["found"]) for name, found in gone.items()})
    return out


def _host(
    name: str,
    host: Result,
    check: bool,
    drift: list[dict[str, str]],
    notes: list[dict[str, str]],
    failures: list[dict[str, str]],
) -> None:
    if host["state"] in (_summary.FAILED, _summary.UNREACHABLE) and host["reason"]:
        failures.append({"host": name, "component": "", "reason": host["reason"]})
    for component in host["components"]:
        where = {"host": name, "component": component["name"]}
        for item in component["drift"]:
            if item["kind"] in NOTES:
                notes.append({**where, **item})
            else:
                drift.append({**where, **item, "now": _now(component, check)})
        if component["state"] in BROKEN:
            failures.append({**where, "reason": f"{component['state']}: {_summary.one_line(component['reason'])}"})


def _now(component: Result, check: bool) -> str:
    if component["state"] in BROKEN:
        return FAILED
    return DIFFERS if check or component["state"] == EXTRA else REPAIRED


def _gone(
    name: str,
    found: Found,
    check: bool,
    remove: bool,
    drift: list[dict[str, str]],
    notes: list[dict[str, str]],
    failures: list[dict[str, str]],
) -> None:
    where = {"host": name, "component": ""}
    if found["reason"] == _departed.TEMPORARY:
        notes.append({**where, "kind": TEMPORARY, "detail": f"not of this configuration, {found['reason']}"})
        return
    trouble = _trouble(name, found)
    if _is_forgotten(found) and not found["done"]:
        said = found["reason"] or "nothing of this fleet is left there"
        notes.append({**where, "kind": DEPARTED, "detail": f"{said}; {'would be ' if check else ''}forgotten"})
    elif not found["found"] and not found["reason"]:
        notes.append({**where, "kind": DEPARTED, "detail": "not looked at in this run"})
    elif trouble:
        drift.append({**where, "kind": UNREACHED, "detail": trouble, "now": FAILED if remove else DIFFERS})
        if remove:
            said = f"not removed: {trouble}; if it is gone for good, forget it with -e rbee_forget={name}"
            failures.append({**where, "reason": said})
    else:
        there = [item["name"] for item in found["found"]["components"]]
        now = REPAIRED if found["done"] and not check else DIFFERS
        drift.append({**where, "kind": DEPARTED, "detail": f"{', '.join(there)} installed there", "now": now})
        for item in (found["left"] or {}).get("components", ()):
            notes += [{"host": name, "component": item["name"], **one} for one in item["drift"] if one["kind"] in NOTES]


def _trouble(name: str, found: Found) -> str:
    """Why a hive was not looked at, or not removed."""
    if found["reason"]:
        return str(found["reason"])
    other = is_another(name, found)
    if other:
        return f"the hive there is called {other} by now"
    look = _summary.host_report(found["done"] or found["found"])
    if look["state"] not in (_summary.FAILED, _summary.UNREACHABLE):
        return ""
    broken = [item for item in look["components"] if item["state"] in BROKEN]
    return look["reason"] or "; ".join(f"{item['name']} {item['state']}: {item['reason']}" for item in broken)


def is_clean(found: Found) -> bool:
    """Whether nothing of the fleet is on the host."""
    look = found["left"] or found["found"]
    return bool(look) and not look.get("failed") and "components" in look and not look["components"]


def is_another(name: str, found: Found) -> str:
    """The alias that the host has by now, where it is not the one under which it was registered."""
    for component in (found["found"] or {}).get("components") or ():
        if component["kind"] == HIVE and component["declared"].get("alias") != name:
            return str(component["declared"].get("alias", "something else"))
    return ""


def forgotten(gone: t.Mapping[str, Found]) -> list[str]:
    """The hives that the register need not know any more."""
    return sorted(name for name, found in gone.items() if _is_forgotten(found))


def _is_forgotten(found: Found) -> bool:
    return bool(found["renamed"]) or (not found["reason"] and is_clean(found))


def lines(report: t.Mapping[str, t.Any]) -> list[str]:
    """What people read: each host, and below it what differs."""
    width = max(map(len, report["hosts"]), default=0)
    out = []
    for name, host in report["hosts"].items():
        own = {key: [item for item in report[key] if item["host"] == name] for key in ("drift", "notes", "failures")}
        out.append(f"{name:<{width}}  {_headline(host, own, report['check'])}")
        below = [_difference(item) for item in own["drift"]]
        below += [f"{_of(item)}{item['kind']}: {item['detail']}" for item in own["notes"]]
        below += [f"{_of(item)}{item['reason']}" for item in own["failures"] if item["component"]]
        out += [f"{'':<{width}}    {line}" for line in below]
        out += [f"{'':<{width}}      {line}" for line in _actions(host, report["check"])]
    return out


def _headline(host: Result, own: t.Mapping[str, list[dict[str, str]]], check: bool) -> str:
    whole = [item["reason"] for item in own["failures"] if not item["component"]]
    if whole:
        return f"{host['state'] if host['state'] != _summary.SKIPPED else FAILED}: {whole[0]}"
    if own["failures"]:
        return FAILED
    if any(item["now"] == DIFFERS for item in own["drift"]):
        return DRIFT
    if own["drift"]:
        return REPAIRED
    return host["state"] if host["state"] == _summary.SKIPPED else "ok"


def _difference(item: t.Mapping[str, str]) -> str:
    done = "" if item["now"] == DIFFERS else f" ({item['now']})"
    return f"{_of(item)}{item['kind']}{': ' + item['detail'] if item['detail'] else ''}{done}"


def _of(item: t.Mapping[str, str]) -> str:
    return f"{item['component']}: " if item["component"] else ""


def _actions(host: Result, check: bool) -> list[str]:
    """In check mode, what a run without it would do."""
    told = [component for component in host["components"] if check and component["steps"]]
    return [f"would {component['name']}: {'; '.join(component['steps'])}" for component in told]
