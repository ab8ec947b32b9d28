# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock: what a fleet takes from outside its configuration, as it was when it was chosen. Pure.

Locked are the entries of the collection's own catalog, each with one version, and the commits of Hugging Face
repositories. What has nothing to pin (system packages, what is built from the collection) is not in it, and neither are
types of the user's own catalog folder, which lies beside it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE, choose_files
from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, QUEEN
from ansible_collections.rbee.fleet.plugins.module_utils._versions import is_older
from ansible_collections.rbee.fleet.plugins.plugin_utils import _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_source
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import TOOLS

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile

NAME = "rbee.lock"

_NOTHING_TO_PIN = ("bundled", "system-package")


@dataclasses.dataclass(frozen=True)
class Pin:
    """A model of Hugging Face. revision, file: as declared. commit: what the revision was.

    files: digest of each file of the model by path, ``sha256:…``, or ``git:…`` (the name of the blob) of small ones.
    """

    revision: str
    commit: str
    files: t.Mapping[str, str]
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Lock:
    """latest: the version that ``latest`` stands for, by type. entries: of one version each, by type and version.

    models: by name.
    """

    latest: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    entries: t.Mapping[tuple[str, str], Entry] = dataclasses.field(default_factory=dict)
    models: t.Mapping[str, Pin] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which two locks differ. before, after: versions or commits, empty where there is none."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.before == self.after:
            return f"{self.name}: {self.after}, changed"
        if not self.before or not self.after:
            return f"{self.name}: {self.after or self.before}{'' if self.after else ', no longer used'}"
        return f"{self.name}: {self.before} -> {self.after}"


def locked(shipped: Catalog, lock: Lock, update: bool = False) -> Catalog:
    """The collection's catalog, in which what is locked stands as it is locked.

    update: only where the catalog itself has nothing as new.
    """
    latest, entries = lock.latest, lock.entries
    if update:
        latest = {name: version for name, version in latest.items() if not _is_renewed(shipped, name, version)}
        entries = {key: entry for key, entry in entries.items() if not _has(shipped, *key)}
    of_versions = {
        (name, version): entry
        for name in shipped.types()
        for entry in (_known(shipped, name),)
        for version in entry.versions
    } | dict(entries)
    types = {name for name, _version in of_versions}
    return Catalog({name: _composed(name, latest.get(name, ""), of_versions) for name in types}, of_versions)


def _composed(name: str, latest: str, of_versions: t.Mapping[tuple[str, str], Entry]) -> Entry:
    """The entry of a type with the releases of all its versions, the latest first."""
    versions = [version for kind, version in of_versions if kind == name]
    latest = latest if latest in versions else versions[0]
    ordered = [latest, *(version for version in versions if version != latest)]
    releases = tuple(
        release for version in ordered for release in of_versions[name, version].releases if release.version == version
    )
    return dataclasses.replace(of_versions[name, latest], releases=releases)


def _is_renewed(shipped: Catalog, name: str, version: str) -> bool:
    """Whether the catalog has something as new. An older catalog, of somebody else's collection, does not take back."""
    entry = shipped.get(name)
    return entry is not None and not is_older(entry.latest, version)


def _has(catalog: Catalog, name: str, version: str) -> bool:
    entry = catalog.get(name)
    return entry is not None and version in entry.versions


def lock_of(fleet: Fleet, catalog: Catalog, own: t.Collection[str], models: t.Mapping[str, Pin]) -> Lock:
    """What is to be locked of a fleet. catalog: that the fleet was read with. own: types that the user's folder has.

    models: what is known of any model; those that fit what is declared are taken.
    """
    hub = {model.name for model in hub_models(fleet)}
    # The queen and the agent are used by every fleet.
    tools = (name for name in TOOLS if name != HUGGINGFACE or hub)
    used = {(name, _known(catalog, name).latest) for name in (QUEEN, HIVE, *tools) if catalog.get(name)}
    used |= {(worker.type, worker.version) for hive in fleet.hives for worker in hive.workers}
    entries = {
        (name, version): entry
        for name, version in sorted(used)
        if name not in own
        for entry in (narrowed(_known(catalog, name, version), version),)
        if _has_something_to_pin(entry)
    }
    latest = {name: version for name, version in entries if _known(catalog, name).latest == version}
    pins = {model.name: models[model.name] for model in hub_models(fleet) if fits(model, models.get(model.name))}
    return Lock(latest, entries, dict(sorted(pins.items())))


def narrowed(entry: Entry, version: str) -> Entry:
    """An entry with one version alone."""
    releases = tuple(release for release in entry.releases if release.version == version)
    return dataclasses.replace(entry, releases=releases)


def _known(catalog: Catalog, name: str, version: str = "") -> Entry:
    entry = catalog.get(name, version)
    if entry is None:
        raise KeyError(f"the catalog has no '{name}'")
    return entry


def _has_something_to_pin(entry: Entry) -> bool:
    sources = [source for release in entry.releases for source in release.variant.sources.values()]
    return any(source.kind not in _NOTHING_TO_PIN for source in sources)


def hub_models(fleet: Fleet) -> tuple[Model, ...]:
    """The models of Hugging Face that are on some hive, or that wait to be brought to one by hand."""
    wanted = {name for hive in fleet.hives for name in hive.models} | {one.name for one in fleet.models if one.hives}
    return tuple(model for model in fleet.models if model.name in wanted and model.source == _keys.HUGGINGFACE)


def fits(model: Model, pin: Pin | None) -> bool:
    """Whether a pin is of what is declared."""
    return pin is not None and (pin.revision, pin.file) == (model.revision, model.file)


def unpinned(fleet: Fleet, lock: Lock) -> tuple[Model, ...]:
    """The models of which the lock says nothing that fits."""
    return tuple(model for model in hub_models(fleet) if not fits(model, lock.models.get(model.name)))


def pinned(fleet: Fleet, lock: Lock) -> Fleet:
    """The fleet with what the lock says of its models."""
    models = tuple(
        dataclasses.replace(model, commit=pin.commit, files=pin.files)
        if (pin := lock.models.get(model.name)) and model.source == _keys.HUGGINGFACE and fits(model, pin)
        else model
        for model in fleet.models
    )
    return dataclasses.replace(fleet, models=models)


def pin_of(model: Model, commit: str, files: t.Sequence[RemoteFile]) -> Pin:
    """What the hub says of a model. Raises SourceError when that is not what is declared."""
    chosen = choose_files(model_source(dataclasses.replace(model, commit="", files={})), files)
    return Pin(model.revision, commit, {file.path: file.digest for file in chosen}, model.file)


def differences(old: Lock, new: Lock) -> list[Difference]:
    """In what they differ, by name."""
    found = []
    for name in sorted({*old.latest, *new.latest}):
        before, after = old.latest.get(name, ""), new.latest.get(name, "")
        if before != after or old.entries.get((name, before)) != new.entries.get((name, after)):
            found.append(Difference(name, before, after))
    for key in sorted({*old.entries, *new.entries}):
        name, version = key
        if version in (old.latest.get(name), new.latest.get(name)) or old.entries.get(key) == new.entries.get(key):
            continue
        found.append(Difference(name, version if key in old.entries else "", version if key in new.entries else ""))
    for name in sorted({*old.models, *new.models}):
        pins = old.models.get(name), new.models.get(name)
        if pins[0] != pins[1]:
            before, after = (pin.commit[:12] if pin else "" for pin in pins)
            found.append(Difference(name, before, after))
    return found


def newer(lock: Lock, shipped: Catalog, own: t.Collection[str]) -> list[Difference]:
    """What the collection's catalog has that is newer than, or differs from, what is locked as the latest."""
    found = []
    for name, version in sorted(lock.latest.items()):
        entry = shipped.get(name)
        if entry is None or name in own:
            continue
        other = narrowed(entry, entry.latest) != lock.entries[name, version]
        if other and not is_older(entry.latest, version):
            found.append(Difference(name, version, entry.latest))
    return found
