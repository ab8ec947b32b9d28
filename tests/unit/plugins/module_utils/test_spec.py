# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between controller and host: what one sends, the other reads, and anything else is refused by name."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    KINDS,
    File,
    Health,
    PythonEnv,
    Service,
    Source,
    Spec,
    SpecError,
    Variant,
    from_dict,
    to_dict,
    with_arguments,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(max_size=8)
MAPPING = st.dictionaries(TEXT, TEXT, max_size=3)
WORDS = st.lists(TEXT, max_size=3).map(tuple)
NUMBER = st.integers(0, 70000)
ENV = st.builds(PythonEnv, TEXT, TEXT, TEXT, TEXT)


def source(also: st.SearchStrategy[t.Any]) -> st.SearchStrategy[Source]:
    return st.builds(
        Source,
        kind=TEXT,
        url=TEXT,
        sha256=TEXT,
        size=NUMBER,
        strip=NUMBER,
        also=also,
        env=st.none() | ENV,
        packages=st.dictionaries(TEXT, WORDS, max_size=2),
    )


SOURCE = source(st.lists(source(st.just(())), max_size=2).map(tuple))
VARIANT = st.builds(
    Variant, name=TEXT, sources=st.dictionaries(TEXT, SOURCE, max_size=2), device=TEXT, command=WORDS, env=MAPPING
)
FILE = st.builds(File, path=st.sampled_from(["f", "a/b", "..f"]), content=TEXT, secret=TEXT, template=st.booleans())
SPEC = st.builds(
    Spec,
    name=TEXT,
    type=TEXT,
    kind=st.sampled_from(KINDS),
    fleet=TEXT,
    version=TEXT,
    variants=st.lists(VARIANT, min_size=1, max_size=2).map(tuple),
    command=WORDS,
    env=MAPPING,
    secret_env=MAPPING,
    files=st.lists(FILE, max_size=2).map(tuple),
    port=NUMBER,
    health=st.builds(Health, TEXT, NUMBER),
    service=st.builds(Service, NUMBER, TEXT, WORDS, NUMBER, st.booleans(), NUMBER),
    auto_start=st.booleans(),
    idle=TEXT,
    gpus=WORDS,
    programs=st.dictionaries(TEXT, WORDS, max_size=2),
)


@given(SPEC)
def test_what_the_controller_sends_is_what_the_host_reads(spec: Spec) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(spec)))) == spec


def plain(**options: t.Any) -> dict[str, t.Any]:
    variants = [{"name": "cpu", "sources": {"any": {"kind": "file"}}}]
    return {"name": "w", "type": "t", "kind": "worker", "fleet": "f", "version": "1", "variants": variants, **options}


def test_defaults_are_not_sent() -> None:
    assert to_dict(from_dict(plain(port=0, env={}, health={"timeout": 60}))) == plain()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prot": 1}, "component: unknown key 'prot'"),
        ({"port": "80"}, "component.port: expected int, got '80'"),
        ({"port": True}, "component.port: expected int, got True"),
        ({"auto_start": 1}, "component.auto_start: expected bool, got 1"),
        ({"name": None}, "component.name: expected str, got None"),
        ({"command": "run"}, "component.command: expected a list, got 'run'"),
        ({"command": ["run", 1]}, "component.command[1]: expected str, got 1"),
        ({"env": ["A=b"]}, "component.env: expected a dictionary, got ['A=b']"),
        ({"env": {"A": 1}}, "component.env.A: expected str, got 1"),
        ({"health": {"time": 1}}, "component.health: unknown key 'time'"),
        ({"health": "x"}, "component.health: expected a dictionary, got 'x'"),
        ({"files": [{}]}, "component.files[0]: missing key 'path'"),
        ({"files": [{"path": "/etc/passwd"}]}, "component w: files[0].path is '/etc/passwd'"),
        ({"files": [{"path": "a/../../b"}]}, "component w: files[0].path is 'a/../../b'"),
        ({"variants": []}, "component w: has no variants"),
        ({"variants": [{"name": "x"}]}, "component.variants[0]: missing key 'sources'"),
        (
            {"variants": [{"name": "x", "sources": {"any": {"kind": "file", "size": "1"}}}]},
            "component.variants[0].sources.any.size: expected int, got '1'",
        ),
        ({"kind": "gateway"}, "component w: kind is 'gateway', expected one of queen, hive, pull, worker, model, tool"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_named(change: dict[str, t.Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_dict(plain(**change))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("key", ["name", "type", "kind", "fleet", "version", "variants"])
def test_what_is_missing_is_named(key: str) -> None:
    data = plain()
    del data[key]
    with pytest.raises(SpecError, match=f"missing key '{key}'"):
        from_dict(data)


@pytest.mark.parametrize("data", [None, [], "x", 1])
def test_what_is_no_dictionary_is_refused(data: t.Any) -> None:
    with pytest.raises(SpecError, match="component: expected a dictionary"):
        from_dict(data)


def test_text_of_another_class_becomes_plain_text() -> None:
    class Tagged(str):
        pass

    assert not isinstance(from_dict(plain(name=Tagged("w"))).name, Tagged)


def test_arguments_follow_the_command_of_the_component_and_of_its_variants() -> None:
    own = Variant("own", {}, command=("own",))
    spec = dataclasses.replace(from_dict(plain(command=["run"])), variants=(own, Variant("plain", {})))
    found = with_arguments(spec, ["--x"])
    assert (found.command, [variant.command for variant in found.variants]) == (("run", "--x"), [("own", "--x"), ()])
