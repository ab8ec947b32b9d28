# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of the components of a request: who holds which by the receipts, and the probe where it is needed."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec, Variant
from ansible_collections.rbee.fleet.plugins.module_utils._target import Target, TargetError

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Found

HELD = "gpus"  # in a receipt: the keys of the devices that a component has for itself


def load() -> None:
    """Load what asks the drivers.

    A run without claims does without it. A process that outlives the files that it is loaded from needs it before.
    """
    # pylint: disable-next=unused-import
    from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_place, _gpu_probe  # noqa: F401


class Places:
    """Gives the components of one request their GPUs. The host is asked once, and only when somebody claims one."""

    def __init__(self, request: Request, layout: Layout, leaving: t.Collection[str] = ()):
        """leaving: the components that the request removes."""
        self._specs = {spec.name: spec for spec in request.specs if not request.names or spec.name in request.names}
        self._held = _held_beside({*self._specs, *leaving}, layout)
        self._claims = any(spec.gpus for spec in self._specs.values()) or bool(self._held)
        self._found: t.Optional[Found] = None

    def placed(self, spec: Spec, variant: Variant) -> Spec:
        """The specification with the environment of its GPUs, and their keys for its claim. Raises TargetError."""
        if not self._claims or not (spec.gpus or variant.device) or spec.name not in self._specs:
            return spec
        # Not at the top, see load().
        from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_place, _gpu_probe

        if self._found is None:
            self._found = _gpu_probe.probe()
        try:
            if spec.gpus:
                chosen = _gpu_place.claimed(spec.gpus, variant.device, self._found, self._held)
            else:
                held = {**self._held, **self._claimed_beside(spec, self._found)}
                chosen = _gpu_place.unclaimed(variant.device, self._found, held)
        except _gpu_place.PlaceError as error:
            raise TargetError(str(error)) from error
        variables = _gpu_place.environment(variant.device, chosen, self._found)
        keys = tuple(device.key for device in chosen) if spec.gpus else ()
        self._held.update(dict.fromkeys(keys, f"{spec.name} of fleet {spec.fleet}"))
        return dataclasses.replace(spec, gpus=keys, env={**variables, **spec.env})

    def _claimed_beside(self, own: Spec, found: Found) -> dict[str, str]:
        """What the other components of the request claim, whether or not they can have it."""
        claims = [(number, spec.name) for spec in self._specs.values() if spec.name != own.name for number in spec.gpus]
        return {
            device.key: name
            for device in found.devices or ()
            for number, name in claims
            if number in ("all", str(device.index))
        }


def _held_beside(replaced: t.Collection[str], layout: Layout) -> dict[str, str]:
    """Who holds a device, by its key, of the components that the request neither replaces nor removes."""
    held = {}
    try:
        folders = _store.list_folder(layout.components)
    except OSError as error:
        raise _store.StoreError(f"{layout.components} cannot be read: {error.strerror}") from error
    for folder in folders:
        if folder in replaced:
            continue
        try:
            receipt = _store.read_json(layout.receipt(folder)) or {}
        except _store.StoreError:
            continue  # whoever looks at that component says so
        for key in receipt.get(HELD, ()):
            held[key] = f"{receipt.get('name', folder)} of fleet {receipt.get('fleet')}"
    return held


def kept(targets: t.Mapping[str, Target], faults: t.Collection[str], layout: Layout) -> dict[str, str]:
    """The components that cannot have their GPUs since one that stays as it is has them, each with the reason.

    faults: components that stay as they are, because something is wrong with them.
    """
    staying = set(faults)
    found: dict[str, str] = {}
    while any(target.spec.gpus for target in targets.values()):
        held: dict[str, str] = {}
        for name in staying:
            with contextlib.suppress(_store.StoreError):
                held.update(dict.fromkeys((_store.read_json(layout.receipt(name)) or {}).get(HELD, ()), name))
        clashes = {
            name: f"GPU {key} is still held by {held[key]}, which stays as it is"
            for name, target in targets.items()
            if name not in staying
            for key in target.spec.gpus
            if key in held
        }
        found.update(clashes)
        staying.update(clashes)
        if not clashes:
            break
    return found
