# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository has to offer."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_offer import Offer, offer_of


def offer(files: dict[str, int], name: str = "") -> Offer:
    source = Source("huggingface", repository="org/model", revision="main", name=name)
    return offer_of(source, [RemoteFile(path, size, "", "b" * 40) for path, size in files.items()])


def test_a_repository_counts_with_all_its_files() -> None:
    found = offer({"config.json": 1, "a.safetensors": 10, "b.safetensors": 20})
    assert found == Offer(bytes=31, files=3, format="safetensors")


def test_one_file_counts_alone() -> None:
    found = offer({"README.md": 1, "q4.gguf": 10, "q8.gguf": 20}, "q8.gguf")
    assert found == Offer(bytes=20, files=1, format="gguf")


def test_without_a_file_every_model_to_choose_from_is_named_smallest_first() -> None:
    files = {"q8.gguf": 20, "q4.gguf": 10, "mmproj-model.gguf": 3, "README.md": 1}
    assert offer(files).choices == {"q4.gguf": 10, "q8.gguf": 20}
    assert list(offer(files).choices) == ["q4.gguf", "q8.gguf"]
    assert offer(files).format == "gguf"


def test_the_parts_of_a_split_model_count_together() -> None:
    files = {f"f16/m-{number:05}-of-00003.gguf": 10 for number in (1, 2, 3)}
    assert offer(files, "f16/m-00001-of-00003.gguf") == Offer(bytes=30, files=3, format="gguf")
    assert offer(files).choices == {"f16/m-00001-of-00003.gguf": 30}


def test_what_no_engine_of_these_reads_has_no_format() -> None:
    assert offer({"model.onnx": 5, "config.json": 1}).format == ""


def test_a_file_that_is_not_there_is_refused_as_the_download_would() -> None:
    with pytest.raises(SourceError, match=r"has no file q5.gguf at revision main; near: q4.gguf"):
        offer({"q4.gguf": 10}, "q5.gguf")
