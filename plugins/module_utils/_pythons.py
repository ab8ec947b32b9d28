# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python of a host runs our programs, and which one an environment is built on."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _interpreter
from ansible_collections.rbee.fleet.plugins.module_utils._host_plan import PYTHON
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from ansible_collections.rbee.fleet.plugins.module_utils._supply import glibc_version
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, HostFacts, TargetError, build_of, choose
from ansible_collections.rbee.fleet.plugins.module_utils._versions import in_range

MINIMUM = ">=3.9"


def own(scope: str) -> str:
    """The host's own interpreter, by a path that outlives virtual environments and version managers."""
    return _interpreter.find_interpreter(MINIMUM, for_service=scope == SYSTEM).path


def brought(
    tools: t.Mapping[str, Spec], facts: HostFacts, layout: Layout
) -> t.Optional[tuple[Build, _interpreter.Interpreter]]:
    """The Python that can be brought to this host, whether or not it is here; None where there is none that runs."""
    tool = tools.get(PYTHON)
    if tool is None or not glibc_version():
        return None
    try:
        variant, source = choose(tool, facts)
    except TargetError:
        return None  # for platforms that the catalog does not have
    build = build_of(tool, variant, source, "", facts, layout)
    program = "python" + ".".join(tool.version.split(".")[:2])
    return build, _interpreter.Interpreter(os.path.join(build.path, "bin", program), tool.version)


def for_environment(requires: str, known: str, facts: HostFacts, python: t.Optional[_interpreter.Interpreter]) -> str:
    """The interpreter of the last install while it fits, so that a newer Python beside it rebuilds nothing.

    python: that can be brought, for want of one on the host.
    """
    fits = python is not None and in_range(python.version, requires)
    if python and fits and known == python.path:
        return known
    candidates = [known, *_interpreter.host_candidates()] if known else None
    try:
        return _interpreter.find_interpreter(requires, candidates, for_service=facts.scope == SYSTEM).path
    except _interpreter.NoInterpreter:
        if python and fits:
            return python.path
        raise
