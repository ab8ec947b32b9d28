# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock as text, and back: TOML that is written in one way only, so that a change shows as such in git. Pure.

::

    lock = 1                      the format

    [latest]                      what ``latest`` stands for
    llama-cpp = "2026.10"

    [[model]]                     a model of Hugging Face, as in ``_lockfile.Pin``
    name = "organisation/model"
    …

    [[catalog]]                   an entry of the catalog with one version, as ``docs/catalog.md`` describes it
    type = "llama-cpp"
    …
"""

from __future__ import annotations

import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Entry, entry_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog_table import table_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import NAME, Lock, Pin
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Key, Reader, mapping, text
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, parse
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import dumps

FORMAT = 1
HEAD = """\
# What this fleet takes from outside its configuration: the versions that "latest" stands for, with every digest, and
# the commits of models. Written by rbee.fleet.install; keep it in git beside the configuration. To renew it:
# ansible-playbook rbee.fleet.install -e rbee_update=true

"""
REMEDY = f"restore {NAME} from git, or delete it and run install, which chooses anew"

_ANY_TEXT = text(r"[^\x00-\x1f\x7f]+", "text on one line")
_PATH = r"(?!.*(^|/)\.\.(/|$))[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*"
_MODEL = {
    "name": Key(_ANY_TEXT, required=True),
    "revision": Key(_ANY_TEXT, required=True),
    "file": Key(_ANY_TEXT),
    "commit": Key(text(r"[0-9a-f]{40,64}", "a commit"), required=True),
    "files": Key(
        mapping(_PATH, "weights.gguf", text(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}", "a digest")), {}, required=True
    ),
}


def write(lock: Lock) -> str:
    """The text of a lock."""
    models = [
        {"name": name, "revision": pin.revision, **({"file": pin.file} if pin.file else {}), "commit": pin.commit}
        | {"files": dict(sorted(pin.files.items()))}
        for name, pin in sorted(lock.models.items())
    ]
    entries = [{"type": name, **table_of(entry)} for (name, _version), entry in sorted(lock.entries.items())]
    data: dict[str, t.Any] = {"lock": FORMAT, "latest": dict(sorted(lock.latest.items()))}
    return HEAD + dumps(data | ({"model": models} if models else {}) | {"catalog": entries})


def read(content: str) -> Lock:
    """The inverse of :func:`write`. Raises ConfigError with file and line of every mistake, and what to do."""
    try:
        return _read(parse(NAME, content))
    except ConfigError as error:
        told = [*error.mistakes[:-1], _with_remedy(error.mistakes[-1])]
        raise ConfigError(told) from None


def _with_remedy(mistake: Mistake) -> Mistake:
    return Mistake(mistake.file, mistake.line, mistake.key, f"{mistake.message}; {REMEDY}")


def _read(document: Document) -> Lock:
    data, reader = document.data, Reader(document, [])
    if data.get("lock") != FORMAT:
        known = isinstance(data.get("lock"), int) and data["lock"] > FORMAT
        why = "is of a newer rbee.fleet; install that version or a newer one" if known else f"expected lock = {FORMAT}"
        raise ConfigError([Mistake(NAME, document.line(("lock",)), "lock", why)])
    for name in data.keys() - {"lock", "latest", "model", "catalog"}:
        reader.wrong((name,), "unknown key; it may be of a newer rbee.fleet")
    versions = mapping(r"[a-z][a-z0-9-]*", "llama-cpp", _ANY_TEXT)(reader, ("latest",), data.get("latest", {}))
    models = {}
    for index, item in enumerate(_tables(reader, "model")):
        found = reader.table(("model", index), item, _MODEL)
        name = found.pop("name")
        models[name] = Pin(**found)
    entries: dict[tuple[str, str], Entry] = {}
    for index, item in enumerate(_tables(reader, "catalog")):
        try:
            entry = _entry(document, index, item)
        except ConfigError as error:
            reader.mistakes += error.mistakes
            continue
        if len(entry.versions) > 1:
            reader.wrong(("catalog", index), "expected one version")
        entries[entry.type, entry.latest] = entry
    for name, version in (versions or {}).items():
        if (name, version) not in entries and not reader.mistakes:
            reader.wrong(("latest", name), f"there is no [[catalog]] of {name} {version}")
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return Lock(versions, entries, models)


def _tables(reader: Reader, name: str) -> list[t.Any]:
    found = reader.document.data.get(name, [])
    if isinstance(found, list):
        return found
    reader.wrong((name,), f"expected an array of tables; write [[{name}]]")
    return []


def _entry(document: Document, index: int, item: t.Any) -> Entry:
    """One entry, read as the catalog's own files are."""
    if not isinstance(item, dict):
        raise ConfigError([Mistake(NAME, document.line(("catalog", index)), "catalog", "expected a table")])
    place = ("catalog", index)
    lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == place}
    part = Document(NAME, {key: value for key, value in item.items() if key != "type"}, lines)
    return entry_of(str(item.get("type", "")), part, _nothing_beside)


def _nothing_beside(name: str) -> str:
    raise FileNotFoundError(f"a lock holds everything itself, and not {name}")
