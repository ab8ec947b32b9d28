# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the hosts of a fleet switch to what is staged, so that every model keeps being served. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._plan import served_by
from ansible_collections.rbee.fleet.plugins.plugin_utils import _summary

Counts = t.Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Standing:
    """One host. serving, leaving: how many workers of each model serve now, and how many have to leave for a while.

    staged: whether the host waits for its wave. queen: whether she is changed with it.
    """

    serving: Counts = dataclasses.field(default_factory=dict)
    leaving: Counts = dataclasses.field(default_factory=dict)
    staged: bool = False
    queen: bool = False

    @property
    def loses(self) -> set[str]:
        """Models that the host serves no more while it switches; of several workers of a model one leaves at a time."""
        return {model for model, count in self.leaving.items() if count and self.serving.get(model) == 1}


def waves(hosts: t.Mapping[str, Standing]) -> list[list[str]]:
    """Hosts that switch together, in order: never more than half of those that serve a model, where several do."""
    serving = collections.Counter(model for host in hosts.values() for model, count in host.serving.items() if count)
    # A reload makes the queen forget who is drained, until she has asked again.
    first = [[name] for name, host in hosts.items() if host.staged and host.queen]
    found: list[list[str]] = []
    for name, host in hosts.items():
        if not host.staged or host.queen:
            continue
        for wave in found:
            lost = collections.Counter(model for other in wave for model in hosts[other].loses)
            if all(lost[model] < max(1, serving[model] // 2) for model in host.loses):
                wave.append(name)
                break
        else:
            found.append([name])
    return first + found


def downtime(hosts: t.Mapping[str, Standing]) -> dict[str, str]:
    """The models that nobody serves while their only worker is changed, and its host."""
    serving: collections.Counter[str] = collections.Counter()
    for host in hosts.values():
        serving.update(host.serving)
    return {
        model: name
        for name, host in hosts.items()
        if host.staged
        for model in sorted(host.loses)
        if serving[model] == 1
    }


def standing_of(result: t.Mapping[str, t.Any] | None, specs: t.Iterable[t.Mapping[str, t.Any]], well: bool) -> Standing:
    """One host, from what rbee.fleet.components returned there; for a host that it did not run on, as declared.

    specs: what is declared for the host. well: whether the task succeeded, or did not run.
    """
    found = (result or {}).get("standing")
    if found:
        staged = bool(well and result and result.get("staged"))
        if staged:
            return Standing(found["serving"], found["leaving"], True, bool(found.get("queen")))
        return Standing(collections.Counter(found["serving"]) + collections.Counter(found["starting"] if well else {}))
    models = [model for spec in specs if spec.get("auto_start", True) for model in served_by(spec)]
    return Standing(collections.Counter(models)) if well else Standing()


def order_of(
    playing: t.Mapping[str, t.Mapping[str, t.Any] | None],
    fleet: t.Iterable[str],
    declared: t.Callable[[str], t.Iterable[t.Mapping[str, t.Any]]],
) -> tuple[list[list[str]], dict[str, str]]:
    """The waves of the hosts that wait for one, and what waves() leaves without a replica, as downtime() has it.

    playing: what rbee.fleet.components returned on each host of the play. fleet: all hosts, also those that the play
    leaves out. declared: the specs of a host.
    """
    if not any(result and result.get("staged") for result in playing.values()):
        return [], {}
    hosts = {}
    for host in dict.fromkeys([*playing, *fleet]):
        result = playing.get(host)
        well = _summary.host_report(result)["state"] not in (_summary.FAILED, _summary.UNREACHABLE)
        hosts[host] = standing_of(result, declared(host), well)
    return waves(hosts), downtime(hosts)


def lines(order: t.Sequence[t.Sequence[str]], without: t.Mapping[str, str]) -> list[str]:
    """What people are told before the first wave."""
    out = [
        f"downtime: model {model} has one replica, on {host}, and is not served while that is changed"
        for model, host in without.items()
    ]
    if len(order) > 1:
        out.append(f"switching in {len(order)} waves: {'; '.join(', '.join(wave) for wave in order)}")
    return out
