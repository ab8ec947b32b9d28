# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did on every host, for people and for machines. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._request import BROKEN, HOST, OK

# States of a host
UNREACHABLE, FAILED, CHANGED, UNCHANGED, SKIPPED = "unreachable", "failed", "changed", "ok", "skipped"

SCHEMA = 1


def host_report(result: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """One host of the result file, from what rbee.fleet.components returned there (None: it never ran there)."""
    if not result:
        return {"state": SKIPPED, "reason": "the task did not run on this host", "components": []}
    components = [*(result.get("components") or ()), *filter(None, [result.get("host")])]
    broken = [component for component in components if component["state"] in BROKEN]
    if result.get("unreachable"):
        state = UNREACHABLE
    elif result.get("skipped"):
        state = SKIPPED
    elif result.get("failed") or broken or "components" not in result:  # failed_when=false hides the first of these
        state = FAILED
    else:
        state = CHANGED if result.get("changed") else UNCHANGED
    reason = "" if broken or state in (CHANGED, UNCHANGED) else cause(str(result.get("msg") or "no reason was given"))
    if state == FAILED and result.get("staged"):  # whatever could be brought, nothing was switched: all is to be done
        return {"state": state, "reason": f"not switched: {one_line(str(result.get('msg')))}", "components": []}
    return {"state": state, "reason": reason, "components": components}


def document(hosts: t.Mapping[str, t.Mapping[str, t.Any]], fleet: str, action: str, time: str) -> dict[str, t.Any]:
    """The result file. time: ISO 8601, UTC. ``failed`` names what a retry takes up again: components by host."""
    return {
        "schema": SCHEMA,
        "fleet": fleet,
        "action": action,
        "time": time,
        "failed": {
            name: sorted(
                component["name"]
                for component in host["components"]
                if component["state"] in BROKEN and component["kind"] != HOST
            )
            for name, host in hosts.items()
            if host["state"] in (FAILED, UNREACHABLE)
        },
        "hosts": {name: dict(host) for name, host in hosts.items()},
    }


def lines(hosts: t.Mapping[str, t.Mapping[str, t.Any]], check: bool = False) -> list[str]:
    """The summary that people read: hosts in the order given, below each the components to which something happened."""
    width = max(map(len, hosts), default=0)
    out = []
    for name, host in hosts.items():
        count = len([component for component in host["components"] if component["kind"] != HOST])
        what = {
            UNCHANGED: f"ok, nothing to change ({count} component{'s' * (count != 1)})"
            if count
            else "ok, has none of it",
            CHANGED: "would change" if check else "changed",
        }
        said = what.get(host["state"], host["state"])
        out.append(f"{name:<{width}}  {said}{': ' + host['reason'] if host['reason'] else ''}")
        out += [f"{'':<{width}}    {component_line(component, check)}" for component in told(host["components"])]
    return out


def closing(hosts: t.Mapping[str, t.Mapping[str, t.Any]], action: str, seconds: float, check: bool = False) -> str:
    """The whole run in a line: ``install incomplete: 3 hosts, 1 failed (gpu-2), 2 changed, in 12.3 s``."""
    by_state: dict[str, list[str]] = {}
    for name, host in hosts.items():
        by_state.setdefault(host["state"], []).append(name)
    wrong = [state for state in (UNREACHABLE, FAILED) if state in by_state]
    said = f"dry run of {action}" if check else f"{action} {'incomplete' if wrong else 'complete'}"
    parts = [f"{len(hosts)} host{'s' * (len(hosts) != 1)}"]
    parts += [f"{len(by_state[state])} {state} ({', '.join(by_state[state])})" for state in wrong]
    for state in (CHANGED, UNCHANGED, SKIPPED):
        if state in by_state:
            parts.append(f"{len(by_state[state])} {'would change' if check and state == CHANGED else state}")
    return f"{said}: {', '.join(parts)}, in {seconds:.1f} s"


def left_out(queens: t.Iterable[str], hosts: t.Iterable[str], action: str) -> list[str]:
    """What people must know of a run that was limited to some hosts: the queen's map is made from all of them."""
    missing = sorted(set(queens) - set(hosts))
    if action != "install" or not missing:
        return []
    return [f"The queen was not part of this run. If workers came or went, run it again with --limit {missing[0]}."]


def told(components: t.Iterable[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """The components that are worth a line."""
    return [component for component in components if component["state"] != OK or component["changed"]]


def component_line(component: t.Mapping[str, t.Any], check: bool = False) -> str:
    """For example ``llama-cpp: rolled-back after 61 s: did not become healthy: answered 503``."""
    text = f"{component['name']}: "
    if check and component["state"] not in BROKEN:
        return text + "; ".join(component["steps"]) + (f": {component['reason']}" if component["reason"] else "")
    done = component["kind"] == HOST and component["state"] == OK
    text += "; ".join(component["steps"]) if done else component["state"]
    if component["seconds"]:
        text += f" in {component['seconds']:.1f} s"
    if component["reason"]:
        text += f": {one_line(component['reason'])}"
    for path in component["kept"]:
        text += f"\n      kept: {path}"
    for line in component["logs"]:
        text += f"\n      | {line}"
    return text


def cause(message: str) -> str:
    """A message of ansible-core on one line, without what it says of every failure (2.19 and newer)."""
    return re.sub(r"^(Task failed: )+", "", one_line(message))


def one_line(text: str) -> str:
    return " ".join(text.split())
