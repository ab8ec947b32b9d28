# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the facts of a host mean for what shall be installed there. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import WARNING, Finding, finding_of
from ansible_collections.rbee.fleet.plugins.module_utils._sources import RESERVE, human
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, Source, Spec

CLOCK_SECONDS = 300  # beyond that, certificates and logs are off; less may be the way here


def of_faults(faults: t.Mapping[str, str]) -> list[Finding]:
    """What a survey says of components that cannot be as declared."""
    return [_of_fault(name, fault) for name, fault in faults.items()]


def _of_fault(name: str, fault: str) -> Finding:
    if fault.startswith("needs a GPU"):
        return Finding(name, fault, "install its driver, or choose another variant or hive")
    return finding_of(name, fault)


def size_of(source: Source, sizes: t.Mapping[str, int]) -> int:
    """Bytes that a source brings at least, as far as it is known. sizes: of files of the controller, by path."""
    return sum(one.size or sizes.get(one.path, 0) for one in (source, *source.also))


def of_space(prefix: str, needed: int, free: int) -> list[Finding]:
    """needed: bytes that are known of what is to be fetched. free: bytes in the file system of the prefix."""
    if free >= needed + RESERVE:
        return []
    wanted = f"{human(needed)} needed, " if needed else ""
    problem = f"not enough space in {prefix}: {wanted}{human(free)} free ({human(RESERVE)} stay reserved)"
    return [Finding("disk", problem, "free some space or choose another prefix")]


def of_memory(models: t.Mapping[str, int], total: int) -> list[Finding]:
    """models: bytes of each model that a worker here is to hold in the host's memory, not in that of a GPU."""
    wanted = sum(models.values())
    if wanted <= total:
        return []
    problem = f"the models {', '.join(sorted(models))} take {human(wanted)}, this host has {human(total)} of memory"
    return [Finding("memory", problem, "choose smaller ones or another hive", WARNING)]


def of_clock(difference: float) -> list[Finding]:
    """difference: seconds that the host is ahead of the controller."""
    if abs(difference) <= CLOCK_SECONDS:
        return []
    side = "ahead of" if difference > 0 else "behind"
    problem = f"its clock is {abs(difference):.0f} s {side} the controller's"
    return [Finding("clock", problem, "set it, or let it follow a time server", WARNING)]


def secrets_of(specs: t.Iterable[Spec]) -> set[str]:
    """The names of the secrets that the components get."""
    return {
        name for spec in specs for name in (*spec.secret_env.values(), *(file.secret for file in spec.files)) if name
    }


def served(specs: t.Iterable[Spec]) -> dict[str, str]:
    """The model component that each worker which is to run serves alone, by worker."""
    return {spec.name: spec.model for spec in specs if spec.model and spec.kind != MODEL and not spec.idle}
