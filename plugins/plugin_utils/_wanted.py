# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models somebody asks for by hand, and for which hives. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys, _models
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, dotted, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path

PRESENT, ABSENT = "present", "absent"
SOURCE_KEYS = ("url", "path", "sha256", "file", "revision", "fetch")
"""What says where a model comes from, as in models.conf."""

Table = t.Mapping[str, t.Any]


class WantedError(Exception):
    """What was asked for cannot be done; the message says why and what to type instead."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """hosts: the specifications of models by the alias of a hive. notes: what people must know besides."""

    hosts: t.Mapping[str, tuple[Spec, ...]]
    notes: tuple[str, ...] = ()
    from_hub: bool = False


class _Reader(Reader):
    """Names a thing by what the tables are called, with a number where there are several."""

    def __init__(self, tables: t.Sequence[t.Any], where: str, mistakes: list[Mistake]) -> None:
        super().__init__(Document(where, {"model": list(tables)}, {}), mistakes)

    def wrong(self, path: Path, message: str) -> None:
        where = self.document.name + (f"[{path[1]}]" if len(self.document.data["model"]) > 1 else "")
        self.mistakes.append(Mistake(where, 0, dotted(path[2:]), message))


def models_from(tables: t.Sequence[str | Table], folder: str, where: str) -> tuple[_fleet.Model, ...]:
    """Models from tables with the keys of models.conf, without ``hives``; a name alone is a repository of Hugging Face.

    A table without a ``source`` has the one that its keys belong to. folder: where relative paths start.
    where: what the tables are called in mistakes. Raises ConfigError.
    """
    mistakes: list[Mistake] = []
    full = [_with_source({"name": one} if isinstance(one, str) else one) for one in tables]
    reader = _Reader(full, where, mistakes)
    keys = {name: key for name, key in _keys.MODEL.items() if name not in ("hives", "pre_download")}
    usual = {"hives": (), "pre_download": True}
    read = [reader.table(("model", index), table, keys) | usual for index, table in enumerate(full)]
    found = _models.build(reader, read, (), folder)
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found.values())


def _with_source(table: t.Any) -> t.Any:
    if not isinstance(table, dict) or "source" in table or not {"url", "path"} & table.keys():
        return table
    return {**table, "source": _keys.URL if "url" in table else _keys.FILE}


def wanted(
    fleet: _fleet.Fleet,
    names: t.Sequence[str],
    given: Table,
    hives: t.Collection[str],
    limited: bool,
    state: str = PRESENT,
    folder: str = "",
) -> Wanted:
    """What is to be brought, or taken away, where.

    names: of models. given: of ``SOURCE_KEYS`` those that were given, which one model can have. hives: hosts of the
    run. limited: whether it was limited to these. folder: where a relative path starts. Raises WantedError.
    """
    declared = {model.name: model for model in fleet.models}
    chosen = [alias for alias in (hive.alias for hive in fleet.hives) if alias in hives]
    models = [_model(fleet, name, given, len(names), state, folder) for name in names]
    if not chosen:
        raise WantedError(f"none of the hosts of this run is a hive; the hives are {_listed(fleet)}")
    hosts: dict[str, list[Spec]] = {}
    notes: list[str] = []
    for model in models:
        own = [hive.alias for hive in fleet.hives if model.name in hive.models or hive.alias in model.hives]
        places = chosen if limited or state == ABSENT else [alias for alias in chosen if alias in own]
        if not places:
            raise WantedError(
                f"no hive is declared for {model.name}, so say where it is to go: --limit HIVE, where HIVE is one of "
                f"{_listed(fleet)}, or --limit rbee_hives for all of them"
            )
        for alias in places:
            hosts.setdefault(alias, []).append(model_spec(fleet, model))
        notes += _notes(model, model.name in declared, places, own, state)
    from_hub = any(model.source == _keys.HUGGINGFACE for model in models)
    return Wanted({alias: tuple(specs) for alias, specs in hosts.items()}, tuple(notes), from_hub)


def _model(fleet: _fleet.Fleet, name: str, given: Table, count: int, state: str, folder: str) -> _fleet.Model:
    known = {model.name: model for model in fleet.models}
    if given and count > 1:
        raise WantedError(f"{sorted(given)[0]}: says where one model comes from; name one model, not {count}")
    if name in known:
        if given:
            key = sorted(given)[0]
            raise WantedError(
                f"{key}: {name} is declared, so its table in models.conf says that; "
                f'leave {key} out, or write {key} = "{given[key]}" there'
            )
        return known[name]
    if state == PRESENT and not {"url", "path"} & given.keys() and "/" not in name:
        raise WantedError(
            f"there is no model {name} in models.conf; {suggestion(name, known)} A repository of Hugging Face is named "
            f"organisation/model; for a file elsewhere add url and sha256"
        )
    for other in known:
        if _fleet.slug(other) == _fleet.slug(name):
            raise WantedError(f"{name} differs from {other} of models.conf only in case or punctuation")
    try:
        return models_from([{"name": name, **given}], folder, f"model {name}")[0]
    except ConfigError as error:
        raise WantedError(str(error)) from None


def _notes(
    model: _fleet.Model, is_declared: bool, places: t.Sequence[str], own: t.Sequence[str], state: str
) -> t.Iterator[str]:
    if state == ABSENT:
        back = [alias for alias in places if alias in own]
        if back:
            yield (
                f"{model.name} is declared for {', '.join(back)}: the next install brings it back, unless it is taken "
                f"out of the configuration"
            )
        return
    extra = [alias for alias in places if alias not in own]
    if extra:
        where = f" for {', '.join(extra)}: it stays there" if is_declared else f": it stays on {', '.join(extra)}"
        adopts = "rbee.fleet.sync with -e rbee_extra=adopt"
        yield f"{model.name} is not declared{where} until it is removed; {adopts} declares it"


def _listed(fleet: _fleet.Fleet) -> str:
    return ", ".join(hive.alias for hive in fleet.hives) or "none"
