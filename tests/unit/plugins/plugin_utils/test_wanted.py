# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models are asked for by hand, and where they go."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Hive, Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._wanted import Wanted, WantedError, models_from, wanted

SHA = "a" * 64
FLEET = Fleet(
    hives=(Hive("a", "a", "a", models=("org/m",)), Hive("b", "b", "b"), Hive("c", "c", "c")),
    models=(Model("org/m"), Model("later", source="url", url="u", sha256=SHA, hives=("b",), pre_download=False)),
)


def ask(*names: str, hives: str = "abc", limited: bool = False, state: str = "present", **given: str) -> Wanted:
    return wanted(FLEET, names, given, hives, limited, state, "/here")


def places(found: Wanted) -> dict[str, list[str]]:
    return {alias: [spec.served_name for spec in specs] for alias, specs in found.hosts.items()}


def test_a_declared_model_goes_where_it_is_declared() -> None:
    found = ask("org/m", "later")
    assert places(found) == {"a": ["org/m"], "b": ["later"]}
    assert (found.notes, found.from_hub) == ((), True)


def test_with_a_limit_a_model_goes_to_all_hives_of_the_run() -> None:
    found = ask("org/m", hives="bc", limited=True)
    assert places(found) == {"b": ["org/m"], "c": ["org/m"]}
    (note,) = found.notes
    assert note.startswith("org/m is not declared for b, c: it stays there until it is removed; rbee.fleet.sync")


def test_a_repository_that_is_not_declared_goes_where_the_limit_says() -> None:
    found = ask("org/new", hives="b", limited=True, file="q4.gguf", revision="v1")
    (spec,) = found.hosts["b"]
    source = spec.variants[0].sources["any"]
    assert (source.repository, source.name, source.revision) == ("org/new", "q4.gguf", "v1")
    assert found.notes[0].startswith("org/new is not declared: it stays on b until it is removed")


def test_a_file_from_elsewhere_has_its_source_from_its_keys() -> None:
    (spec,) = ask("new", hives="b", limited=True, url="https://x/y/m.gguf", sha256=SHA).hosts["b"]
    assert spec.variants[0].sources["any"].url == "https://x/y/m.gguf"


def test_a_model_is_removed_from_every_hive_of_the_run_whether_it_is_known_or_not() -> None:
    found = ask("org/m", "nobody-knows", state="absent")
    assert places(found) == {alias: ["org/m", "nobody-knows"] for alias in "abc"}
    assert found.notes == (
        "org/m is declared for a: the next install brings it back, unless it is taken out of the configuration",
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"names": ["org/new"]},
            "no hive is declared for org/new, so say where it is to go: --limit HIVE, where HIVE is",
        ),
        (
            {"names": ["latr"]},
            "there is no model latr in models.conf; did you mean 'later'? A repository of Hugging Face",
        ),
        ({"names": ["ORG/M"], "limited": True}, "ORG/M differs from org/m of models.conf only in case or punctuation"),
        (
            {"names": ["org/m"], "fetch": "controller"},
            "fetch: org/m is declared, so its table in models.conf says that; leave fetch out, or write"
            ' fetch = "controller" there',
        ),
        ({"names": ["org/m", "x/y"], "file": "x"}, "file: says where one model comes from; name one model, not 2"),
        ({"names": ["new"], "url": "https://x/m.gguf", "limited": True}, "model new: sha256: missing; source = 'url'"),
        ({"names": ["x/y"], "fetch": "nobody", "limited": True}, "model x/y: fetch: unknown value; expected one of"),
        ({"names": ["x y/z"], "limited": True}, "model x y/z: name: expected a model name"),
        ({"names": ["org/m"], "hives": ["queen"]}, "none of the hosts of this run is a hive; the hives are a, b, c"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(asked: dict[str, t.Any], said: str) -> None:
    with pytest.raises(WantedError) as error:
        ask(*asked.pop("names"), **asked)
    assert str(error.value).startswith(said)


def test_models_of_ones_own_inventory_are_names_and_tables() -> None:
    found = models_from(["org/m", {"name": "f", "path": "m.gguf", "sha256": SHA}], "/play", "models")
    assert found == (Model("org/m"), Model("f", source="file", path="/play/m.gguf", sha256=SHA))


def test_every_mistake_of_ones_own_inventory_is_reported() -> None:
    with pytest.raises(ConfigError) as error:
        models_from(
            [{"name": "a", "url": "https://x/a"}, {"nam": "b"}, {"name": "c", "hives": ["x"]}, 7], "/", "models"
        )
    assert [str(mistake) for mistake in error.value.mistakes] == [
        "models[0]: sha256: missing; source = 'url' needs it",
        "models[1]: nam: unknown key; did you mean 'name'?",
        "models[1]: name: missing; it is required",
        "models[2]: hives: unknown key; expected one of: fetch, file, name, path, revision, sha256, source, url",
        "models[3]: expected a table, not an integer",
    ]
