# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a port that is taken, and what to do about it. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import WORKER, Spec

ANY = ("0.0.0.0", "::")
STRANGER = "another program; stop it or declare another port"


def at_port(spec: Spec, receipts: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """The other components that were installed with the port of *spec*, by name."""
    return sorted(
        name
        for name, receipt in receipts.items()
        if name != spec.name and receipt.get("port") == spec.port and _meet(spec.address, str(receipt.get("address")))
    )


def holder(
    names: t.Iterable[str], spec: Spec, receipts: t.Mapping[str, t.Mapping[str, t.Any]], declared: t.Sequence[Spec]
) -> str:
    """In words, who has the port of *spec*, with the remedy. names: those of at_port() that run."""
    for name in names:
        receipt = receipts[name]
        what = f"{receipt.get('kind')} {name}"
        if receipt.get("fleet") != spec.fleet:
            return f"{what} of fleet {receipt.get('fleet')!r}; declare another port"
        coming = next((other for other in declared if other.name == name), None)
        if coming is None:
            if receipt.get("temporary"):
                return f"{what}, temporary for another checkout; run rbee.fleet.remove_worker, or declare another port"
            how = f", or on this host with 'rbee-hive remove-worker {name}'" if receipt.get("kind") == WORKER else ""
            return (
                f"{what}, which is not declared any more; remove it with 'sync -e rbee_extra=remove', which brings "
                f"this one, too{how}, or declare another port"
            )
        if coming.port == spec.port:
            return f"{what}, which is declared with the same port; declare another port for one of them"
        return f"{what}, which moves to port {coming.port}; run again when it has"
    return STRANGER


def _meet(one: str, other: str) -> bool:
    return one == other or one in ANY or other in ANY
