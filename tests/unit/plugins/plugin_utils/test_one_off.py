# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hives and workers of the command line: what becomes of the files, and what is told of mistakes."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _load, _one_off, _one_off_given, _temporary
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import EditError, edited
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._layers import TEMPORARY
from ansible_collections.rbee.fleet.plugins.plugin_utils._one_off import OneOff

HIVES = '# ours\n[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\nworkers = ["vllm"] # one\n'
BESIDE = {"hive": "gpu-1", "type": "comfyui", "name": "spare", "port": "8190"}
SECOND = {"hive": "gpu-1", "type": "vllm", "name": "b"}
LAB = {"alias": "lab", "hostname": "10.0.0.2", "workers": "comfyui,vllm"}


class Files:
    """A configuration that one-offs change."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.texts = {"hives.conf": HIVES}

    def find(self, what: str, present: bool, given: dict[str, t.Any]) -> OneOff:
        _one_off_given.check_names(_one_off_given.NAMES[what, present], given)
        find = _one_off.installed if present else _one_off.removed
        return find(what, _one_off_given.typed(given), self.texts, self.catalog, "/etc/fleet")

    def change(self, what: str, present: bool, given: dict[str, t.Any]) -> OneOff:
        found = self.find(what, present, given)
        self.texts |= edited(self.texts, found.files)
        for step in found.temporary:
            self.texts[TEMPORARY] = _temporary.edited(self.texts.get(TEMPORARY, ""), step)
        return found

    def install(self, what: str, **given: t.Any) -> OneOff:
        return self.change(what, True, given)

    def remove(self, what: str, **given: t.Any) -> OneOff:
        return self.change(what, False, given)

    def refused(self, what: str, present: bool = True, **given: t.Any) -> list[str]:
        before = dict(self.texts)
        with pytest.raises((ConfigError, EditError)) as caught:
            self.change(what, present, given)
        assert self.texts == before
        return str(caught.value).splitlines()


@pytest.fixture
def files(engines: Catalog) -> Files:
    return Files(engines)


def test_a_worker_is_added_where_a_person_would(files: Files) -> None:
    found = files.install("worker", **BESIDE, args="--listen 'a b'", env="A=1 B=x=y", gpus="0, 2")
    entry = (
        '{ type = "comfyui", name = "spare", port = 8190, gpus = [0, 2], args = ["--listen", "a b"],'
        ' env = { A = "1", B = "x=y" } }'
    )
    assert files.texts["hives.conf"] == HIVES.replace('["vllm"]', f'["vllm", {entry}]')
    assert found.hosts == {"gpu-1": ("hive", "spare"), "queen": ("queen",)}
    assert files.install("worker", **BESIDE).files == _one_off.Change()
    files.remove("worker", hive="gpu-1", worker="spare")
    assert files.texts["hives.conf"] == HIVES


def test_a_type_alone_is_written_as_people_do(files: Files) -> None:
    files.install("worker", hive="gpu-1", type="comfyui")
    assert 'workers = ["vllm", "comfyui"] # one' in files.texts["hives.conf"]


def test_values_as_json_has_them(files: Files) -> None:
    files.install("worker", **{**BESIDE, "port": 8190}, args=["-x"], gpus=[1], env={"A": "b"})
    assert 'gpus = [1], args = ["-x"], env = { A = "b" }' in files.texts["hives.conf"]


def test_a_hive_comes_and_goes(files: Files) -> None:
    found = files.install("hive", **LAB, ssh_port="2222", auto_start="false")
    assert files.texts["hives.conf"] == HIVES + (
        '\n[[hive]]\nalias = "lab"\nhostname = "10.0.0.2"\nssh_port = 2222\nauto_start = false\n'
        'workers = ["comfyui", "vllm"]\n'
    )
    assert found.hosts == {"lab": ("hive", "comfyui", "vllm"), "queen": ("queen",)}
    assert files.install("hive", alias="lab").place == "hives.conf"
    assert files.remove("hive", alias="lab").hosts == {"queen": ("queen",)}
    assert files.texts["hives.conf"] == HIVES
    assert not files.remove("hive", alias="lab").declared


def test_a_model_that_is_declared_with_its_worker(files: Files) -> None:
    found = files.install("worker", hive="gpu-1", type="llama-cpp", model="org/m", source="huggingface", file="m.gguf")
    assert files.texts["models.conf"] == '[[model]]\nname = "org/m"\nsource = "huggingface"\nfile = "m.gguf"\n'
    assert found.hosts["gpu-1"] == ("hive", "model-org-m", "llama-cpp")
    again = files.find(
        "worker", True, {"hive": "gpu-1", "type": "llama-cpp", "model": "org/m", "source": "huggingface"}
    )
    assert again.files == _one_off.Change()
    assert files.remove("worker", hive="gpu-1", worker="llama-cpp").hosts["gpu-1"] == (
        "hive",
        "llama-cpp",
        "model-org-m",
    )


def test_what_is_temporary_is_in_a_file_of_its_own_until_it_is_installed_for_good(files: Files) -> None:
    found = files.install("worker", **BESIDE, temp="true")
    assert files.texts["hives.conf"] == HIVES and found.place == TEMPORARY
    assert files.texts[TEMPORARY].endswith(
        '\n[[hive]]\nalias = "gpu-1"\nworkers = [{ type = "comfyui", name = "spare", port = 8190 }]\n'
    )
    assert files.install("worker", **BESIDE, temp=True).temporary == ()
    files.install("worker", **BESIDE)
    assert '"spare"' in files.texts["hives.conf"] and files.texts[TEMPORARY] == ""
    assert "leave out temp" in files.refused("worker", **BESIDE, temp=True)[0]


def test_a_temporary_hive_with_what_was_added_to_it(files: Files) -> None:
    files.install("hive", **LAB, temp=True)
    assert "temporary itself" in files.refused("worker", **{**BESIDE, "hive": "lab"})[0]
    files.install("worker", **{**BESIDE, "hive": "lab"}, temp=True)
    files.install("hive", **LAB)
    assert '"lab"' in files.texts["hives.conf"] and '"spare"' in files.texts[TEMPORARY]
    assert "hostname" not in files.texts[TEMPORARY]
    files.remove("hive", alias="lab")
    assert (files.texts["hives.conf"], files.texts[TEMPORARY]) == (HIVES, "")


def test_a_temporary_model_goes_with_the_last_worker_that_serves_it(files: Files) -> None:
    model = {"type": "vllm", "model": "org/m", "source": "huggingface", "temp": True}
    files.install("worker", **model, hive="gpu-1", name="a", port="1")
    files.install("worker", **model, hive="gpu-1", name="b", port="2")
    files.remove("worker", hive="gpu-1", worker="a")
    assert "[[model]]" in files.texts[TEMPORARY]
    files.remove("worker", hive="gpu-1", worker="b")
    assert files.texts[TEMPORARY] == ""


@pytest.mark.parametrize("source", [{}, {"source": "huggingface"}])
def test_a_temporary_model_of_what_is_installed_for_good_is_declared_for_good(
    files: Files, source: dict[str, str]
) -> None:
    files.texts["models.conf"] = ""
    worker = {"hive": "gpu-1", "type": "vllm", "name": "b", "port": "8001", "model": "org/m"}
    files.install("worker", **worker, source="huggingface", revision="v2", temp=True)
    files.install("worker", **worker, **source)
    assert files.texts["models.conf"] == '[[model]]\nname = "org/m"\nsource = "huggingface"\nrevision = "v2"\n'
    assert files.texts[TEMPORARY] == ""
    files.install("hive", alias="lab", hostname="10.0.0.2", models="org/m")


SHARED = """
[[hive]]
alias = "gpu-1"
hostname = "10.0.0.1"
models = ["small", "large"]
workers = ["llama-cpp"]
"""
MODELS = "".join(
    f'[[model]]\nname = "{name}"\nsource = "url"\nurl = "https://x/{name}.gguf"\nsha256 = "{"a" * 64}"\n'
    for name in ("small", "large")
)


def test_a_worker_that_serves_on_demand_learns_what_another_serves_alone() -> None:
    files = Files(_load.merged_catalog())
    files.texts = {"hives.conf": SHARED, "models.conf": MODELS}
    alone = {"hive": "gpu-1", "type": "llama-cpp", "name": "own", "port": "8090", "model": "small"}
    assert files.install("worker", **alone).hosts["gpu-1"] == ("hive", "model-small", "own", "llama-cpp")
    assert files.remove("worker", hive="gpu-1", worker="own").hosts["gpu-1"] == (
        "hive",
        "own",
        "model-small",
        "llama-cpp",
    )


def test_a_worker_that_serves_on_demand_comes_with_its_models() -> None:
    files = Files(_load.merged_catalog())
    files.texts = {"hives.conf": SHARED.replace('workers = ["llama-cpp"]\n', ""), "models.conf": MODELS}
    found = files.install("worker", hive="gpu-1", type="llama-cpp")
    assert found.hosts["gpu-1"] == ("hive", "model-small", "model-large", "llama-cpp")


def test_a_hive_of_a_fleet_that_pulls_pulls() -> None:
    files = Files(_load.merged_catalog())
    files.texts["rbee.conf"] = '[pull]\nrepository = "https://git.example.com/fleet.git"\n'
    assert files.install("hive", **LAB).hosts["lab"] == ("hive", "comfyui", "vllm", "pull")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hive": "gpu-1"}, "-e type: missing; it is required"),
        ({"type": "vllm"}, "-e hive: missing; it is required"),
        ({"hive": "gpu-2", "type": "vllm"}, "-e hive: unknown hive; did you mean 'gpu-1'?"),
        ({"hive": "gpu-1", "typ": "vllm"}, "-e typ: unknown variable; did you mean 'type'?"),
        ({"hive": "gpu-1", "type": "comfyiu"}, "-e type: unknown worker type; did you mean 'comfyui'?"),
        ({**BESIDE, "port": "80x"}, "-e port: expected an integer from 1 to 65535, not a string"),
        ({**BESIDE, "port": "8000"}, "-e port: port 8000 on 10.0.0.1 is taken by worker 'vllm' of hive 'gpu-1'"),
        ({**BESIDE, "gpus": "x"}, "-e gpus: expected an array of device indexes or 'all', not a string"),
        ({**BESIDE, "env": "A"}, "-e env: expected a table, not a string"),
        ({**BESIDE, "args": "'a"}, "-e args: \"'a\" cannot be split into words: No closing quotation"),
        ({**BESIDE, "temp": "maybe"}, "-e temp: expected true or false"),
        ({**SECOND, "file": "m.gguf"}, "-e file: is for a model that is not declared yet; add -e source=…"),
        (SECOND, "-e port: missing; a second vllm on a hive needs a port of its own"),
        (
            {**SECOND, "model": "m"},
            "-e model: not a declared model; there is none;"
            " to declare it with its worker, add -e source=huggingface, url or file",
        ),
        (
            {"hive": "gpu-1", "type": "vllm", "port": "1"},
            "hives.conf has the hive gpu-1 with a worker 'vllm' already, and it differs in port;"
            " edit or remove that one first (or give this one a name of its own: -e name=… -e port=…)",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_variable(files: Files, given: dict[str, t.Any], said: str) -> None:
    assert files.refused("worker", **given) == [said]


def test_all_mistakes_are_told_at_once(files: Files) -> None:
    assert files.refused("hive", alias="queen", hostname="10.0.0.1", ssh_port="0", workers="comfyui,vlm") == [
        "-e alias: reserved; choose another name, such as 'local-hive' or 'gpu-1'",
        "-e hostname: same machine as the hive on line 2; a machine has one hive",
        "-e ssh_port: expected an integer from 1 to 65535",
        "-e workers[1]: unknown worker type; did you mean 'vllm'?",
    ]
    assert files.refused("hive", present=False, alis="gpu-1") == ["-e alis: unknown variable; did you mean 'alias'?"]


def test_variables_of_others_are_not_ours_to_judge(files: Files) -> None:
    files.install("worker", **BESIDE, ansible_become_password="x", awx_job_id=3, rbee_force=True)
