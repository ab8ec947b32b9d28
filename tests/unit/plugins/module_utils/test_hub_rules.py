# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a repository are fetched, in what environment, and what a failure means."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import (
    RemoteFile,
    choose_files,
    environment,
    explain,
    read_info,
    read_listing,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

SOURCE = Source("huggingface", repository="org/model", revision="v1")


def remote(path: str, size: int = 1, sha256: str = "") -> RemoteFile:
    return RemoteFile(path, size, sha256, "b" * 40)


def test_a_listing_gives_files_with_what_identifies_them() -> None:
    listing = [
        {"path": "folder", "tree_id": "0"},
        {"path": "folder/config.json", "size": 2, "blob_id": "f00"},
        {"path": "m.gguf", "size": 9, "blob_id": "ba7", "lfs": {"size": 9, "sha256": "abc", "pointer_size": 134}},
    ]
    assert read_listing(json.dumps(listing)) == (
        RemoteFile("folder/config.json", 2, "", "f00"),
        RemoteFile("m.gguf", 9, "abc", "ba7"),
    )


@pytest.mark.parametrize(
    "text", ["", "no JSON", "3", "[3]", '[{"size": 3}]', '{"size": 3}', '[{"path": "a", "size": "x"}]']
)
def test_a_listing_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match=r"is not understood"):
        read_listing(text)


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "nul\0"])
def test_a_listing_that_points_outside_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        read_listing(json.dumps([{"path": path, "size": 1, "blob_id": "f00"}]))


def info(**change: object) -> str:
    files = [
        {"rfilename": "config.json", "size": 2, "blobId": "f00"},
        {"rfilename": "m.gguf", "size": 9, "blobId": "ba7", "lfs": {"size": 9, "sha256": "abc", "pointerSize": 134}},
    ]
    return json.dumps({"sha": "c" * 40, "siblings": files} | change)


def test_what_the_hub_says_of_a_revision_is_its_commit_and_its_files() -> None:
    files = (RemoteFile("config.json", 2, "", "f00"), RemoteFile("m.gguf", 9, "abc", "ba7"))
    assert read_info(info()) == ("c" * 40, files)
    assert [file.digest for file in files] == ["git:f00", "sha256:abc"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", info(siblings=None), info(siblings=[{"rfilename": "a"}]), info(sha="main"), info(sha=3)],
)
def test_an_answer_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match=r"is not understood|names no commit"):
        read_info(text)


def test_an_answer_that_points_outside_is_refused() -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        read_info(info(siblings=[{"rfilename": "../up", "size": 1, "blobId": "f00"}]))


def test_files_that_are_not_those_of_the_lock_are_refused() -> None:
    files = (remote("a", sha256="d" * 64), remote("b"))
    pinned = dataclasses.replace(SOURCE, files={file.path: file.digest for file in files})
    assert choose_files(pinned, files) == files
    for other in ((remote("a", sha256="e" * 64), files[1]), (*files, remote("c")), files[:1]):
        with pytest.raises(SourceError, match="is not what the lock names at revision v1: expected"):
            choose_files(pinned, other)


def test_a_commit_that_is_gone_is_not_a_mistake_of_the_configuration() -> None:
    pinned = dataclasses.replace(SOURCE, files={"a": "git:b"})
    assert "that rbee.lock names" in explain(pinned, "Error: Revision not found.", {})


def test_without_a_name_every_file_is_chosen() -> None:
    files = (remote("a"), remote("b/c"))
    assert choose_files(SOURCE, files) == files


def test_a_part_brings_the_parts_of_its_model_and_no_other() -> None:
    names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]
    others = ["m.gguf", "n-00001-of-00003.gguf", "m-00001-of-00002.gguf", "m-00001-of-00003.txt"]
    source = Source("huggingface", repository="org/model", revision="v1", name=names[0])
    assert [file.path for file in choose_files(source, [*map(remote, [*others, *names])])] == names


def test_an_empty_repository_is_refused() -> None:
    with pytest.raises(SourceError, match="org/model is empty at revision v1"):
        choose_files(SOURCE, ())


def test_the_host_keeps_its_own_settings() -> None:
    given = {"HF_HOME": "/srv/hf", "HF_TOKEN": "own", "HF_ENDPOINT": "https://mirror", "HF_DEBUG": "1", "PATH": "/bin"}
    env = environment(given, "/srv/home", "", 1)
    assert {key: env.get(key) for key in given} == {**given, "HF_DEBUG": None}


def test_the_token_of_the_configuration_comes_before_that_of_the_host() -> None:
    assert environment({"HF_TOKEN": "own"}, "/srv/home", "given", 1)["HF_TOKEN"] == "given"


@pytest.mark.parametrize(("largest", "disabled"), [(50 * 1000**3, "1"), (50 * 1000**3 + 1, None)])
def test_files_that_plain_http_does_not_give_are_fetched_with_xet(largest: int, disabled: str | None) -> None:
    assert environment({}, "/srv/home", "", largest).get("HF_HUB_DISABLE_XET") == disabled


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Error: Access denied. This repository requires approval.", "org/model is gated: accept its licence on "),
        (
            "Error: 403 Forbidden: no.\nCannot access content at: https://x",
            "org/model is gated: accept its licence on ",
        ),
        ("Error: Model 'org/model' not found. If", "https://huggingface.co has no model org/model that is open to you"),
        ("Error: Repository not found. If", "https://huggingface.co has no model org/model that is open to you"),
        ("Error: Revision not found in model 'org/model'.", "org/model has no revision v1"),
        ("Error: Invalid credentials in Authorization header", "https://huggingface.co does not accept the token"),
        ("Error: Cannot reach https://x: offline mode is enabled. To", "HF_HUB_OFFLINE is set on this host"),
        ("Traceback …\nhttpx.ConnectError: [Errno -2] Name or service", "https://huggingface.co cannot be reached"),
        ("httpx.ConnectTimeout: timed out", "https://huggingface.co cannot be reached"),
    ],
)
def test_a_failure_is_explained_in_one_line(said: str, why: str) -> None:
    explained = explain(SOURCE, said, {})
    assert explained.startswith(why)
    assert "\n" not in explained


def test_any_other_failure_is_quoted_without_secrets() -> None:
    said = "noise\nhttpx.Oddity: at https://user:key@host/path?signature=abc\n"
    assert explain(SOURCE, said, {"HF_ENDPOINT": "https://me:pass@mirror/"}) == (
        "org/model cannot be fetched from https://***@mirror: httpx.Oddity: at https://***@host/path?***"
    )
