# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as one file."""

from __future__ import annotations

import ast
import io
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _bundle

FOLDER = _bundle.PACKAGE.replace(".", "/")


def contents(name: str = "rbee-hive") -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(_bundle.build(name))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_starts_like_a_program_and_is_a_zip_file() -> None:
    data = _bundle.build("rbee-hive")
    assert data.startswith(b"#!/usr/bin/env python3\n")
    assert zipfile.is_zipfile(io.BytesIO(data))


@pytest.mark.parametrize("name", ["rbee-hive", "rbee-node"])
def test_it_holds_every_module_that_a_module_in_it_imports(name: str) -> None:
    files = contents(name)
    needed = set()
    for data in files.values():
        for node in ast.walk(ast.parse(data)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_bundle.PACKAGE):
                inside = [node.module] if node.module != _bundle.PACKAGE else []
                needed.update(inside or [f"{node.module}.{alias.name}" for alias in node.names])
    assert {f"{str(module).replace('.', '/')}.py" for module in needed} <= set(files)


def test_it_holds_nothing_of_the_controller() -> None:
    assert {name for name in contents() if not name.startswith(FOLDER) and not name.endswith("__init__.py")} == {
        "__main__.py"
    }
    assert not [name for name, data in contents().items() if b"\nfrom ansible." in data or b"\nimport ansible" in data]


def test_the_same_sources_make_the_same_bytes() -> None:
    first = _bundle.build("rbee-hive")
    _bundle.build.cache_clear()
    assert _bundle.build("rbee-hive") == first


def test_its_digest_is_that_of_its_content() -> None:
    assert _bundle.digests() == {"rbee-hive": _bundle._content_digest(contents())}


def test_what_a_host_keeps_can_build_the_agent() -> None:
    assert contents("rbee-hive").keys() <= contents("rbee-node").keys()


def test_the_compiled_form_is_used_and_the_sources_stay(tmp_path: pathlib.Path) -> None:
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    plain.write_bytes(_bundle.build("rbee-node", sys.executable))
    _bundle.write_compiled(str(plain), str(compiled))
    assert os.access(compiled, os.X_OK)
    with zipfile.ZipFile(compiled) as archive:
        names = set(archive.namelist())
    assert names == contents("rbee-node").keys() | {f"{name}c" for name in contents("rbee-node")}
    ask = f"import sys; sys.path.insert(0, {str(compiled)!r}); from {_bundle.PACKAGE} import _bundle as b; "
    ask += "print(b.__file__); print(b.digest_of('rbee-node')); print(b.digests()['rbee-hive'])"
    done = subprocess.run([sys.executable, "-I", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        f"{compiled}/{FOLDER}/_bundle.pyc",
        _bundle.digest_of("rbee-node"),
        _bundle.digests()["rbee-hive"],
    ]
