# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any configuration, right or wrong."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve
from hypothesis import given, settings
from hypothesis import strategies as st

Table = dict[str, t.Any]
FILES = (*_config.FILES, TEMPORARY)
QUICK = settings(deadline=None, max_examples=50)


def toml(value: t.Any) -> str:
    """One TOML value; tables are written inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(table: Table) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())


def outcome(texts: dict[str, str], engines: Catalog) -> _fleet.Fleet | None:
    """The fleet, or None where it is refused as it should be."""
    try:
        fleet = _config.parse(texts, engines, "/etc/fleet")
    except ConfigError as error:
        assert error.mistakes
        for mistake in error.mistakes:
            assert mistake.file in FILES
            assert 1 <= mistake.line <= texts.get(mistake.file, "").count("\n") + 1
            assert mistake.message
            assert str(mistake).isprintable()
        return None
    assert resolve(fleet, engines)
    return fleet


@QUICK
@given(st.dictionaries(st.sampled_from(FILES), st.text()))
def test_any_text_is_a_fleet_or_mistakes_with_places(engines: Catalog, texts: dict[str, str]) -> None:
    outcome(texts, engines)


WORDS = st.sampled_from(["gpu-1", "gpu-2", "vllm", "llama-cpp", "localhost", "127.0.0.1", "org/m", "latest", "ssh", ""])
SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), WORDS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6
)


def like(keys: t.Iterable[str], **shapes: st.SearchStrategy[t.Any]) -> st.SearchStrategy[Table]:
    """Tables with some of these keys, and now and then a value of the right shape."""
    return st.fixed_dictionaries({}, optional={key: shapes.get(key, VALUES) | VALUES for key in keys})


WORKERS = st.lists(WORDS | like(_keys.WORKER), max_size=3)
HIVES = st.lists(like(_keys.HIVE, alias=WORDS, hostname=WORDS, workers=WORKERS, models=st.lists(WORDS)), max_size=3)
MODELS = st.lists(like(_keys.MODEL, name=WORDS, hives=st.lists(WORDS)), max_size=3)
TABLES = {"queen": _keys.QUEEN, "fleet": _keys.FLEET, "package": _keys.PACKAGE, "pull": _keys.PULL}
GENERAL = like(_keys.RBEE_CONF, **{name: like(keys) for name, keys in TABLES.items()})


@QUICK
@given(like(["hive"], hive=HIVES), GENERAL, like(["model"], model=MODELS), like(["hive", "model"], hive=HIVES))
def test_any_values_of_the_right_keys_are_a_fleet_or_mistakes(
    engines: Catalog, hives: Table, rbee: Table, models: Table, temporary: Table
) -> None:
    texts = {"hives.conf": hives, "rbee.conf": rbee, "models.conf": models, TEMPORARY: temporary}
    outcome({name: document(table) for name, table in texts.items()}, engines)


@st.composite
def valid(draw: st.DrawFn) -> tuple[Table, Table, Table]:
    """A configuration without a mistake: rbee.conf, hives.conf, models.conf."""
    names = draw(st.lists(st.sampled_from(["org/a", "org/b", "c.gguf", "Big-Model:8b"]), unique=True))
    aliases = draw(st.lists(st.from_regex(r"gpu-[a-z0-9]{1,4}", fullmatch=True), min_size=1, max_size=4, unique=True))
    hives = []
    for index, alias in enumerate(aliases):
        ports = draw(st.lists(st.integers(1024, 65535), min_size=5, max_size=5, unique=True))
        workers = []
        for position in range(draw(st.integers(0, 3))):
            worker: Table = {"type": "vllm", "name": f"w{position}", "port": ports[position]}
            worker |= draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "version": st.sampled_from(["1.0", "2.0"]),
                        "args": st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]))),
                        "env": st.dictionaries(
                            st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), st.sampled_from(["", "{{ x }}"])
                        ),
                        "variant": st.sampled_from(["cuda", "cpu"]),
                        "model": st.sampled_from(names) if names else st.nothing(),
                    },
                )
            )
            if worker.get("variant") != "cpu" and draw(st.booleans()):
                worker["gpus"] = [position, position + 3]
            workers.append(worker)
        hive = {"alias": alias, "hostname": f"10.0.0.{index}", "workers": workers, "hive_port": ports[4]}
        hive |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "ssh_user": st.sampled_from(["ops", "DOM\\user"]),
                    "ssh_port": st.integers(1, 65535),
                    "address": st.just(f"fd00::{index + 1}"),
                    "auto_start": st.booleans(),
                    "models": st.lists(st.sampled_from(names), unique=True) if names else st.just([]),
                },
            )
        )
        hives.append(hive)
    models = [{"name": name, "hives": draw(st.lists(st.sampled_from(aliases), unique=True))} for name in names]
    queen = draw(
        st.sampled_from(
            [
                {},
                {"mode": "attached-hive", "attached_hive_alias": aliases[0], "port": 1023},
                {"hostname": "10.1.0.1", "bind": "10.1.0.1", "api_key": "file:/etc/key", "auto_start": False},
            ]
        )
    )
    return {"queen": queen}, {"hive": hives}, {"model": models}


def written(fleet: _fleet.Fleet) -> dict[str, str]:
    """The fleet as configuration files that leave nothing to defaults."""
    queen = vars(fleet.queen).copy()
    if fleet.queen.mode == _fleet.ATTACHED:
        queen = {
            key: value for key, value in queen.items() if key not in ("hostname", "ssh_user", "ssh_port", "connection")
        }
    general = {key: getattr(fleet, key) for key in _keys.FLEET}
    hives = [vars(hive) | {"workers": [dict(vars(worker)) for worker in hive.workers]} for hive in fleet.hives]
    for table in [*hives, *(worker for hive in hives for worker in hive["workers"])]:
        table.pop("temporary")
    return {
        "rbee.conf": document({"fleet": said(general), "queen": said(queen), "package": vars(fleet.package)}),
        "hives.conf": document({"hive": said(hives)}),
        "models.conf": document(
            {"model": said([{key: getattr(model, key) for key in _keys.MODEL} for model in fleet.models])}
        ),
    }


def said(value: t.Any) -> t.Any:
    """Without the keys that say nothing; the values of an environment may be empty."""
    if isinstance(value, dict):
        return {key: item if key == "env" else said(item) for key, item in value.items() if item not in ("", ())}
    return [said(item) for item in value] if isinstance(value, list) else value


@QUICK
@given(valid())
def test_a_fleet_written_out_and_read_again_is_the_same(engines: Catalog, tables: tuple[Table, Table, Table]) -> None:
    texts = {f"{name}.conf": document(table) for name, table in zip(("rbee", "hives", "models"), tables, strict=True)}
    fleet = _config.parse(texts, engines, "/etc/fleet")
    assert _config.parse(written(fleet), engines, "/etc/fleet") == fleet


@QUICK
@given(valid())
def test_every_declared_value_is_in_the_fleet(engines: Catalog, tables: tuple[Table, Table, Table]) -> None:
    texts = {f"{name}.conf": document(table) for name, table in zip(("rbee", "hives", "models"), tables, strict=True)}
    fleet = _config.parse(texts, engines, "/etc/fleet")
    for table, hive in zip(tables[1]["hive"], fleet.hives, strict=True):
        for key in table.keys() - {"workers", "models"}:
            assert getattr(hive, key) == table[key]
        assert set(table.get("models", ())) <= set(hive.models)
        for declared, worker in zip(table["workers"], hive.workers, strict=True):
            for key, value in declared.items():
                assert getattr(worker, key) == (tuple(value) if isinstance(value, list) else value)
