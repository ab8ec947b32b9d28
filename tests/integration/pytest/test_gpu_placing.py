# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers and the GPUs they claim: on a real installation, with a stand-in of the driver's library."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu_kinds, _gpu_probe, _host
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.gpu_stand_in import H100, LIBRARY, TWO, use
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host

THREE = TWO + H100.format("86")

Asked = list[str]


@pytest.fixture
def asked(nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Two GPUs, and a list that grows with every probe."""
    use(monkeypatch, nvml_stand_in, TWO)
    monkeypatch.setattr(_gpu_kinds, "kinds", lambda _root="/": iter(["nvidia"]))
    probes: Asked = []
    probe = _gpu_probe.probe
    monkeypatch.setattr(_gpu_probe, "probe", lambda: (probes.append("probe"), probe())[1])
    return probes


def worker(host: Host, name: str, *gpus: str, device: str = "nvidia", **options: t.Any) -> Spec:
    spec = host.worker(name, **options)
    variants = tuple(dataclasses.replace(variant, device=device) for variant in spec.variants)
    return dataclasses.replace(spec, variants=variants, gpus=gpus)


def shown(host: Host, name: str) -> str:
    """What the start script tells the program of its GPUs."""
    lines = pathlib.Path(host.layout.current(name), "start").read_text().splitlines()
    return " ".join(line.removeprefix("export ") for line in lines if "VISIBLE" in line)


def held(host: Host, name: str) -> list[str]:
    return (host.receipt(name) or {}).get("gpus", [])


def test_a_claim_becomes_the_uuids_of_its_gpus_and_a_second_run_changes_nothing(host: Host, asked: Asked) -> None:
    chat, draw = worker(host, "chat", "1"), worker(host, "draw")
    assert host.run(chat, draw).states == {"chat": "installed", "draw": "installed"}
    assert (shown(host, "chat"), held(host, "chat")) == ("CUDA_VISIBLE_DEVICES=GPU-5E", ["GPU-5E"])
    assert (shown(host, "draw"), held(host, "draw")) == ("CUDA_VISIBLE_DEVICES=GPU-3B", [])
    before = host.snapshot("journal", "lock", "supervisor")
    assert not host.run(chat, draw).changed
    assert host.snapshot("journal", "lock", "supervisor") == before


def test_who_claims_nothing_is_not_asked_about_gpus(host: Host, asked: Asked) -> None:
    chat = worker(host, "chat")
    host.run(chat)
    assert not host.run(chat).changed
    assert (shown(host, "chat"), asked) == ("", [])


def test_a_build_without_a_gpu_is_left_alone_beside_a_claim(host: Host, asked: Asked) -> None:
    host.run(worker(host, "chat", "all"), worker(host, "draw", device=""))
    assert (shown(host, "chat"), shown(host, "draw")) == ("CUDA_VISIBLE_DEVICES=GPU-3B,GPU-5E", "")


@pytest.mark.parametrize(
    ("gpus", "device", "reason"),
    [
        (("2",), "nvidia", "GPU 2 is not there: this host has 0, 1"),
        (("0",), "", "claims GPU 0, but its build uses none; take gpus away, or choose another variant"),
    ],
)
def test_a_claim_that_cannot_be_met_fails_before_anything_changes(
    host: Host, asked: Asked, gpus: tuple[str, ...], device: str, reason: str
) -> None:
    chat = worker(host, "chat")
    host.run(chat)
    before = host.snapshot("journal", "lock", "supervisor")
    answer = host.run(dataclasses.replace(worker(host, "chat", *gpus, device=device, version="2"), port=chat.port))
    assert (answer.of("chat")["state"], answer.of("chat")["reason"], answer.taken) == ("failed", reason, {})
    assert host.snapshot("journal", "lock", "supervisor") == before
    assert host.answers(chat)


def test_the_dry_run_refuses_too(host: Host, asked: Asked) -> None:
    answer = host.check(worker(host, "chat", "7"))
    assert answer.of("chat")["reason"] == "GPU 7 is not there: this host has 0, 1"
    assert not host.prefix.exists()


def test_a_gpu_that_another_component_of_the_host_holds_is_refused(host: Host, asked: Asked) -> None:
    host.run(worker(host, "chat", "0"))
    answer = host.run(worker(host, "draw", "0"))
    assert answer.of("draw")["reason"] == "GPU 0 (GPU-3B) is held by chat of fleet tests; claim another one"
    assert host.receipt("draw") is None
    host.run(worker(host, "draw"))
    assert shown(host, "draw") == "CUDA_VISIBLE_DEVICES=GPU-5E"


def test_of_two_claims_on_a_gpu_in_one_request_the_first_is_met(host: Host, asked: Asked) -> None:
    answer = host.run(worker(host, "chat", "0"), worker(host, "draw", "all"))
    assert answer.states == {"chat": "installed", "draw": "failed"}
    assert answer.of("draw")["reason"] == "GPU 0 (GPU-3B) is held by chat of fleet tests; claim another one"


def test_two_workers_swap_their_gpus_in_one_run(host: Host, asked: Asked) -> None:
    chat, draw = worker(host, "chat", "0"), worker(host, "draw", "1")
    host.run(chat, draw)
    swapped = host.run(dataclasses.replace(chat, gpus=("1",)), dataclasses.replace(draw, gpus=("0",)))
    assert swapped.states == {"chat": "updated", "draw": "updated"}
    assert (held(host, "chat"), held(host, "draw")) == (["GPU-5E"], ["GPU-3B"])


def test_a_gpu_stays_with_a_worker_that_cannot_be_changed(host: Host, asked: Asked) -> None:
    chat, draw = worker(host, "chat", "0"), worker(host, "draw", "1")
    host.run(chat, draw)
    answer = host.run(dataclasses.replace(chat, gpus=("5",)), dataclasses.replace(draw, gpus=("0",)))
    assert answer.of("draw")["reason"] == "GPU GPU-3B is still held by chat, which stays as it is"
    assert (held(host, "chat"), held(host, "draw"), answer.taken) == (["GPU-3B"], ["GPU-5E"], {})


def test_a_gpu_is_free_again_when_its_worker_is_gone(host: Host, asked: Asked) -> None:
    host.run(worker(host, "chat", "all"))
    host.run(state="absent", names=("chat",))
    assert host.run(worker(host, "draw", "all")).of("draw")["state"] == "installed"


def test_a_gpu_of_a_worker_that_is_removed_is_free_in_the_same_run(host: Host, asked: Asked) -> None:
    host.run(worker(host, "chat", "all"))
    draw = worker(host, "draw", "all")
    assert host.check(draw, extra="report").of("draw")["state"] == "failed"
    answer = host.run(draw, extra="remove")
    assert (answer.of("draw")["state"], host.receipt("chat")) == ("installed", None)
    assert held(host, "draw") == ["GPU-3B", "GPU-5E"]


def test_a_stop_and_a_start_keep_the_claim_and_ask_nothing(host: Host, asked: Asked) -> None:
    host.run(worker(host, "chat", "0"))
    asked.clear()
    host.run(state="stopped", names=("chat",))
    host.run(state="started", names=("chat",))
    assert (held(host, "chat"), asked) == (["GPU-3B"], [])


def test_another_card_in_the_slot_is_another_gpu(
    host: Host, asked: Asked, nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = worker(host, "chat", "0")
    host.run(chat)
    use(monkeypatch, nvml_stand_in, TWO.replace("uuid=GPU-3B", "uuid=GPU-new"))
    assert host.run(chat).of("chat")["state"] == "updated"
    assert shown(host, "chat") == "CUDA_VISIBLE_DEVICES=GPU-new"


def test_a_worker_that_claims_nothing_gives_way_to_a_claim(
    host: Host, asked: Asked, nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, nvml_stand_in, THREE)
    draw = worker(host, "draw")
    host.run(draw)
    assert shown(host, "draw") == ""
    host.run(draw, worker(host, "chat", "0"))
    assert shown(host, "draw") == "CUDA_VISIBLE_DEVICES=GPU-5E,GPU-86"


def test_nothing_left_is_a_clear_error(host: Host, asked: Asked) -> None:
    answer = host.run(worker(host, "chat", "0", "1"), worker(host, "draw"))
    assert answer.states == {"chat": "installed", "draw": "failed"}
    assert answer.of("draw")["reason"].startswith("there is no GPU left for it: all are held by chat; leave it one")


def test_a_sick_driver_fails_the_claim_and_not_its_neighbour(
    host: Host, asked: Asked, nvml_stand_in: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, nvml_stand_in, "library init=18\n")
    answer = host.run(worker(host, "chat", "0"), worker(host, "other", device=""))
    assert answer.states == {"chat": "failed", "other": "installed"}
    assert "a reboot is due" in answer.of("chat")["reason"]
    use(monkeypatch, nvml_stand_in, f"{LIBRARY.strip()} hang=nvmlInit\n")
    monkeypatch.setattr(_gpu_probe, "probe", lambda: _gpu_probe.Found(None, "a GPU driver hangs"))
    answer = host.run(worker(host, "chat", "0"))
    assert answer.of("chat")["reason"] == "its GPUs cannot be found out: a GPU driver hangs"


def test_a_host_whose_driver_is_not_loaded_is_not_given_the_slow_build(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_host._gpu_kinds, "asleep", lambda _root="/": frozenset({"nvidia"}))
    spec = worker(host, "chat")
    slow = dataclasses.replace(spec.variants[0], name="cpu", device="")
    answer = host.run(dataclasses.replace(spec, variants=(*spec.variants, slow)))
    assert answer.of("chat")["reason"] == (
        "this host has a GPU of kind nvidia whose driver is not loaded, and would compute on its CPU: "
        "load the driver, or set variant = 'cpu'"
    )
    assert host.run(dataclasses.replace(spec, variants=(slow,))).of("chat")["state"] == "installed"
