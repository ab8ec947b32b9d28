# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is temporary counts as if it stood in the files, and its mistakes are told by its own file."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve

HIVES = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\nworkers = ["vllm"]\n'
SPARE = '[[hive]]\nalias = "gpu-1"\nworkers = [{ type = "comfyui", name = "spare", port = 8190 }]\n'
LAB = '[[hive]]\nalias = "lab"\nhostname = "10.0.0.2"\nworkers = ["comfyui"]\n'

Read = t.Callable[..., Fleet]


@pytest.fixture
def read(engines: Catalog) -> Read:
    def parse(temporary: str, hives: str = HIVES, **others: str) -> Fleet:
        texts = {"hives.conf": hives, TEMPORARY: temporary} | {f"{name}.conf": text for name, text in others.items()}
        return _config.parse(texts, engines, "/etc/fleet")

    return parse


def workers(fleet: Fleet) -> dict[str, bool]:
    """Whether each is temporary."""
    return {f"{hive.alias}/{worker.name}": worker.temporary for hive in fleet.hives for worker in hive.workers}


def mistakes(read: Read, temporary: str, **more: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(temporary, **more)
    return str(caught.value).splitlines()


def test_a_table_of_a_declared_hive_adds_workers(read: Read) -> None:
    assert workers(read(SPARE)) == {"gpu-1/vllm": False, "gpu-1/spare": True}


def test_a_hive_of_its_own_is_temporary_with_all_that_is_on_it(read: Read, engines: Catalog) -> None:
    fleet = read(LAB)
    assert [hive.temporary for hive in fleet.hives] == [False, True]
    plans = resolve(fleet, engines)
    assert [(spec.name, spec.temporary) for spec in plans["lab"].specs] == [("hive", True), ("comfyui", True)]
    assert not any(spec.temporary for spec in plans["gpu-1"].specs)
    (queen,) = plans["queen"].specs
    assert {alias: entry.temporary for alias, entry in queen.register.items()} == {"gpu-1": False, "lab": True}
    assert queen.declared == '{"temporary": ["lab/comfyui"]}'


def test_what_the_files_declare_under_the_same_name_wins(read: Read) -> None:
    declared = HIVES.replace('"vllm"', '"vllm", { type = "comfyui", name = "spare" }')
    assert workers(read(SPARE, hives=declared)) == {"gpu-1/vllm": False, "gpu-1/spare": False}
    assert workers(read(LAB, hives=HIVES + LAB)) == {"gpu-1/vllm": False, "lab/comfyui": False}


def test_models_come_along(read: Read) -> None:
    served = '[[hive]]\nalias = "gpu-1"\nworkers = [{ type = "vllm", name = "b", port = 1, model = "org/m" }]\n'
    fleet = read(served + '[[model]]\nname = "org/m"\n', hives=HIVES + 'models = ["org/implied"]\n')
    assert [model.name for model in fleet.models] == ["org/implied", "org/m"]
    assert fleet.hives[0].models == ("org/implied", "org/m")


def test_a_mistake_is_told_by_the_file_that_has_it(read: Read) -> None:
    assert mistakes(read, SPARE.replace("comfyui", "comfyiu")) == [
        ".rbee/temporary.conf:3: hive[0].workers[0].type: unknown worker type; did you mean 'comfyui'?"
    ]
    assert mistakes(read, LAB.replace("10.0.0.2", "10.0.0.1")) == [
        ".rbee/temporary.conf:3: hive[0].hostname: same machine as the hive on line 1; a machine has one hive"
    ]
    assert mistakes(read, SPARE.replace("8190", "8000")) == [
        ".rbee/temporary.conf:3: hive[0].workers[0].port: port 8000 on 10.0.0.1 is taken by worker 'vllm' of hive"
        " 'gpu-1'"
    ]
    assert mistakes(read, "[[hive")[0].startswith(".rbee/temporary.conf:1: invalid TOML at column 7")


def test_workers_of_a_hive_that_is_gone(read: Read) -> None:
    assert mistakes(read, SPARE, hives=HIVES.replace("gpu-1", "gpu-9")) == [
        ".rbee/temporary.conf:1: hive[0].alias: hives.conf has no hive 'gpu-1' for these workers; delete this table"
    ]
