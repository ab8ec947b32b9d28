# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host asks its controller for."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._needs import (
    Item,
    Need,
    is_brought,
    need_from,
    parts,
    supplies_from,
)
from ansible_collections.rbee.fleet.plugins.module_utils._spec import PythonEnv, Source, SpecError, to_dict

MORE = Source("archive", url="https://example.com/more.zip", sha256="b" * 64)
ARCHIVE = Source("archive", url="https://example.com/a.tar", sha256="a" * 64, strip=1, also=(MORE,))
ENV = PythonEnv(requirements="p==1.0\n")


def test_an_archive_leads_to_each_of_its_files_and_its_environment() -> None:
    found = list(parts(dataclasses.replace(ARCHIVE, env=ENV)))
    assert [(part.kind, part.url) for part in found] == [("file", ARCHIVE.url), ("file", MORE.url), ("python", "")]


@pytest.mark.parametrize(
    "source",
    [Source("python", env=PythonEnv()), Source("bundled", name="rbee-hive"), Source("system-package")],
    ids=str,
)
def test_what_needs_no_file_leads_to_nothing(source: Source) -> None:
    assert list(parts(source)) == []


def test_how_a_file_is_used_does_not_matter_for_what_it_is() -> None:
    as_archive, _more = parts(ARCHIVE)
    (as_file,) = parts(Source("file", url=ARCHIVE.url, sha256=ARCHIVE.sha256, name="a.tar"))
    assert Need(as_archive).id == Need(as_file).id


@pytest.mark.parametrize(
    ("own", "all_others", "brought"),
    [("", "host", False), ("", "controller", True), ("controller", "host", True), ("host", "controller", False)],
)
def test_one_source_may_be_fetched_by_another_than_the_rest(own: str, all_others: str, brought: bool) -> None:
    sources = (
        Source("huggingface", repository="org/m", revision="main", fetch=own),
        Source("file", url="https://example.com/m.gguf", sha256="a" * 64, fetch=own),
    )
    for source in sources:
        assert [is_brought(part, all_others) for part in parts(source)] == [brought]


def test_a_need_survives_the_way_to_the_controller() -> None:
    need = Need(Source("python", env=ENV), "linux-x86_64", "3.11.7", "2.36")
    assert need_from(json.loads(json.dumps(to_dict(need)))) == need


def test_supplies_are_read() -> None:
    data = {"id": [{"name": "a/b", "sha256": "a" * 64, "size": 3}]}
    assert supplies_from(data) == {"id": (Item("a/b", "a" * 64, 3),)}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x"])
def test_a_file_stays_in_its_folder(name: str) -> None:
    with pytest.raises(SpecError, match="outside its folder"):
        supplies_from({"id": [{"name": name, "sha256": "a" * 64, "size": 3}]})
