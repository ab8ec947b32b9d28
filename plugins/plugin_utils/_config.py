# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the three configuration files, or from what stands for them, to a fleet, or to every mistake in them. Pure.

``_keys.py`` says what each key may hold, ``_models.py`` and ``_hives.py`` what the keys of a model, hive or worker have
to do with each other; here is the queen, and what only shows when the whole fleet is seen.
"""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, QUEEN
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _hives, _hives_conf, _keys, _models
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import QUEEN_URL, Catalog, Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY, Layered, layered, lost
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import parse as parse_toml

RBEE, HIVES, MODELS = FILES = ("rbee.conf", "hives.conf", "models.conf")

# Names that mean something else in an inventory, or to the playbooks.
RESERVED_HOSTS = (_fleet.QUEEN_HOST, "all", "ungrouped", "localhost", "rbee")
_OLDER = (
    "is in the older format ('Host NAME'), not in TOML; "
    "'ansible-playbook rbee.fleet.migrate -e hives_conf=FILE -e config=NEW_FOLDER' writes one"
)
_ONLY_STANDALONE = ("hostname", "ssh_user", "ssh_port", "connection")


def parse(texts: t.Mapping[str, str], catalog: Catalog, folder: str, given: t.Sequence[Document] = ()) -> _fleet.Fleet:
    """The fleet that the files declare.

    texts: content by file name (``FILES`` and ``TEMPORARY``); only hives.conf has to be there. folder: where the files
    lie. given: documents on top of them. Raises ConfigError with the mistakes of all files.
    """
    mistakes: list[Mistake] = []
    if HIVES not in texts:
        mistakes.append(Mistake(HIVES, 1, "", "not found; it declares the hives and has to be there"))
    documents = {name: _document(name, texts.get(name, ""), mistakes) for name in (*FILES, TEMPORARY)}
    mistakes.extend(lost(documents[HIVES], documents[TEMPORARY]))
    temporary = layered(documents[HIVES], documents[TEMPORARY], "hive")
    hives: Document = temporary
    models: Document = layered(documents[MODELS], documents[TEMPORARY], "model")
    for document in given:
        hives, models = layered(hives, document, "hive"), layered(models, document, "model")
    rbee, reader = Reader(documents[RBEE], mistakes), Reader(hives, mistakes)
    fleet = build(rbee, reader, Reader(models, mistakes), catalog, folder, imply_models=MODELS not in texts)
    _check_aliases(reader, fleet)
    check(rbee, reader, fleet, catalog)
    if mistakes:
        raise ConfigError(mistakes)
    return _marked(fleet, temporary)


def _marked(fleet: _fleet.Fleet, hives: Layered) -> _fleet.Fleet:
    """The fleet, with the mark of what is temporary."""

    def marked(path: Path, one: t.Any) -> t.Any:
        return dataclasses.replace(one, temporary=True) if path in hives.moved else one

    found = [
        dataclasses.replace(
            hive, workers=tuple(marked(("hive", at, "workers", i), worker) for i, worker in enumerate(hive.workers))
        )
        for at, hive in enumerate(fleet.hives)
    ]
    return dataclasses.replace(fleet, hives=tuple(marked(("hive", at), hive) for at, hive in enumerate(found)))


def build(
    rbee: Reader,
    hives: Reader,
    models: Reader,
    catalog: Catalog,
    folder: str,
    imply_models: bool = False,
    aliases: t.Collection[str] = (),
) -> _fleet.Fleet:
    """The fleet that three documents declare; the readers share one list, in which their mistakes are noted.

    folder: where relative paths start. imply_models: models need no declaration.
    aliases: hives that models may name beside those of the document. Raises ConfigError where the list is not empty to
    begin with: what the documents say about each other would only be guessed.
    """
    complete = not hives.mistakes
    general = rbee.table((), rbee.document.data, _keys.RBEE_CONF)
    hive_tables = hives.table((), hives.document.data, _keys.HIVES_CONF)["hive"]
    model_tables = models.table((), models.document.data, _keys.MODELS_CONF)["model"]
    if not complete:
        raise ConfigError(hives.mistakes)
    declared = [table["alias"] for table in hive_tables if table["alias"]]
    known = _models.build(models, model_tables, {*aliases, *declared}, folder)
    if imply_models:
        known = _hives.implied_models(hives, hive_tables) | known
    built = _hives.build(hives, hive_tables, known, catalog)
    token = reference(general["fleet"]["hf_token"], folder)
    key = reference(general["queen"]["api_key"], folder)
    return _fleet.Fleet(
        **general["fleet"] | {"prefix": _prefix(rbee, general["fleet"]), "hf_token": token},
        queen=_queen(rbee, general["queen"] | {"api_key": key}, built),
        hives=built,
        models=tuple(known.values()),
        package=_fleet.Package(**general["package"]),
        pull=_fleet.Pull(**general["pull"]) if general["pull"] else None,
    )


def check(rbee: Reader, hives: Reader, fleet: _fleet.Fleet, catalog: Catalog) -> None:
    """Notes what only shows when the whole fleet is seen."""
    again = _check_machines(hives, fleet)
    _check_reach(hives, fleet)
    check_ports(hives, fleet, fleet.queen_host, again)
    check_queen_url(hives, fleet, catalog)
    _check_open(rbee, fleet.queen, catalog.get(QUEEN))


def reference(given: str, folder: str) -> str:
    """A reference to a secret; a relative ``file:PATH`` starts at a folder, not where somebody happens to be."""
    path = given[len("file:") :]
    if not given.startswith("file:") or path.startswith("~"):
        return given
    return "file:" + posixpath.normpath(posixpath.join(folder, path))


def _document(name: str, text: str, mistakes: list[Mistake]) -> Document:
    try:
        return parse_toml(name, text)
    except ConfigError as error:
        older = name == HIVES and _hives_conf.is_older(text)
        mistakes.extend([Mistake(name, 1, "", _OLDER)] if older else error.mistakes)
        return Document(name, {}, {})


def _prefix(reader: Reader, table: _keys.Table) -> str:
    prefix = table["prefix"] or _fleet.PREFIXES[table["scope"]]
    if prefix.startswith("~") and table["scope"] == _fleet.SYSTEM:
        reader.wrong(("fleet", "prefix"), "'~' is for scope = 'user'; expected an absolute path")
    return str(prefix)


def _queen(reader: Reader, table: _keys.Table, hives: t.Sequence[_fleet.Hive]) -> _fleet.Queen:
    path: Path = ("queen",)
    if reader.given(path).get("mode", table["mode"]) != table["mode"]:
        return _fleet.Queen()  # not a mode at all, which has been reported
    if not _fleet.is_loopback(table["bind"]) and not table["api_key"] and not table["insecure"]:
        reader.wrong(path + ("bind",), "reachable from elsewhere: needs an api_key, or insecure = true to go without")
    alias, aliases = table["attached_hive_alias"], [hive.alias for hive in hives if hive.alias]
    alias_path = path + ("attached_hive_alias",)
    if table["mode"] == _fleet.STANDALONE:
        if alias:
            reader.wrong(alias_path, f"only with mode = '{_fleet.ATTACHED}'")
        return _fleet.Queen(**table | {"connection": _hives.connection(reader, path, table)})
    for key in _ONLY_STANDALONE:
        if key in reader.given(path):
            message = f"only with mode = '{_fleet.STANDALONE}'; an attached queen is on her hive's machine"
            reader.wrong(path + (key,), message)
    if not alias:
        reader.wrong(alias_path, f"missing; mode = '{_fleet.ATTACHED}' needs the alias of a hive")
    elif alias not in aliases:
        reader.wrong(alias_path, f"unknown hive; {suggestion(alias, aliases)}")
    host = next((hive for hive in hives if hive.alias == alias), None)
    return _fleet.Queen(**table | ({key: getattr(host, key) for key in _ONLY_STANDALONE} if host else {}))


def _check_open(reader: Reader, queen: _fleet.Queen, entry: Entry | None) -> None:
    """A queen that is not the gateway compares no key, and listens where she is told only if she is told."""
    if entry is None or entry.is_gateway:
        return
    if queen.api_key:
        reader.wrong(("queen", "api_key"), "the queen of your catalog (queen.toml) does not read it; remove it")
    if not queen.insecure and not entry.mentions("{address}"):
        message = (
            "the queen of your catalog (queen.toml) is not told where to listen, and may be reachable from elsewhere"
        )
        reader.wrong(("queen", "insecure"), f"expected true: {message}")


def _check_aliases(reader: Reader, fleet: _fleet.Fleet) -> None:
    """One inventory host a hive."""
    aliases: dict[str, int] = {}
    for index, hive in enumerate(fleet.hives):
        path: Path = ("hive", index)
        if hive.alias in RESERVED_HOSTS or hive.alias.startswith("rbee_"):
            reader.wrong(path + ("alias",), "reserved; choose another name, such as 'local-hive' or 'gpu-1'")
        first = aliases.setdefault(hive.alias, index)
        if hive.alias and first != index:
            reader.wrong(path + ("alias",), f"'{hive.alias}' is taken by the hive {reader.where(('hive', first))}")


def _check_machines(reader: Reader, fleet: _fleet.Fleet) -> set[int]:
    """One hive a machine. Returns the indexes of hives on a machine that has one already."""
    machines: dict[tuple[str, int, str], int] = {}
    again: set[int] = set()
    for index, hive in enumerate(fleet.hives):
        path: Path = ("hive", index)
        first = machines.setdefault(_fleet.machine(hive, fleet.scope), index)
        if hive.hostname and first != index:
            other = reader.where(("hive", first))
            reader.wrong(path + ("hostname",), f"same machine as the hive {other}; a machine has one hive")
            again.add(index)
    return again


def _check_reach(reader: Reader, fleet: _fleet.Fleet) -> None:
    """The queen can dial every hive."""
    queen = fleet.queen
    for index, hive in enumerate(fleet.hives):
        beside = _fleet.is_loopback(queen.hostname) and _fleet.is_loopback(hive.hostname)
        if _fleet.is_loopback(hive.address) and not beside and hive.alias != fleet.queen_host:
            message = f"the queen on {queen.hostname} cannot dial {hive.address} of another machine"
            reader.wrong(("hive", index, "address"), f"{message}; set an address that she can reach")


def check_queen_url(reader: Reader, fleet: _fleet.Fleet, catalog: Catalog, known: bool = True) -> None:
    """Whatever on a hive needs the queen's address can be told one. known: whether the queen is."""
    wanted = "{" + QUEEN_URL + "}"
    for index, hive in enumerate(fleet.hives):
        entries = [catalog.get(name) for name in (HIVE, *(worker.type for worker in hive.workers))]
        types = [entry.type for entry in entries if entry and entry.mentions(wanted)]
        given = [word for worker in hive.workers for word in (*worker.args, *worker.env.values())]
        types += ["args or env"] if any(wanted in (word or "") for word in given) else []
        if types and not known:
            message = f"{types[0]} needs {wanted}, which the role does not know; write the queen's address in its place"
            reader.wrong(("hive", index, "alias"), message)
        elif types and not _fleet.queen_url(fleet, hive):
            message = f"{types[0]} needs {wanted}, and this hive cannot reach the queen on {fleet.queen.bind}"
            reader.wrong(("hive", index, "alias"), f"{message}; set bind of the queen to her address")


def check_ports(reader: Reader, fleet: _fleet.Fleet, queen_host: str = "", left_out: t.Collection[int] = ()) -> None:
    """Notes the ports of an address that have two users. queen_host: hive of the queen. left_out: indexes of hives."""
    used: dict[tuple[str, int], str] = {}
    for index, hive in enumerate(fleet.hives):
        path: Path = ("hive", index)
        if index in left_out:
            continue
        if hive.alias == queen_host:
            used[hive.address, fleet.queen.port] = "the queen"
        services = [(path + ("hive_port",), hive.hive_port, f"the agent of hive '{hive.alias}'")]
        for position, worker in enumerate(hive.workers):
            place = path + ("workers", position)
            place += ("port",) if reader.given(place) else ()
            services.append((place, worker.port, f"worker '{worker.name}' of hive '{hive.alias}'"))
        for place, port, user in services:
            other = used.setdefault((hive.address, port), user) if hive.address and port else user
            if other != user:
                reader.wrong(place, f"port {port} on {hive.address} is taken by {other}")
