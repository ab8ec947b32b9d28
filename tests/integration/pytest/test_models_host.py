# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models on a host: who serves them, alone or on demand, and when they may go."""

from __future__ import annotations

import dataclasses
import pathlib

from ansible_collections.rbee.fleet.plugins.module_utils import _observed, _store
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Found
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import QUICK, SICK, Host

LIST = File("list", "{model}={model_path}\n", each_model=True)


def models_of(host: Host) -> list[str]:
    return sorted(path.parent.parent.name for path in host.prefix.glob("models/*/*/model.gguf"))


def on_demand(host: Host, *models: Spec, **options: object) -> Spec:
    """A worker that serves these models when they are asked for."""
    worker = host.worker(models={model.name: f"org/{model.name}" for model in models}, **options)
    return dataclasses.replace(worker, files=(*worker.files, LIST))


def listed(host: Host) -> dict[str, str]:
    """The models that the worker is told of, with what is in their files."""
    lines = pathlib.Path(host.layout.current("w"), "files", "list").read_text().splitlines()
    return {name: pathlib.Path(path).read_text() for name, path in (line.split("=") for line in lines)}


def test_a_worker_is_told_of_all_models_that_it_serves_on_demand(host: Host) -> None:
    one, two = host.model("one", "1"), host.model("two", "2")
    first = on_demand(host, one, two)
    host.run(one, two, first)
    assert listed(host) == {"org/one": "1", "org/two": "2"}
    assert host.receipt()["models"] == {"one": "org/one", "two": "org/two"}  # type: ignore[index]
    pid = host.ask(first)["pid"]
    fewer = on_demand(host, one, port=first.port)
    assert host.check(one, fewer, extra="report").of("w")["drift"] == [
        {"kind": "model", "detail": "on demand org/one, org/two instead of org/one"}
    ]
    host.run(one, fewer)
    assert listed(host) == {"org/one": "1"}
    assert host.ask(first)["pid"] != pid


def test_a_worker_waits_for_what_it_serves_on_demand_and_fails_with_it(host: Host) -> None:
    one, lost = host.model("one"), host.model("lost", "lost")
    pathlib.Path(lost.variants[0].sources["any"].url.removeprefix("file://")).unlink()
    answer = host.run(one, lost, on_demand(host, one, lost))
    assert answer.states == {"one": "installed", "lost": "failed", "w": "failed"}
    assert answer.of("w")["reason"].startswith("needs lost, which failed")


def test_what_is_on_a_host_is_told_with_its_size_and_its_users(host: Host) -> None:
    one, two = host.model("one", "123", declared='{"name": "org/one"}'), host.model("two", "12345")
    host.run(one, two, on_demand(host, one, two), host.worker("alone", model="two", served_name="org/two"))
    nothing = Found((), "")
    state = _observed.observe(str(host.prefix), "user", gpus=lambda: nothing)
    told = {item["name"]: item for item in state["components"]}
    assert (told["one"]["bytes"], told["one"]["used_by"], told["one"]["served_name"]) == (3, ["w"], "org/one")
    assert (told["two"]["bytes"], told["two"]["used_by"]) == (5, ["alone", "w"])
    assert (told["w"]["models"], told["alone"]["models"]) == (["org/one", "org/two"], ["org/two"])
    assert state["downloads"] == []


# Removal


def remove(host: Host, *names: str) -> dict[str, str]:
    return host.uninstall(names=names, kinds=("model",), purge=True).states


def test_a_model_that_is_served_stays_and_its_users_are_named(host: Host) -> None:
    one, two = host.model("one"), host.model("two", "2")
    worker, alone = on_demand(host, one, two), host.worker("alone", model="two")
    host.run(one, two, worker, alone)
    before = host.snapshot()
    answer = host.converge(state="absent", names=["two"], kinds=["model"], purge=True)
    assert answer.of("two")["reason"] == "is served by alone and w; remove that, or give it another model, first"
    assert (answer.states, answer.of("two")["kind"]) == ({"two": "failed"}, "model")
    assert host.snapshot() == before
    assert host.answers(worker)


def test_the_last_worker_of_a_model_goes_with_it(host: Host) -> None:
    host.run(host.model(), host.worker(model="m"), host.worker("other"))
    assert host.uninstall(names=("m", "w"), purge=True).states == {"m": "removed", "w": "removed"}
    assert models_of(host) == []


def test_one_model_that_is_removed_leaves_all_others_and_the_installation(host: Host) -> None:
    host.run(host.model("one"), host.model("two", "2"))
    assert remove(host, "one") == {"one": "removed"}
    assert models_of(host) == ["two"]
    assert host.receipt("two")
    assert remove(host, "two") == {"two": "removed"}
    assert not host.prefix.exists()


def test_a_model_that_only_an_earlier_generation_served_leaves_nothing(host: Host) -> None:
    one, two = host.model("one", "1"), host.model("two", "2")
    worker = host.worker(
        model="one", command=("{python}", "{release}/serve.py", "{address}", "{port}", "1", "{model_path}")
    )
    host.run(one, two, worker)
    host.run(one, two, dataclasses.replace(worker, model="two"))
    assert _store.link_target(host.layout.previous("w"))
    assert remove(host, "one") == {"one": "removed"}
    assert models_of(host) == ["two"]
    assert not _store.link_target(host.layout.previous("w"))
    assert not host.run(two, dataclasses.replace(worker, model="two")).changed


def test_an_undeclared_model_is_purged_once_its_worker_serves_another_one(host: Host) -> None:
    one, two = host.model("one", "1"), host.model("two", "2")
    worker = host.worker(model="one", mark="1")
    host.run(one, worker)
    other = dataclasses.replace(worker, model="two")
    answer = host.run(two, other, extra="remove", purge=True)
    assert answer.states == {"two": "installed", "w": "updated", "one": "removed"}
    assert models_of(host) == ["two"]


def test_an_undeclared_model_stays_while_its_worker_cannot_change(host: Host) -> None:
    one, two = host.model("one", "1"), host.model("two", "2")
    worker = host.worker(model="one")
    host.run(one, worker)
    sick = host.worker(model="two", version="2", mode=SICK, port=worker.port, health=QUICK)
    answer = host.run(two, sick, extra="remove", purge=True)
    assert answer.states == {"two": "installed", "w": "rolled-back", "one": "failed"}
    assert answer.of("one")["reason"].startswith("kept, because w, which serves it, failed")
    assert "one" in models_of(host) and host.answers(worker)


def test_an_undeclared_model_stays_while_a_worker_that_was_not_asked_for_serves_it(host: Host) -> None:
    one, worker = host.model("one", "1"), host.worker(model="one")
    host.run(one, worker)
    answer = host.run(worker, extra="remove", purge=True, kinds=("model",))
    assert models_of(host) == ["one"]
    assert host.answers(worker)
    assert "removed" not in answer.states.values()
