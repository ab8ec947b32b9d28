# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found becomes the entries that declare it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._adopt import Adoption, Departed
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Fleet, Hive, Model

FLEET = Fleet(hives=(Hive("gpu-1", "h1", "h1"),), models=(Model("m"), Model("n", hives=("gpu-2",)), Model("o")))
ENTRY = {
    "hostname": "h2",
    "prefix": "/opt/rbee",
    "scope": "system",
    "connection": "ssh",
    "ssh_user": "ops",
    "ssh_port": 22,
    "hive_port": 8601,
    "address": "h2",
    "auto_start": True,
}


def worker(version: str = "2.0", **declared: t.Any) -> dict[str, t.Any]:
    entry = {"type": "llama-cpp", **declared}
    drift = [{"kind": "extra", "detail": ""}]
    return {
        "name": entry.get("name", "llama-cpp"),
        "kind": "worker",
        "version": version,
        "declared": entry,
        "drift": drift,
    }


def model(name: str) -> dict[str, t.Any]:
    return {
        "name": f"model-{name}",
        "kind": "model",
        "declared": {"name": name},
        "drift": [{"kind": "left", "detail": ""}],
    }


@pytest.fixture
def adopt(engines: t.Any) -> t.Callable[..., Adoption]:
    def run(*components: t.Any, departed: t.Any = None, host: str = "gpu-1") -> Adoption:
        return Adoption(FLEET, engines, {host: components}, {"gpu-2": departed} if departed else {})

    return run


def left(name: str, **declared: t.Any) -> dict[str, t.Any]:
    return {**model(name), "declared": {"name": name, **declared}}


def test_a_model_that_is_nowhere_declared_is_written_with_its_hives(engines: t.Any) -> None:
    fleet = Fleet(hives=(Hive("a", "a", "a"), Hive("b", "b", "b")))
    found = Adoption(fleet, engines, {host: [left("org/x", file="x.gguf")] for host in "ab"}, {})
    assert found.change.models == ({"name": "org/x", "file": "x.gguf", "hives": ["a", "b"]},)
    assert not found.notes


def test_a_declared_model_is_listed_at_the_hive_that_has_it(adopt: t.Any) -> None:
    found = adopt(left("m"), left("o"))
    assert (found.change.models, found.change.listed) == ((), {"gpu-1": ("m", "o")})


@pytest.mark.parametrize("found", [left("t"), worker(model="t")])
def test_a_model_that_only_what_is_temporary_declares_is_declared_for_good(engines: t.Any, found: t.Any) -> None:
    fleet = Fleet(hives=(Hive("a", "a", "a"),), models=(Model("t", file="t.gguf"), Model("u")))
    tables = {name: {"name": name, "source": "huggingface", "file": f"{name}.gguf"} for name in ("t", "u")}
    change = Adoption(fleet, engines, {"a": [found]}, {}, only_temporary=tables).change
    assert change.models == (tables["t"],)


def test_a_model_that_is_declared_not_to_come_by_itself_stays_so(engines: t.Any) -> None:
    fleet = Fleet(hives=(Hive("a", "a", "a"),), models=(Model("m", hives=("a",), pre_download=False),))
    change = Adoption(fleet, engines, {"a": [left("m")]}, {}).change
    assert (change.models, change.listed) == ((), {})


def test_without_a_models_conf_a_plain_repository_is_listed_and_no_other_model(engines: t.Any) -> None:
    fleet = Fleet(hives=(Hive("a", "a", "a"),))
    found = Adoption(fleet, engines, {"a": [left("org/x"), left("org/y", revision="v1")]}, {}, declares_models=False)
    assert (found.change.models, found.change.listed) == ((), {"a": ("org/x",)})
    assert found.notes == [
        "a: model-org/y: not adopted, since there is no models.conf, and more than its name has to be said of it"
    ]


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        (left("x", source="file", sha256="a"), "it came from a file of whoever installed it; declare it with its path"),
        (left("M."), "it differs from m only in case or punctuation"),
        ({**model("x"), "declared": {}}, "its name is not known; install it again"),
    ],
)
def test_a_model_that_cannot_be_declared_says_why(adopt: t.Any, component: t.Any, reason: str) -> None:
    found = adopt(component)
    assert (found.change.models, found.notes) == ((), [f"gpu-1: {component['name']}: not adopted, since {reason}"])


def test_a_worker_is_its_shortest_entry(adopt: t.Any) -> None:
    found = adopt(worker(), worker(port=9000, name="spare", model="m"))
    spare = {"type": "llama-cpp", "name": "spare", "port": 9000, "model": "m"}
    assert found.change.workers == {"gpu-1": ("llama-cpp", spare)}
    assert list(found.change.workers["gpu-1"][1]) == ["type", "name", "port", "model"]


def test_a_version_is_named_where_it_is_not_the_newest(adopt: t.Any) -> None:
    assert adopt(worker("1.0")).change.workers == {"gpu-1": ({"type": "llama-cpp", "version": "1.0"},)}
    assert adopt({**worker(), "declared": {"type": "llama-cpp", "version": "2.0"}}).change.workers == {
        "gpu-1": ("llama-cpp",)
    }


def test_what_cannot_be_declared_is_named(adopt: t.Any) -> None:
    agent = {"name": "hive", "kind": "hive", "declared": {}, "drift": [{"kind": "extra", "detail": ""}]}
    found = adopt(worker("0.1"), worker(type="gone"), agent)
    assert found.change.workers == {} and len(found.notes) == 3
    assert adopt(worker(), host="queen").notes == ["queen: llama-cpp: only workers of a declared hive can be adopted"]


def test_what_is_declared_is_not_adopted(adopt: t.Any) -> None:
    declared = {**worker(), "drift": [{"kind": "stopped", "detail": ""}]}
    assert adopt(declared, model("m")).change.workers == {}


def test_a_hive_that_left_comes_back_with_what_is_on_it(adopt: t.Any) -> None:
    found = adopt(departed=Departed(ENTRY, (worker(model="m"), model("m"), model("n"), model("o"), model("lost"))))
    assert found.change.hives == (
        {
            "alias": "gpu-2",
            "hostname": "h2",
            "ssh_user": "ops",
            "hive_port": 8601,
            "workers": [{"type": "llama-cpp", "model": "m"}],
            "models": ["o"],
        },
    )


def test_a_hive_in_another_prefix_is_named_and_left(adopt: t.Any) -> None:
    found = adopt(departed=Departed({**ENTRY, "prefix": "/srv/rbee"}, (worker(),)))
    assert found.change.hives == () and "/srv/rbee" in found.notes[0]
