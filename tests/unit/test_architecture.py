# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may import what."""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys
import typing as t

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
PACKAGE = "ansible_collections.rbee.fleet.plugins"
FILES = {
    f"{PACKAGE}.{'.'.join(path.relative_to(PLUGINS).with_suffix('').parts)}": path
    for path in sorted(PLUGINS.rglob("*.py"))
    if path.name != "__init__.py"
}
HOST = {name for name in FILES if ".module_utils." in name}
CONTROLLER = {name for name in FILES if ".plugin_utils." in name}


def imports_of(path: pathlib.Path) -> set[str]:
    """Every module that the file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


IMPORTS: t.Final = {name: imports_of(path) for name, path in FILES.items()}


def circle_from(start: str) -> list[str]:
    """The shortest way from a module back to itself inside the collection; empty when there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in sorted(IMPORTS[way[-1]] & FILES.keys()):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


@pytest.mark.parametrize("name", sorted(HOST))
def test_the_node_library_needs_nothing_but_the_standard_library(name: str) -> None:
    standard = set(getattr(sys, "stdlib_module_names", ())) or pytest.skip("sys.stdlib_module_names is new in 3.10")
    foreign = {module for module in IMPORTS[name] if module.split(".")[0] not in standard}
    assert {module for module in foreign if not module.startswith(f"{PACKAGE}.module_utils")} == set()


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_module_imports_itself_by_a_detour(name: str) -> None:
    assert circle_from(name) == []


@pytest.mark.parametrize("name", sorted(HOST))
def test_every_module_of_the_node_library_imports(name: str) -> None:
    importlib.import_module(name)


@pytest.mark.parametrize("name", sorted(FILES.keys() - HOST))
def test_every_module_of_the_controller_imports(name: str) -> None:
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    importlib.import_module(name)
