# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock as text: the same in one way only, and mistakes with their line."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Entry
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog_table import table_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Lock, Pin, narrowed
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile_text import read, write

SHIPPED = _load.read_catalog(_load.CATALOG)
PINS = {
    "org/m": Pin(
        "main", "c" * 40, {"a b/m.gguf": f"sha256:{'a' * 64}", "config.json": f"git:{'b' * 40}"}, "a b/m.gguf"
    ),
    "another": Pin("v1", "d" * 40, {"config.json": f"git:{'b' * 40}"}),
}


def lock_of(*names: str) -> Lock:
    entries: list[Entry] = [entry for name in names if (entry := SHIPPED.get(name))]
    return Lock(
        {entry.type: entry.latest for entry in entries},
        {(entry.type, entry.latest): narrowed(entry, entry.latest) for entry in entries},
        PINS,
    )


@pytest.mark.parametrize("name", SHIPPED.types())
def test_every_entry_of_the_catalog_is_read_as_it_was_written(name: str) -> None:
    assert read(write(lock_of(name))) == lock_of(name)


def test_the_text_depends_on_nothing_but_what_is_locked() -> None:
    lock = lock_of("vllm", "uv")
    turned = dataclasses.replace(
        lock,
        latest=dict(reversed(lock.latest.items())),
        entries=dict(reversed(lock.entries.items())),
        models=dict(reversed(lock.models.items())),
    )
    assert write(turned) == write(lock) == write(read(write(lock)))


def test_a_look_at_its_head_tells_the_versions() -> None:
    head = write(lock_of("vllm", "uv")).split("[[", maxsplit=1)[0].strip().split("\n")
    vllm, uv = SHIPPED.get("vllm"), SHIPPED.get("uv")
    assert vllm and uv
    assert head[-4:] == ["", "[latest]", f'uv = "{uv.latest}"', f'vllm = "{vllm.latest}"']


def test_a_table_says_only_what_is_not_usual() -> None:
    uv = SHIPPED.get("uv")
    assert uv
    assert table_of(uv).keys() == {"kind", "summary", "release"}


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text)
    return [str(mistake) for mistake in raised.value.mistakes]


@pytest.mark.parametrize(
    ("was", "becomes", "at", "said"),
    [
        ("[latest]", "<<<<<<< HEAD\n[latest]", "<<<<", "invalid TOML at column 1"),
        ("lock = 1", "lock = 2", "lock =", "lock: is of a newer rbee.fleet; install that version or a newer one"),
        ("lock = 1", "lock = []", "lock =", "lock: expected lock = 1"),
        ("[latest]", "lists = 1\n[latest]", "lists", "lists: unknown key"),
        ('type = "uv"', 'type = "uv"\nkindly = 1', "kindly", "kindly: unknown key; did you mean 'kind'?"),
        ('uv = "', 'uv = "9', "uv =", "latest.uv: there is no [[catalog]] of uv 9"),
        ("commit = ", "commit = 1 #", "commit =", "model[0].commit: expected a string (a commit), not an integer"),
        ('"config.json"', '"../config.json"', '"../', "model[0].files.'../config.json': expected a name like"),
        ("\nsha256 = ", "\nstrip = 1 #", "[catalog.release.source", "sha256: missing; what is downloaded is only"),
    ],
)
def test_damage_is_named_with_its_line_and_what_to_do(was: str, becomes: str, at: str, said: str) -> None:
    damaged = write(lock_of("uv")).replace(was, becomes, 1)
    (found,) = mistakes(damaged)
    line = next(number for number, text in enumerate(damaged.split("\n"), 1) if text.startswith(at))
    assert found.startswith(f"rbee.lock:{line}: ") and said in found
    assert found.endswith("restore rbee.lock from git, or delete it and run install, which chooses anew")


def test_a_digest_cannot_be_taken_away_from_a_requirement() -> None:
    text = write(lock_of("supervisor"))
    (found,) = mistakes(text.replace("supervisor==", "supervisor>=", 1))
    assert "expected every line pinned like name==1.2.3" in found
