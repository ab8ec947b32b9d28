# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a host for all that an installation would stumble over. Reads only.

The survey of a dry run finds most of it; here is what shows only when things are fetched or started.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _converge,
    _disk,
    _host,
    _lock,
    _packages,
    _preflight_rules,
    _store,
)
from ansible_collections.rbee.fleet.plugins.module_utils._finding import WARNING, Finding, finding_of
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import FROM_HOST
from ansible_collections.rbee.fleet.plugins.module_utils._plan import FETCH
from ansible_collections.rbee.fleet.plugins.module_utils._request import PRESENT, Request
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, binaries, model_path

SYSTEMS = ("linux-x86_64", "linux-aarch64")
STANDS_FOR = "a secret stays on the controller"  # what is rendered from it is never written


def preflight(request: Request, sizes: t.Mapping[str, int], now: float) -> tuple[list[Finding], list[str]]:
    """Everything at once, and the names of components of which nothing has to be fetched.

    The list of findings is empty when nothing is in the way.
    sizes: bytes of files of the controller, by path. now: the controller's clock, seconds since the epoch, or 0.
    """
    found = [*_of_rights(request.scope), *_of_folder(request.prefix), *_of_platform(), *_of_lock(request.prefix)]
    if now:
        found += _preflight_rules.of_clock(time.time() - now)
    secrets = dict.fromkeys(_preflight_rules.secrets_of(request.specs), STANDS_FOR)
    try:
        survey = _converge.look(dataclasses.replace(request, state=PRESENT, stage=False, secrets=secrets))
    except _converge.ConvergeError as error:
        return [*found, finding_of("host", str(error))], []
    found += _preflight_rules.of_faults(survey.faults)
    found += _of_packages(survey, request)
    found += _of_space(survey, sizes)
    found += _of_memory(survey, sizes)
    return found, [name for name, plan in survey.plans.items() if not plan.has(FETCH)]


def _of_rights(scope: str) -> t.Iterator[Finding]:
    if scope == SYSTEM and os.geteuid() != 0:
        yield Finding("sudo", "the scope of the fleet is system, which needs root", "use become, or scope = 'user'")


def _of_platform() -> t.Iterator[Finding]:
    platform = _host.platform_name()
    if platform not in SYSTEMS:
        yield Finding("host", f"{platform} is not supported", f"use a machine of {' or '.join(SYSTEMS)}")


def _of_folder(prefix: str) -> t.Iterator[Finding]:
    """Whether an installation could write below the prefix, and run what it has written there."""
    place = prefix
    while not os.path.exists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        yield Finding("disk", f"{place} is not a folder", "move it away, or choose another prefix")
        return
    flags = os.statvfs(place).f_flag
    if flags & os.ST_RDONLY:
        yield Finding("disk", f"the file system of {prefix} is read-only", "mount it writable")
    elif not os.access(place, os.W_OK | os.X_OK):
        yield Finding("disk", f"{place} cannot be written", "check its owner and mode, or choose another prefix")
    if flags & os.ST_NOEXEC:
        yield Finding("disk", f"the file system of {prefix} runs no programs (noexec)", "choose another prefix")


def _of_lock(prefix: str) -> t.Iterator[Finding]:
    try:
        holder = _lock.holder(Layout(prefix).lock)
    except OSError:
        return  # not ours to read, which the folder has told
    if holder is not None:
        yield finding_of("host", _lock.busy(holder), WARNING)


def _of_packages(survey: Survey, request: Request) -> t.Iterator[Finding]:
    """Programs and libraries of the system that are missing and that nobody would install, or that are too old."""
    may_install = request.scope == SYSTEM and request.fetch == FROM_HOST
    for name, target in survey.targets.items():
        build = target.build
        try:
            if build.source.kind == "system-package":
                _packages.check_binary(build.source, may_install)
            for soname, packages in build.variant.libraries.items():
                _packages.check_library(soname, packages, may_install)
            for source in binaries(build.variant):
                _packages.check_binary(source, may_install)
        except SourceError as error:
            yield finding_of(name, str(error))


def _of_space(survey: Survey, sizes: t.Mapping[str, int]) -> list[Finding]:
    builds = [survey.targets[name].build for name, plan in survey.plans.items() if plan.has(FETCH)]
    if not builds:
        return []
    needed = 0
    for build in {build.path: build for build in builds}.values():
        cached = os.path.join(survey.layout.cache, build.source.sha256 or "-")
        needed += 0 if os.path.isfile(cached) else _preflight_rules.size_of(build.source, sizes)
    return _preflight_rules.of_space(survey.layout.prefix, needed, _disk.free_space(survey.layout.prefix))


def _of_memory(survey: Survey, sizes: t.Mapping[str, int]) -> list[Finding]:
    """Of the models whose worker has no GPU here."""
    wanted: dict[str, int] = {}
    for worker, model in _preflight_rules.served(target.spec for target in survey.targets.values()).items():
        if not survey.targets[worker].build.variant.device and model in survey.targets:
            build = survey.targets[model].build
            wanted[model] = _installed_size(build) or _preflight_rules.size_of(build.source, sizes)
    return _preflight_rules.of_memory(wanted, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _installed_size(build: Build) -> int:
    path = model_path(build)
    return 0 if _store.tree_fault(build.path) or not os.path.isfile(path) else os.path.getsize(path)
