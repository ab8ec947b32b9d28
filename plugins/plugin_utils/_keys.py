# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of the three configuration files: type, default and range of each. Pure data."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_config import LARGEST_REQUEST_BYTES
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import (
    Check,
    Key,
    Reader,
    array,
    boolean,
    choice,
    integer,
    kind,
    mapping,
    table,
    tables,
    text,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Path

Table = dict[str, t.Any]
"""A table that was read: the value of every key."""

HUGGINGFACE, URL, FILE = "huggingface", "url", "file"
MODEL_SOURCES = (HUGGINGFACE, URL, FILE)
LATEST = "latest"

_port = integer(1, 65535)
_host = text(r"[A-Za-z0-9:][A-Za-z0-9._:%-]*", "a host name or IP address")
_user = text(r"[A-Za-z0-9_][A-Za-z0-9._@\\$+-]*", "a user name")
_alias = text(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "up to 63 letters, digits, '.', '_' and '-'")
_component = text(r"[a-z0-9]([a-z0-9_-]{0,46}[a-z0-9])?", "up to 48 lower-case letters, digits, '_' and '-'")
_model = text(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}", "a model name such as 'organisation/model'")
_repository_file = text(
    r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*", "a file in the repository or archive"
)
_local_path = text(
    r"[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*", "a path, absolute or from the folder of models.conf, without '~'"
)
_url = text(
    r"https?://[^\s/@\\]+/([^\s?#\\]*/)?[^\s/?#\\]+([?#]\S*)?", "an http or https URL of a file, without credentials"
)
_reference = text(
    r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f]+",
    "a reference, env:NAME or file:PATH; the secret itself must not stand in the configuration",
)
_prefix = re.compile(r"(~|/[A-Za-z0-9._-]+)(/[A-Za-z0-9._-]+)+")


def _folder(reader: Reader, path: Path, value: t.Any) -> t.Any:
    expected = "an absolute path at least two folders deep, such as '/opt/rbee' (or '~/rbee' in user scope)"
    if not isinstance(value, str):
        reader.wrong(path, f"expected {expected}, not {kind(value)}")
    elif not _prefix.fullmatch(value) or {".", ".."} & set(value.split("/")):
        reader.wrong(path, f"expected {expected}")
    else:
        return value
    return None


def _gpus(reader: Reader, path: Path, value: t.Any) -> t.Any:
    if value == _fleet.ALL_GPUS:
        return value
    if not isinstance(value, list):
        reader.wrong(path, f"expected an array of device indexes or 'all', not {kind(value)}")
        return None
    indexes = array(integer(0, 255))(reader, path, value)
    if not value:
        reader.wrong(path, "expected at least one device index, or 'all'")
    elif len(set(indexes)) < len(indexes):
        reader.wrong(path, "names a device twice")
    return indexes


def _worker(reader: Reader, path: Path, value: t.Any) -> t.Any:
    if isinstance(value, str):
        return reader.table(path, {"type": value}, WORKER)
    if isinstance(value, dict):
        return reader.table(path, value, WORKER)
    reader.wrong(path, f'expected a worker type or a table such as {{ type = "llama-cpp" }}, not {kind(value)}')
    return None


def _defaults(of: type, **checks: Check) -> dict[str, Key]:
    """Keys whose defaults are those of a dataclass of the fleet."""
    fields = {name: field.default for name, field in of.__dataclass_fields__.items()}  # type: ignore[attr-defined]
    return {name: Key(check, fields[name]) for name, check in checks.items()}


_REACHED = {"ssh_user": _user, "ssh_port": _port, "connection": choice(_fleet.LOCAL, _fleet.SSH)}

QUEEN = _defaults(
    _fleet.Queen,
    mode=choice(_fleet.STANDALONE, _fleet.ATTACHED),
    attached_hive_alias=text(),
    port=_port,
    auto_start=boolean,
    hostname=_host,
    bind=_host,
    api_key=_reference,
    insecure=boolean,
    max_request_bytes=integer(1024, LARGEST_REQUEST_BYTES),
    **_REACHED,
) | {"connection": Key(_REACHED["connection"])}

FLEET = _defaults(
    _fleet.Fleet,
    name=_alias,
    scope=choice(_fleet.SYSTEM, _fleet.USER),
    prefix=_folder,
    fetch=choice("host", "controller"),
    hf_token=_reference,
) | {"prefix": Key(_folder)}

PACKAGE = _defaults(
    _fleet.Package,
    max_concurrent_installs=integer(1, 1000),
    ssh_timeout=integer(1, 3600),
    health_check_timeout=integer(1, 86400),
)

WORKER = {
    "type": Key(text(), required=True),
    "name": Key(_component),
    "version": Key(text(), LATEST),
    "port": Key(_port, 0),
    "model": Key(text()),
    "gpus": Key(_gpus, ()),
    "args": Key(array(text(r"[^\x00\r\n]*", "text on one line")), ()),
    "env": Key(
        mapping(r"[A-Za-z_][A-Za-z0-9_]*", "CUDA_LAUNCH_BLOCKING", text(r"[^\x00\r\n]*", "text on one line")), {}
    ),
    "variant": Key(text()),
}

HIVE = _defaults(_fleet.Hive, hive_port=_port, auto_start=boolean, **_REACHED) | {
    "alias": Key(_alias, required=True),
    "hostname": Key(_host, required=True),
    "address": Key(_host),
    "connection": Key(_REACHED["connection"]),
    "workers": Key(array(_worker), ()),
    "models": Key(array(_model), ()),
}

MODEL = _defaults(
    _fleet.Model,
    source=choice(*MODEL_SOURCES),
    hives=array(text()),
    pre_download=boolean,
    sha256=text(r"[0-9a-fA-F]{64}", "64 hexadecimal digits"),
    url=_url,
    path=_local_path,
    file=_repository_file,
    revision=text(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "a branch, tag or commit"),
    fetch=choice("host", "controller"),
) | {"name": Key(_model, required=True)}

RBEE_CONF = {"fleet": table(FLEET), "queen": table(QUEEN), "package": table(PACKAGE)}
HIVES_CONF = {"hive": tables(HIVE)}
MODELS_CONF = {"model": tables(MODEL)}
