# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds ``rbee-hive`` and ``rbee-node``: the node library and a start as one executable zip file (a zipapp, PEP 441).

The bytes depend on the sources alone, so a host that already has this version has this digest. Nothing here imports
the entries: whoever builds one from an Ansible payload imports it itself, so that the payload holds it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import marshal
import os
import re
import typing as t

PACKAGE = "ansible_collections.rbee.fleet.plugins.module_utils"
NODE = "rbee-node"
MARK = f"{NODE}: "  # how the line begins with which it answers
ENTRIES = {"rbee-hive": "_agent"}  # what a catalog may name as its source
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip file can hold
_IMPORT = re.compile(rf"^\s*from {re.escape(PACKAGE)}(?:\.(\w+) import|(?: import (?:\(([^)]*)\)|(.*))))", re.MULTILINE)


@functools.cache
def build(name: str, interpreter: str = "/usr/bin/env python3") -> bytes:
    """The executable file *name*. interpreter: what runs it, a path and at most one word."""
    import zipfile  # not at the top: a run without changes needs the digests alone

    entry = _entry(name)
    buffer = io.BytesIO(f"#!{interpreter}\n".encode())
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        for path, data in sorted(_files(entry).items()):
            archive.writestr(zipfile.ZipInfo(path, EPOCH), data, zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def write_compiled(path: str, dest: str) -> None:
    """Write an executable file of build() again, with what this interpreter compiles from the sources beside them.

    zipimport takes the compiled form of a module where it can, whatever the times, and else the source: the flag in the
    header says that the source's hash is there and need not be checked (PEP 552).
    """
    import zipfile

    with open(path, "rb") as stream:
        data = stream.read()
    buffer = io.BytesIO(data)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(io.BytesIO(data)) as sources, zipfile.ZipFile(buffer, "a") as archive:
        for name in sources.namelist():
            source = sources.read(name)
            code = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
            header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
            archive.writestr(zipfile.ZipInfo(f"{name}c", EPOCH), header + code)
    with open(dest, "wb") as stream:
        os.fchmod(stream.fileno(), 0o755)
        stream.write(buffer.getvalue())


def digests() -> dict[str, str]:
    """The digest of each executable that a catalog may name."""
    return {name: digest_of(name) for name in ENTRIES}


@functools.cache
def digest_of(name: str) -> str:
    """SHA-256 of the content of an executable (not of its compressed form, which zlib may change)."""
    return _content_digest(_files(_entry(name)))


def _entry(name: str) -> str:
    return "_node" if name == NODE else ENTRIES[name]


def _content_digest(files: t.Mapping[str, bytes]) -> str:
    sha256 = hashlib.sha256()
    for path, data in sorted(files.items()):
        sha256.update(f"{path} {len(data)}\n".encode() + data)
    return sha256.hexdigest()


def _files(entry: str) -> dict[str, bytes]:
    folder = PACKAGE.replace(".", "/")
    files = {f"{folder}/{module}.py": data for module, data in _closure(entry).items()}
    parts = folder.split("/")
    for depth in range(1, len(parts) + 1):
        files["/".join(parts[:depth]) + "/__init__.py"] = b""
    files["__main__.py"] = (
        f"import sys\n\nfrom {PACKAGE} import {entry}\n\nsys.exit({entry}.main(sys.argv[1:]))\n".encode()
    )
    return files


@functools.cache
def _closure(entry: str) -> t.Mapping[str, bytes]:
    """The entry module and every module of this library that it imports, directly or not."""
    found: dict[str, bytes] = {}
    pending = [entry]
    while pending:
        module = pending.pop()
        if module in found:
            continue
        data = _source(module)
        found[module] = data
        for one, several, line in _IMPORT.findall(data.decode()):
            names = [one] if one else re.findall(r"\w+", re.sub(r"#.*", "", several or line))
            pending += [name for name in names if name.startswith("_")]
    return found


@functools.cache
def _source(module: str) -> bytes:
    """The source of a module, whether it lies in a folder, in Ansible's payload or in rbee-hive itself.

    Not by find_spec, which compiles what it finds in a zip file.
    """
    read = getattr(__spec__.loader, "get_data", None)
    if read is None:
        raise RuntimeError(f"the source of {module} cannot be read")
    return bytes(read(os.path.join(os.path.dirname(__file__), f"{module}.py")))
