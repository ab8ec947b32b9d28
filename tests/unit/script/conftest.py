# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the scripts, which are no package, as modules."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types
import typing as t

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "script"


@pytest.fixture(scope="session")
def load_script() -> t.Callable[[str], types.ModuleType]:
    def load(name: str) -> types.ModuleType:
        specification = importlib.util.spec_from_file_location(f"fleet_script_{name}", SCRIPTS / f"{name}.py")
        assert specification and specification.loader
        module = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = module  # a dataclass looks its own module up
        specification.loader.exec_module(module)
        return module

    return load
