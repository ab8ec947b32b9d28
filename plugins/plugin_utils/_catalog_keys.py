# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a catalog entry: type, default and range of each. Pure data.

``docs/catalog.md`` says what each of them means.
"""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import ANY_PLATFORM, HIVE, QUEEN, TOOL, WORKER
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import (
    Check,
    Key,
    Reader,
    array,
    boolean,
    choice,
    integer,
    mapping,
    table,
    tables,
    text,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Path

DEFAULT_VARIANT = "default"
NO_MODEL, OPTIONAL, REQUIRED = "none", "optional", "required"
PLATFORMS = ("linux-x86_64", "linux-aarch64", ANY_PLATFORM)
NAME = r"[a-z][a-z0-9-]*"


def _file_content(reader: Reader, path: Path, value: t.Any) -> t.Any:
    """``"name" = "text"``, or a table: ``{ content = "text", template = true }``, ``{ file = "name" }``,
    ``{ each_model = "text" }``.
    """
    if isinstance(value, str):
        return value
    found = reader.table(path, value, _FILE)
    if isinstance(value, dict) and len({"content", "file", "each_model"} & value.keys()) != 1:
        reader.wrong(
            path,
            "expected exactly one of content (the text itself), file (a file beside the entry) and each_model (a text "
            "for every model that is served on demand)",
        )
    return found


_TEXT = text()
_ANYTHING = text(r"(?s:.*)", "text")
_WORDS = Key(array(text(r"[^\x00]+", "text that is not empty")), ())
_VARIABLES = Key(
    mapping(r"[A-Za-z_][A-Za-z0-9_]*", "an environment variable", text(r"[^\x00\n]*", "text on one line")), {}
)
_VERSION = text(r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a version such as 1.2.3")
_SHA256 = text(r"[0-9a-f]{64}", "a SHA-256 digest: 64 lower-case hexadecimal digits")
_RELATIVE = text(r"(?!.*(^|/)\.\.?(/|$))[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*", "a relative path without '..'")

_PACKAGES = mapping("apt|dnf|zypper|pacman|apk", "apt, dnf, zypper, pacman or apk", array(_TEXT))

_FILE = {
    "content": Key(_ANYTHING),
    "file": Key(_RELATIVE),
    "each_model": Key(_ANYTHING),
    "template": Key(boolean, False),
}

_ORIGIN = {
    "url": Key(text(r"(https?|file)://\S+", "an http, https or file URL")),
    "path": Key(text(r"/.+", "an absolute path on the controller")),
    "sha256": Key(_SHA256),
    "size": Key(integer(1, 2**50), 0),
    "strip": Key(integer(0, 16), 0),
}

SOURCE = {
    "kind": Key(choice("archive", "file", "system-package", "bundled"), required=True),
    **_ORIGIN,
    "also": tables(_ORIGIN),
    "name": Key(text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a file name")),
    "packages": Key(_PACKAGES, {}),
    "binary": Key(text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a program")),
    "minimum": Key(text(r"\d+(\.\d+){0,2}", "a version such as 2.6")),
}

KIND_KEYS = {
    "archive": (*_ORIGIN, "also"),
    "file": ("url", "path", "sha256", "size", "name"),
    "system-package": ("packages", "binary", "minimum"),
    "bundled": ("name",),
}

PYTHON = {
    "requires": Key(_TEXT),
    "lock": Key(_RELATIVE),
    "requirements": Key(_ANYTHING),
    "torch_backend": Key(_TEXT),
    "overrides": Key(_ANYTHING),
}


def _one(keys: t.Mapping[str, Key]) -> Check:
    return lambda reader, path, value: reader.table(path, value, keys)


RELEASE = {
    "version": Key(_VERSION, required=True),
    "variant": Key(text(NAME, "a name such as cuda"), DEFAULT_VARIANT),
    "device": Key(choice("nvidia", "amd", "intel", "vulkan")),
    "command": _WORDS,
    "models_command": _WORDS,
    "env": _VARIABLES,
    "libraries": Key(mapping(r"lib[A-Za-z0-9_+.-]+\.so[.0-9]*", "a soname such as libgomp.so.1", _PACKAGES), {}),
    "python": Key(_one(PYTHON), None),
    "source": Key(mapping("|".join(PLATFORMS), "linux-x86_64, linux-aarch64 or any", _one(SOURCE)), {}),
}

ENTRY = {
    "kind": Key(choice(QUEEN, HIVE, WORKER, TOOL), WORKER, required=True),
    "summary": Key(_TEXT, required=True),
    "port": Key(integer(1, 65535), 0),
    "model": Key(choice(NO_MODEL, OPTIONAL, REQUIRED), NO_MODEL),
    "model_format": Key(choice("gguf", "safetensors")),
    "command": _WORDS,
    "model_command": _WORDS,
    "models_command": _WORDS,
    "check": _WORDS,
    "env": _VARIABLES,
    "programs": Key(mapping(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the name of a program", _WORDS.check), {}),
    "files": Key(mapping(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]*", "serve.py", _file_content), {}),
    "health": table({"path": Key(text(r"/\S*", "a path such as /health")), "timeout": Key(integer(1, 86400), 60)}),
    "service": table(
        {
            "stop_timeout": Key(integer(1, 3600), 30),
            "reload_signal": Key(text(r"[A-Z][A-Z0-9]+", "a signal such as USR2")),
            "capabilities": Key(array(text(r"CAP_[A-Z_]+", "a capability such as CAP_NET_BIND_SERVICE")), ()),
            "nofile": Key(integer(1, 2**20), 0),
            "devices": Key(boolean, False),
            "drain_timeout": Key(integer(0, 86400), 300),
        }
    ),
    "release": Key(tables(RELEASE).check, (), required=True),
}
