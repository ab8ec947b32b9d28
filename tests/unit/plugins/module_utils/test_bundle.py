# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as one file."""

from __future__ import annotations

import ast
import io
import zipfile

from ansible_collections.rbee.fleet.plugins.module_utils import _bundle

FOLDER = _bundle.PACKAGE.replace(".", "/")


def contents() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(_bundle.build("rbee-hive"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_starts_like_a_program_and_is_a_zip_file() -> None:
    data = _bundle.build("rbee-hive")
    assert data.startswith(b"#!/usr/bin/env python3\n")
    assert zipfile.is_zipfile(io.BytesIO(data))


def test_it_holds_every_module_that_a_module_in_it_imports() -> None:
    files = contents()
    needed = set()
    for data in files.values():
        for node in ast.walk(ast.parse(data)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_bundle.PACKAGE):
                inside = [node.module] if node.module != _bundle.PACKAGE else []
                needed.update(inside or [f"{node.module}.{alias.name}" for alias in node.names])
    assert {f"{str(name).replace('.', '/')}.py" for name in needed} <= set(files)


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
