# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked to converge to, and what it answers. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._brief import brief, is_brief
from ansible_collections.rbee.fleet.plugins.module_utils._digest import digest
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM, USER, slug
from ansible_collections.rbee.fleet.plugins.module_utils._needs import (
    FROM_CONTROLLER,
    FROM_HOST,
    Item,
    supplies_from,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    KINDS,
    MODEL,
    TOOL,
    Spec,
    SpecError,
    from_dict,
    to_dict,
)

PRESENT, ABSENT, STARTED, STOPPED = "present", "absent", "started", "stopped"
STATES = (PRESENT, ABSENT, STARTED, STOPPED)

# What becomes of components of the fleet that are on the host and not declared
IGNORE, REPORT, REMOVE = "ignore", "report", "remove"
EXTRAS = (IGNORE, REPORT, REMOVE)

# What a run did with a component
OK, INSTALLED, UPDATED, REMOVED = "ok", "installed", "updated", "removed"  # or STARTED, STOPPED
EXTRA = "extra"  # there, not declared, and left alone
ROLLED_BACK, FAILED = "rolled-back", "failed"
BROKEN = frozenset({ROLLED_BACK, FAILED})

HOST = "host"  # the name under which folders, user, tools and service manager are reported


@dataclasses.dataclass(frozen=True)
class Request:
    """One task's work on one host.

    specs: the desired components; with ``absent`` they may be empty. tools: what an installation may need.
    kinds: of components that ``absent`` and ``present`` apply to. names: components that the state applies to. Either
    is empty for all. stage: bring what a host needs and switch nothing, where a worker has to leave the rotation.
    extra: with ``present``, what becomes of components of the fleet that are not in specs.
    temporary: with a removal of them, those too that are temporary for whoever installed them.
    forget: aliases that the queen's register loses, unless they are declared.
    purge: with a removal, data and models too. force: install again what is there.
    downgrade: go back to an older version, too.
    deep: compare digests, not only sizes and times. secrets: value by name. fetch: who fetches what is lacking.
    supplies: what the controller has brought, by id of the need. lock_timeout: seconds to wait for another run.
    program: digest of the program that the host shall keep for the next run, empty for none.
    """

    fleet: str
    scope: str = SYSTEM
    prefix: str = "/opt/rbee"
    state: str = PRESENT
    specs: tuple[Spec, ...] = ()
    tools: t.Mapping[str, Spec] = dataclasses.field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    stage: bool = False
    extra: str = IGNORE
    temporary: bool = False
    forget: tuple[str, ...] = ()
    purge: bool = False
    force: bool = False
    downgrade: bool = False
    deep: bool = False
    secrets: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    fetch: str = FROM_HOST
    supplies: t.Mapping[str, tuple[Item, ...]] = dataclasses.field(default_factory=dict)
    lock_timeout: int = 600
    controller: str = ""
    program: str = ""

    @property
    def identity(self) -> str:
        """Equal for two runs that ask for the same, whoever asks."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for passing in ("controller", "supplies", "lock_timeout", "program"):
            del data[passing]
        data["specs"] = [brief(spec) for spec in self.specs]
        data["tools"] = {name: brief(tool) for name, tool in self.tools.items()}
        return digest(to_dict(data))

    @property
    def is_brief(self) -> bool:
        """Whether it is enough to see that there is nothing to do, and no more."""
        return any(is_brief(spec) for spec in (*self.specs, *self.tools.values()))

    def asks_for(self, name: str, kind: str) -> bool:
        """Whether the state applies to a component."""
        return (not self.names or name in self.names) and (not self.kinds or kind in self.kinds)


@dataclasses.dataclass
class Outcome:
    """What became of one component.

    steps: what was done, or in check mode what would be. reason: of a failure or a rollback, or why it is idle.
    logs: last lines of a service that did not become healthy. seconds: spent on it.
    drift: how it differed from what is declared, as ``_drift`` has it. declared: of what is extra, its entry in the
    configuration.
    """

    name: str
    kind: str
    state: str = OK
    changed: bool = False
    steps: list[str] = dataclasses.field(default_factory=list)
    reason: str = ""
    logs: list[str] = dataclasses.field(default_factory=list)
    version: str = ""
    variant: str = ""
    release: str = ""
    generation: str = ""
    address: str = ""
    port: int = 0
    model: str = ""
    kept: list[str] = dataclasses.field(default_factory=list)
    drift: list[dict[str, str]] = dataclasses.field(default_factory=list)
    declared: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def parse(arguments: t.Mapping[str, t.Any]) -> Request:
    """A request from module arguments. Raises SpecError, which names the component and the key."""
    values = {field.name: arguments[field.name] for field in dataclasses.fields(Request) if field.name in arguments}
    values["specs"] = tuple(from_dict(item) for item in arguments.get("components") or ())
    tools = (from_dict(item) for item in arguments.get("tools") or ())
    values["tools"] = {tool.name: tool for tool in tools}
    for name in ("kinds", "names", "forget"):
        values[name] = tuple(str(item) for item in values.get(name) or ())
    values["secrets"] = {str(key): str(item) for key, item in (values.get("secrets") or {}).items()}
    values["supplies"] = supplies_from(values.get("supplies") or {})
    request = Request(**values)
    check(request)
    return request


def check(request: Request) -> None:
    """Raises SpecError where the parts of a request do not fit together."""
    if request.scope not in (SYSTEM, USER):
        raise SpecError(f"scope is {request.scope!r}, expected {SYSTEM} or {USER}")
    if not re.fullmatch(r"(/[^/]+){2,}", request.prefix):  # an uninstall empties it
        raise SpecError(f"prefix is {request.prefix!r}, expected an absolute path of two folders or more")
    if request.extra not in EXTRAS:
        raise SpecError(f"extra is {request.extra!r}, expected one of {', '.join(EXTRAS)}")
    if request.fetch not in (FROM_HOST, FROM_CONTROLLER):
        raise SpecError(f"fetch is {request.fetch!r}, expected {FROM_HOST} or {FROM_CONTROLLER}")
    names = [spec.name for spec in request.specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"component {twice[0]!r} is declared twice for this host")
    folders: dict[str, str] = {}
    for name in names:
        other = folders.setdefault(slug(name), name)
        if other != name:
            raise SpecError(f"components {other!r} and {name!r} would share the folder {slug(name)!r}; rename one")
    for spec in request.specs:
        if spec.kind != MODEL and slug(spec.name) != spec.name:
            raise SpecError(f"component {spec.name!r}: expected a name of letters, digits, '.', '_' and '-'")
        if spec.fleet != request.fleet:
            raise SpecError(f"component {spec.name!r} is of fleet {spec.fleet!r}, the task of {request.fleet!r}")
        if spec.kind == TOOL:
            raise SpecError(f"component {spec.name!r} is a tool; tools are not declared as components")
    unknown = sorted(set(request.kinds) - set(KINDS))
    if unknown:
        raise SpecError(f"unknown kind {unknown[0]!r}, expected some of {', '.join(KINDS)}")


def result(outcomes: t.Sequence[Outcome], diff: t.Sequence[t.Mapping[str, str]] = ()) -> dict[str, t.Any]:
    """The JSON that the module returns."""
    broken = [outcome for outcome in outcomes if outcome.state in BROKEN]
    out: dict[str, t.Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        "components": [dataclasses.asdict(outcome) for outcome in outcomes if outcome.name != HOST],
        "host": next((dataclasses.asdict(outcome) for outcome in outcomes if outcome.name == HOST), None),
    }
    if diff:
        out["diff"] = list(diff)
    if broken:
        out["failed"] = True
        out["msg"] = "; ".join(f"{outcome.name} {outcome.state}: {outcome.reason}" for outcome in broken)
    return out
