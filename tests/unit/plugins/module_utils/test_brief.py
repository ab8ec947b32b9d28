# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A specification in brief leads to the same names as in full, so that a host sees from it whether anything changed."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._brief import LONG, brief, is_brief
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    File,
    PythonEnv,
    Source,
    Spec,
    Variant,
    from_dict,
    to_dict,
)
from ansible_collections.rbee.fleet.plugins.module_utils._target import HostFacts, Target, build_of, target_of

HOST = HostFacts("linux-x86_64", frozenset(), "/usr/bin/python3", "system", "rbee", (), {})
LAYOUT = Layout("/opt/rbee")
TEXT = "words\n" * LONG
FULL = Spec(
    name="w",
    type="engine",
    kind="worker",
    fleet="f",
    version="1",
    variants=(Variant("cpu", {"any": Source("python", env=PythonEnv(requirements="a==1\n" * LONG))}),),
    command=("run",),
    files=(File("long", TEXT), File("short", "words"), File("filled", TEXT + "{port}", template=True)),
)


def target(spec: Spec) -> Target:
    variant = spec.variants[0]
    build = build_of(spec, variant, variant.sources["any"], "/usr/bin/python3", HOST, LAYOUT)
    return target_of(spec, build, HOST, LAYOUT, {}, {}, repr)


def test_it_is_short_and_says_that_something_is_missing() -> None:
    short = brief(FULL)
    assert (short.files[0].content, short.variants[0].sources["any"].env.requirements) == ("", "")
    assert short.files[1:] == FULL.files[1:]  # short, or filled in by the host
    assert is_brief(short) and not is_brief(FULL)
    assert from_dict(to_dict(short)) == short and brief(short) == short


def test_release_and_generation_have_the_names_of_the_full_one() -> None:
    short, full = target(brief(FULL)), target(FULL)
    assert (short.build.release, short.generation) == (full.build.release, full.generation)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(FULL, files=(File("long", TEXT + "more"), *FULL.files[1:])),
        dataclasses.replace(FULL, variants=(Variant("cpu", {"any": Source("python", env=PythonEnv("", TEXT))}),)),
    ],
)
def test_another_text_leads_to_other_names(other: Spec) -> None:
    short, full = target(brief(other)), target(brief(FULL))
    assert (short.build.release, short.generation) != (full.build.release, full.generation)


def test_a_file_is_told_from_another_by_its_digest() -> None:
    wanted = target(brief(FULL)).contents["files/long"]
    assert wanted.is_text(TEXT)
    assert not wanted.is_text(TEXT + "x") and not wanted.is_text("") and not wanted.is_text(None)


def test_two_runs_that_ask_for_the_same_are_the_same_in_brief_and_in_full() -> None:
    full = Request("f", specs=(FULL,), tools={"uv": FULL})
    short = Request("f", specs=(brief(FULL),), tools={"uv": brief(FULL)})
    assert full.identity == short.identity
    assert short.is_brief and not full.is_brief
