# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is locked of a fleet, what stays, and what a change of the configuration or the catalog does to it."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, PythonEnv, Source, Variant
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _lockfile
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry, Release
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Lock, Pin
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import tools

HIVE = '[[hive]]\nalias = "a"\nhostname = "10.0.0.1"\n'
COMMIT, LATER = "c" * 40, "d" * 40
FILES = {"m.gguf": f"sha256:{'a' * 64}"}


def entry(name: str, *versions: str, kind: str = "worker", **more: t.Any) -> Entry:
    """A type with these versions, newest first, each with sources for two platforms."""
    platforms = ("linux-x86_64", "linux-aarch64")
    releases = tuple(
        Release(version, Variant(build, {where: _source(f"{name}-{version}-{build}-{where}") for where in platforms}))
        for version in versions
        for build in ("cuda", "cpu")
    )
    port = {"worker": 8000, "queen": 8500, "hive": 8600}.get(kind, 0)
    command = ("run", versions[0]) if port else ()  # how it is run changes with the version
    health = Health("/health") if port else Health()
    return Entry(name, kind, releases, summary=name, port=port, command=command, health=health, **more)


def _source(name: str) -> Source:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Source("archive", f"https://example.org/{name}.tar.gz", sha256=digest, size=7)


def catalog(*entries: Entry) -> Catalog:
    """With what every fleet uses."""
    bundled = Release("bundled", Variant("default", {"any": Source("bundled", name="x")}))
    env = Variant("default", {"any": Source("python", env=PythonEnv(requirements="hf==1\n"))})
    fixed = (
        dataclasses.replace(entry("queen", "1", kind="queen"), releases=(bundled,), command=("{files}/haproxy.cfg",)),
        dataclasses.replace(entry("hive", "1", kind="hive"), releases=(bundled,)),
        entry("uv", "1", kind="tool"),
        dataclasses.replace(entry("huggingface", "1", kind="tool"), releases=(Release("1", env),)),
    )
    return Catalog({item.type: item for item in (*fixed, *entries)})


class Site:
    """A configuration, a catalog, and the lock of the last run. own: the user's catalog."""

    def __init__(self, *workers: str, models: str = "", own: Catalog = Catalog({})) -> None:
        self.lock, self.own = Lock(), own
        self.declare(*workers, models=models)

    def declare(self, *workers: str, models: str = "") -> None:
        self.texts = {"hives.conf": f"{HIVE}workers = [{', '.join(workers)}]\n", "models.conf": models}

    def run(self, shipped: Catalog, update: bool = False, pins: t.Mapping[str, Pin] | None = None) -> list[str]:
        """One installation: what it changes in the lock."""
        self.catalog = _lockfile.locked(shipped, self.lock, update).merged(self.own)
        fleet = _config.parse(self.texts, self.catalog, "/etc/fleet")
        known = {**self.lock.models, **(pins or {})}
        new = _lockfile.lock_of(fleet, self.catalog, self.own.types(), known)
        found = [str(change) for change in _lockfile.differences(self.lock, new)]
        self.lock, self.fleet = new, _lockfile.pinned(fleet, new)
        return found

    def specs(self) -> dict[str, t.Any]:
        found = {spec.name: spec for plan in resolve(self.fleet, self.catalog).values() for spec in plan.specs}
        return found | {spec.name: spec for spec in tools(self.fleet, self.catalog)}


OLD, NEW = catalog(entry("engine", "1"), entry("other", "5")), catalog(entry("engine", "2"), entry("other", "6"))


def test_what_is_used_is_locked_with_the_digests_of_every_platform_and_what_cannot_be_is_not() -> None:
    site = Site('"engine"')
    assert site.run(OLD) == ["engine: 1", "uv: 1"]
    assert site.lock.latest == {"engine": "1", "uv": "1"}
    variants = {release.variant.name: release.variant for release in site.lock.entries["engine", "1"].releases}
    assert set(variants) == {"cuda", "cpu"}
    assert all(source.sha256 for variant in variants.values() for source in variant.sources.values())
    assert set(variants["cpu"].sources) == {"linux-x86_64", "linux-aarch64"}


def test_locking_changes_no_specification_and_a_second_run_changes_no_lock() -> None:
    site = Site('"engine"', '{ type = "other", port = 9000 }')
    site.run(OLD)
    before, lock = site.specs(), site.lock
    assert site.run(OLD) == []
    assert (site.specs(), site.lock) == (before, lock)


def test_what_is_locked_stays_as_it_was_whatever_a_later_catalog_says() -> None:
    site = Site('"engine"')
    site.run(OLD)
    before = site.specs()
    for later in (NEW, catalog()):  # the second has no such type any more
        assert site.run(later) == []
        assert site.specs()["engine"] == before["engine"]
        assert site.specs()["engine"].command == ("run", "1")
        assert site.specs()["uv"] == before["uv"]


def test_only_what_is_new_in_the_configuration_is_chosen_anew() -> None:
    site = Site('"engine"')
    site.run(OLD)
    site.declare('"engine"', '{ type = "other", port = 9000 }')
    assert site.run(NEW) == ["other: 6"]
    assert {name: site.specs()[name].version for name in ("engine", "other")} == {"engine": "1", "other": "6"}


def test_an_update_takes_the_newest_and_a_second_one_changes_nothing() -> None:
    site = Site('"engine"')
    site.run(OLD)
    assert [str(found) for found in _lockfile.newer(site.lock, NEW, ())] == ["engine: 1 -> 2"]
    assert site.run(NEW, update=True) == ["engine: 1 -> 2"]
    assert site.specs()["engine"].command == ("run", "2")
    assert site.run(NEW, update=True) == site.run(NEW) == []
    assert _lockfile.newer(site.lock, NEW, ()) == []


def test_an_older_collection_neither_takes_back_nor_offers_what_is_older() -> None:
    site = Site('"engine"')
    site.run(NEW)
    assert _lockfile.newer(site.lock, OLD, ()) == []
    assert site.run(OLD) == site.run(OLD, update=True) == []
    assert site.specs()["engine"].version == "2"


def test_a_version_whose_digests_have_changed_is_offered_and_taken_by_an_update() -> None:
    site = Site('"engine"')
    site.run(OLD)
    mended = catalog(dataclasses.replace(entry("engine", "1"), releases=entry("engine-mended", "1").releases))
    assert site.run(mended) == []
    assert [str(found) for found in _lockfile.newer(site.lock, mended, ())] == ["engine: 1, changed"]
    assert site.run(mended, update=True) == ["engine: 1, changed"]


def test_a_version_in_the_configuration_wins_and_the_lock_follows() -> None:
    both = catalog(entry("engine", "2", "1"))
    site = Site('"engine"')
    site.run(both)
    site.declare('{ type = "engine", version = "1" }')
    assert site.run(both) == ["engine: 2, no longer used", "engine: 1"]
    assert site.specs()["engine"].version == "1" and site.lock.latest == {"uv": "1"}


def test_a_named_version_that_is_locked_outlives_its_catalog() -> None:
    site = Site('{ type = "engine", version = "1" }', '{ type = "engine", name = "two", port = 9000 }')
    site.run(catalog(entry("engine", "2", "1")))
    before = site.specs()
    assert set(site.lock.entries) == {("engine", "1"), ("engine", "2"), ("uv", "1")}
    for update in (False, True):
        site.run(catalog(entry("engine", "3")), update)
        assert (site.specs()["engine"].version, site.specs()["two"].version) == ("1", "3" if update else "2")
        assert site.specs()["engine"] == before["engine"]  # also in how it is run


def test_a_version_that_nobody_knows_is_a_mistake() -> None:
    site = Site('{ type = "engine", version = "7" }')
    with pytest.raises(ConfigError, match="the catalog has no such version"):
        site.run(OLD)


def test_what_leaves_the_configuration_leaves_the_lock() -> None:
    site = Site('"engine"')
    site.run(OLD)
    site.declare()
    assert site.run(OLD) == ["engine: 1, no longer used"]


def test_the_user_s_own_types_are_configuration() -> None:
    site = Site('"engine"', own=Catalog({"engine": entry("engine", "9")}))
    assert site.run(OLD) == ["uv: 1"]
    site.own = Catalog({"engine": entry("engine", "10")})
    assert site.run(OLD) == []
    assert site.specs()["engine"].version == "10"


# Models


HUB = '[[model]]\nname = "org/m"\nhives = ["a"]\nfile = "m.gguf"\n'


def test_a_model_is_fetched_at_the_commit_that_is_locked() -> None:
    site = Site(models=HUB)
    assert site.run(OLD) == ["huggingface: 1", "uv: 1"]
    assert [model.name for model in _lockfile.unpinned(site.fleet, site.lock)] == ["org/m"]
    assert site.run(OLD, pins={"org/m": Pin("main", COMMIT, FILES, "m.gguf")}) == [f"org/m: {COMMIT[:12]}"]
    spec = site.specs()["model-org-m"]
    (source,) = spec.variants[0].sources.values()
    assert (spec.version, source.revision, source.files) == ("main", COMMIT, FILES)
    assert site.run(OLD) == [] and _lockfile.unpinned(site.fleet, site.lock) == ()


@pytest.mark.parametrize("other", ['revision = "v2"', 'file = "n.gguf"'])
def test_a_model_that_is_declared_otherwise_has_to_be_asked_for_again(other: str) -> None:
    site = Site(models=HUB)
    site.run(OLD, pins={"org/m": Pin("main", COMMIT, FILES, "m.gguf")})
    site.declare(models=HUB.replace('file = "m.gguf"', other))
    assert site.run(OLD) == [f"org/m: {COMMIT[:12]}, no longer used"]
    assert [model.name for model in _lockfile.unpinned(site.fleet, site.lock)] == ["org/m"]


def test_models_that_are_on_no_hive_or_from_elsewhere_are_not_locked() -> None:
    fleet = Fleet(models=(Model("org/m"), Model("url", source="url", url="https://example.org/x", sha256="a" * 64)))
    assert _lockfile.hub_models(fleet) == ()
    waiting = Model("org/m", hives=("a",), pre_download=False)
    assert _lockfile.hub_models(Fleet(models=(waiting,))) == (waiting,)


def test_of_a_model_the_files_are_locked_that_are_fetched() -> None:
    listed = [RemoteFile("m.gguf", 9, "a" * 64, "b" * 40), RemoteFile("README.md", 1, "", "e" * 40)]
    assert _lockfile.pin_of(Model("org/m", file="m.gguf"), COMMIT, listed) == Pin("main", COMMIT, FILES, "m.gguf")
    every = _lockfile.pin_of(Model("org/m"), COMMIT, listed).files
    assert every == {**FILES, "README.md": f"git:{'e' * 40}"}


def test_a_model_that_the_hub_does_not_have_as_declared_is_refused() -> None:
    listed = [RemoteFile("m.gguf", 9, "a" * 64, "b" * 40)]
    with pytest.raises(SourceError, match=r"no file n\.gguf at revision main; near: m\.gguf"):
        _lockfile.pin_of(Model("org/m", file="n.gguf"), COMMIT, listed)
    with pytest.raises(SourceError, match="is not the expected file"):
        _lockfile.pin_of(Model("org/m", file="m.gguf", sha256="f" * 64), COMMIT, listed)


def test_a_commit_that_moved_is_named_with_where_it_came_from() -> None:
    old = Lock(models={"org/m": Pin("main", COMMIT, FILES)})
    new = Lock(models={"org/m": Pin("main", LATER, FILES)})
    assert [str(found) for found in _lockfile.differences(old, new)] == [f"org/m: {COMMIT[:12]} -> {LATER[:12]}"]
