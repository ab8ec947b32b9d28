# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a host and not declared, or is to go: which components, and what there is of them. Reads only."""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Observed, Plan, plan_absent
from ansible_collections.rbee.fleet.plugins.module_utils._request import IGNORE, PRESENT, REMOVE, Request
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager, ServiceState
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, Service

Receipts = t.Mapping[str, t.Mapping[str, t.Any]]


class Extra:
    """The components of the fleet that are on the host and that a request does not declare.

    receipts, seen, plans: by name. A plan has steps where the request wants the component removed.
    """

    def __init__(self, request: Request, layout: Layout, manager: ServiceManager, receipts: Receipts):
        wanted = request.state == PRESENT and request.extra != IGNORE
        declared = {spec.name for spec in request.specs}
        self.receipts = {
            name: receipt
            for name, receipt in sorted(receipts.items() if wanted else ())
            if receipt.get("fleet") == request.fleet
            and name not in declared
            and request.asks_for(name, str(receipt.get("kind")))
        }
        self.seen = observed(layout, manager, self.receipts)
        self.plans = {
            name: plan_absent(self.seen[name], name, Service.drain_timeout) if goes(receipt, request) else Plan(name)
            for name, receipt in self.receipts.items()
        }

    def on_port(self, port: int) -> str:
        """The component that listens there, or an empty string."""
        return next(
            (name for name, found in self.seen.items() if found.active and self.receipts[name].get("port") == port), ""
        )


def goes(receipt: t.Mapping[str, t.Any], request: Request) -> bool:
    """Whether a request removes a component that it does not declare: models only on a purge."""
    stays = (receipt.get("kind") == MODEL and not request.purge) or (receipt.get("temporary") and not request.temporary)
    return request.extra == REMOVE and not stays


def observed(layout: Layout, manager: ServiceManager, receipts: Receipts) -> dict[str, Observed]:
    """What there is of components of which only the receipts are known."""
    served = [name for name, receipt in receipts.items() if "generation" in receipt]
    states = manager.states(served) if served else {}
    seen = {}
    for name, receipt in sorted(receipts.items()):
        state = states.get(name, ServiceState())
        unit = manager.installed(name) if "generation" in receipt else None
        if unit is not None and not layout.is_run_by(name, unit):
            unit, state = None, ServiceState()
        seen[name] = Observed(
            receipt=receipt,
            current=_store.link_target(layout.current(name)),
            unit=unit,
            active=state.active,
            enabled=state.enabled,
        )
    return seen
