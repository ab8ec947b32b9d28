# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models of a fleet: what each host has of what is declared for it, and what else. Pure.

docs/models.md has the format of the document.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._agent_text import table
from ansible_collections.rbee.fleet.plugins.module_utils._layout import slug
from ansible_collections.rbee.fleet.plugins.module_utils._sources import human
from ansible_collections.rbee.fleet.plugins.module_utils._spec import ANY_PLATFORM, MODEL
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import FAILED, UNREACHABLE, cause

SCHEMA = 1
OK = "ok"
LOST = (FAILED, UNREACHABLE)
HEAD = ("NAME", "SIZE", "VERSION", "USED BY", "")

_COMMIT, _SHORT = "[0-9a-f]{40}", 12

Thing = t.Mapping[str, t.Any]


def document(
    hosts: t.Mapping[str, Thing | None], declared: t.Mapping[str, t.Sequence[Thing]], fleet: str, time: str
) -> dict[str, t.Any]:
    """hosts: what rbee.fleet.components_info returned there. declared: specifications by host. time: ISO 8601, UTC."""
    found = {name: _host(result or {}, _models(declared.get(name, ()))) for name, result in hosts.items()}
    return {"schema": SCHEMA, "fleet": fleet, "time": time, "hosts": found}


def lost(found: Thing) -> dict[str, str]:
    """By host, why it could not be looked at. found: a document."""
    return {name: host["reason"] for name, host in found["hosts"].items() if host["state"] in LOST}


def lines(found: Thing) -> list[str]:
    """The document for people."""
    out: list[str] = []
    for name, host in found["hosts"].items():
        out += [*([""] if out else []), *_lines(name, host)]
    return out


def _models(specs: t.Iterable[Thing]) -> dict[str, Thing]:
    return {str(spec["name"]): spec for spec in specs if spec["kind"] == MODEL}


def _host(result: Thing, declared: t.Mapping[str, Thing]) -> dict[str, t.Any]:
    report: dict[str, t.Any] = {"state": OK, "reason": "", "models": [], "downloads": [], "free_bytes": None}
    if "components" not in result:
        state = UNREACHABLE if result.get("unreachable") else FAILED
        return {**report, "state": state, "reason": cause(str(result.get("msg") or "nothing looked at it"))}
    begun = [dict(item) for item in result.get("downloads", ())]
    for item in begun:
        item["model"] = next((name for name, spec in declared.items() if _is_of(item, spec)), "")
        item["size"] = human(item["bytes"])
    there = {item["name"]: item for item in result["components"] if item["kind"] == MODEL}
    names = sorted({*there, *declared})
    models = [_model(name, there.get(name), declared.get(name), begun) for name in names]
    return {**report, "models": models, "downloads": begun, "free_bytes": result["host"].get("free_bytes")}


def _model(name: str, there: Thing | None, spec: Thing | None, begun: t.Iterable[Thing]) -> dict[str, t.Any]:
    """One model of a host. there: what is installed of it. spec: what is declared."""
    has = there or {}
    count = has.get("bytes")
    return {
        "name": str(has.get("served_name") or (spec or {}).get("served_name") or name),
        "component": name,
        "installed": there is not None,
        "declared": spec is not None,
        "version": str(has.get("version") or (spec or {}).get("version") or ""),
        "bytes": count,
        "size": human(count) if count is not None else "",
        "begun_bytes": sum(item["bytes"] for item in begun if item["model"] == name) if there is None else 0,
        "source": dict(has.get("source") or {}),
        "used_by": list(has.get("used_by", ())),
        "problems": list(has.get("problems", ())),
    }


def _is_of(download: Thing, spec: Thing) -> bool:
    """Whether a download that was begun is that of a declared model."""
    sources = [variant["sources"].get(ANY_PLATFORM, {}) for variant in spec["variants"]]
    return any(
        source.get("sha256") == download["sha256"]
        if download["sha256"]
        else (slug(source.get("repository", "")), slug(source.get("revision", "")))
        == (download["repository"], download["revision"])
        for source in sources
    )


def _lines(name: str, host: Thing) -> list[str]:
    if host["state"] in LOST:
        return [f"{name}: {host['state']}: {host['reason']}"]
    models = host["models"]
    installed = [model for model in models if model["installed"]]
    total = human(sum(model["bytes"] or 0 for model in installed))
    free = "" if host["free_bytes"] is None else f"; {human(host['free_bytes'])} free"
    out = [f"{name}: {len(installed)} model{'s' * (len(installed) != 1)}, {total}{free}"]
    if models:
        out += [f"  {line}" for line in table([HEAD, *map(_row, models)])]
    out += [f"  unfinished: {_title(item)}, {item['size']}" for item in host["downloads"] if not item["model"]]
    return out


def _row(model: Thing) -> tuple[str, ...]:
    remarks = list(model["problems"])
    if not model["installed"]:
        begun = model["begun_bytes"]
        remarks.append(f"missing; {human(begun)} of it are here" if begun else "missing")
    if not model["declared"]:
        remarks.append("not declared")
    users = ", ".join(model["used_by"])
    version = model["version"][:_SHORT] if re.fullmatch(_COMMIT, model["version"]) else model["version"]
    return model["name"], model["size"] or "-", version or "-", users or "-", "; ".join(remarks)


def _title(download: Thing) -> str:
    if download["repository"]:
        return f"{download['repository']} at {download['revision']}"
    return f"a file with SHA-256 {download['sha256'][:12]}…"
