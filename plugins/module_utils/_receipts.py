# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of what is installed: what goes into one, and which a host has."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._plan import start_digest
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager
from ansible_collections.rbee.fleet.plugins.module_utils._sources import without_secrets
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, Registered
from ansible_collections.rbee.fleet.plugins.module_utils._target import DESCRIPTION, Target


def receipt_of(target: Target, manager: ServiceManager) -> dict[str, t.Any]:
    """What shall be recorded of a component, but for when and by whom."""
    spec, build = target.spec, target.build
    receipt: dict[str, t.Any] = {
        "schema": 1,
        "name": spec.name,
        "type": spec.type,
        "kind": spec.kind,
        "fleet": spec.fleet,
        "version": spec.version,
        "variant": build.variant.name,
        "release": build.release,
        "release_path": build.path,
        "interpreter": build.interpreter,
        "source": {
            key: value
            for key, value in (
                ("kind", build.source.kind),
                ("url", without_secrets(build.source.url)),
                ("sha256", build.source.sha256),
                ("content", build.content),
                ("repository", build.source.repository),
                ("revision", build.source.revision),
                ("file", build.source.name if spec.kind == MODEL else ""),
            )
            if value
        },
    }
    if target.has_service:
        receipt.update(
            generation=target.generation,
            unit=manager.unit_path(spec.name),
            start=start_digest(target),
            auto_start=spec.auto_start,
            idle=spec.idle,
            address=spec.address,
            port=spec.port,
            health=spec.health.path,
            health_timeout=spec.health.timeout,
            model=spec.model,
            served_name=spec.served_name,
            links=list(target.links),
        )
        if spec.gpus:
            receipt["gpus"] = list(spec.gpus)
        if spec.models:
            receipt["models"] = dict(spec.models)
    if spec.declared:
        receipt["declared"] = json.loads(spec.declared)
    if spec.temporary:
        receipt["temporary"] = True
    return receipt


def users_of(model: str, receipts: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[str]:
    """The components that serve a model component, by their receipts."""
    return sorted(name for name, known in receipts.items() if model in (known.get("model"), *known.get("models", ())))


def with_register(
    receipt: t.Mapping[str, t.Any],
    register: t.Mapping[str, Registered],
    old: t.Mapping[str, t.Any],
    forget: t.Collection[str],
) -> dict[str, t.Any]:
    """The queen's receipt with the hives she knows: those of her *old* receipt, and those that are declared now."""
    known = {alias: entry for alias, entry in old.get("register", {}).items() if alias not in forget}
    known.update({alias: dataclasses.asdict(entry) for alias, entry in register.items()})
    return {**receipt, "register": known} if known else dict(receipt)


def receipts_on(layout: Layout) -> dict[str, dict[str, t.Any]]:
    """Every receipt of a prefix, of whatever fleet, by component name.

    A first install that was killed or failed has written none: then what its generation says of itself.
    """
    found = {}
    for folder in _store.list_folder(layout.components):
        receipt = _store.read_json(os.path.join(layout.components, folder, "receipt.json"))
        for generation in [] if receipt else _store.list_folder(layout.generations(folder)):
            about = _store.read_json(os.path.join(layout.generation(folder, generation), DESCRIPTION))
            receipt = {**about, "generation": generation} if about else None
        if receipt:
            found[receipt.get("name", folder)] = receipt
    return found
