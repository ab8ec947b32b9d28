# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found on machines becomes files that say so."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate import Migration
from ansible_collections.rbee.fleet.plugins.plugin_utils._migrate_fleet import Looked, MigrateError, installed
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve

Parse = t.Callable[..., _fleet.Fleet]

GPU_1, GPU_2 = Machine("gpu-1", "10.0.0.1"), Machine("gpu-2", "10.0.0.2")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def engine(kind: str = "vllm", **more: t.Any) -> dict[str, t.Any]:
    """As machine_info returns it."""
    usual = {
        "type": kind,
        "state": "running",
        "pid": 7,
        "port": {"vllm": 8000, "llama-cpp": 8080, "comfyui": 8188}.get(kind, 11434),
        "unit": f"{kind}.service",
        "of_user": False,
        "container": "",
        "model": model("org/m") if kind == "vllm" else None,
        "names": [],
        "folder": "",
        "arguments": [],
        "env": {},
        "hidden": [],
        "gpus": None,
        "gpus_reason": "",
    }
    return usual | more


def model(repository: str = "", **more: str) -> dict[str, str]:
    return {"repository": repository, "revision": "", "file": "", "quantisation": "", "path": "", "url": ""} | more


class Written(t.NamedTuple):
    fleet: _fleet.Fleet
    notes: list[str]
    texts: dict[str, str]


@pytest.fixture
def write(parse: Parse, engines: Catalog) -> t.Callable[..., Written]:
    """Writes the files of what was found, and reads them."""

    def run(*looked: Looked, fleet: str = "", without: t.Sequence[str] = ()) -> Written:
        found = Migration(looked, installed(looked, fleet, without), engines)
        texts = {name.removesuffix(".conf"): text for name, text in found.texts.items()}
        return Written(parse(**texts), found.notes, texts)

    return run


def test_an_engine_becomes_a_worker(write: t.Any) -> None:
    found = write(
        Looked(
            GPU_1,
            engines=[
                engine(
                    model=model("org/m", revision=COMMIT), gpus=[0, 1], arguments=["--seed", "1"], env={"VLLM_A": "b"}
                ),
                engine(model=model("org/n"), port=8001, gpus=[2], unit="", names=["n"]),
                engine("comfyui", port=8189, folder="/srv/ComfyUI"),
            ],
        )
    )
    (hive,) = found.fleet.hives
    first, second, third = hive.workers
    assert (first.type, first.port, first.model, first.gpus) == ("vllm", 8000, "org/m", (0, 1))
    assert (first.args, first.env) == (("--seed", "1"), {"VLLM_A": "b"})
    assert (second.name, second.port, second.model, second.gpus) == ("vllm-8001", 8001, "org/n", (2,))
    assert (third.type, third.port) == ("comfyui", 8189)
    assert {one.name: one.revision for one in found.fleet.models} == {"org/m": COMMIT, "org/n": "main"}
    assert found.notes == [
        "gpu-1: vllm on port 8000 (vllm.service): stop it (systemctl disable --now vllm.service) before install,"
        " which brings vllm 2.0 in its place",
        "gpu-1: vllm on port 8001 (process 7): stop it before install, which brings vllm 2.0 in its place",
        "gpu-1: vllm on port 8001 (process 7): clients that ask it for n have to ask the queen for org/n",
        "gpu-1: comfyui on port 8189 (comfyui.service): stop it (systemctl disable --now comfyui.service)"
        " before install, which brings comfyui 2.0 in its place",
        "gpu-1: comfyui on port 8189 (comfyui.service): models, workflows and custom nodes stay in /srv/ComfyUI",
    ]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (engine("ollama"), "the catalog has no worker type 'ollama'; docs/catalog.md says how to add one"),
        (engine(container="docker 3f2a9c1b7d44", unit=""), "it runs in a container (docker 3f2a9c1b7d44)"),
        (engine(state="stopped", pid=0), "vllm.service does not run"),
        (engine(model=model(path="/srv/llama")), "its model /srv/llama is a file of that machine alone"),
        (engine("llama-cpp", model=model(path="/srv/m.gguf")), "its model /srv/m.gguf is a file of that machine alone"),
        (engine("llama-cpp", model=model(url="https://x/m.gguf")), "the digest of its model https://x/m.gguf is not"),
        (engine("llama-cpp", model=model("org/m", quantisation="Q8_0")), "which file of org/m (Q8_0) it serves"),
        (engine("llama-cpp", folder="/srv/models"), "it serves models in /srv/models on demand"),
        (engine(port=8600), "port 8600 is that of another component of the hive"),
    ],
)  # fmt: skip
def test_what_cannot_be_declared_is_a_comment_with_the_reason(
    write: t.Any, found: dict[str, t.Any], reason: str
) -> None:
    written = write(Looked(GPU_1, engines=[found]))
    assert written.fleet.hives[0].workers == () and written.fleet.models == ()
    (note,) = written.notes
    assert reason in note
    comment = " ".join(line.strip(" #") for line in written.texts["hives"].splitlines())
    assert reason in comment
    assert f'#{{ type = "{found["type"]}"' in written.texts["hives"] or f'#"{found["type"]}"' in written.texts["hives"]


def test_a_comment_is_right_once_its_marks_are_taken_away(write: t.Any, parse: Parse) -> None:
    texts = write(Looked(GPU_1, engines=[engine("llama-cpp", model=model(path="/srv/m.gguf"), names=["m"])])).texts
    head, _mark, _reference = texts["models"].partition("# Every key")
    complete = {"hives": texts["hives"].replace("  #{", "  {"), "models": head.replace("\n#[[", "\n[[")}
    for key in ("name", "source", "path", "sha256"):
        complete["models"] = complete["models"].replace(f"\n#{key}", f"\n{key}")
    (worker,) = parse(**complete).hives[0].workers
    assert worker.model == "m"


def test_a_file_of_the_cache_of_hugging_face_is_declared_with_its_repository(write: t.Any) -> None:
    where = model("org/m-GGUF", revision=COMMIT, file="m.gguf")
    found = write(Looked(GPU_1, engines=[engine("llama-cpp", model=where)]))
    assert found.fleet.models == (_fleet.Model("org/m-GGUF", file="m.gguf", revision=COMMIT),)
    assert found.fleet.hives[0].workers[0].model == "org/m-GGUF"


def test_gpus_that_several_use_are_claimed_by_none(write: t.Any) -> None:
    found = write(Looked(GPU_1, engines=[engine(gpus=[0, 1]), engine(port=8001, model=model("org/n"), gpus=[0])]))
    assert [worker.gpus for worker in found.fleet.hives[0].workers] == [(), ()]
    assert any("it shares GPU 0 with others, so it claims none" in note for note in found.notes)


def test_an_engine_that_was_kept_from_gpus_stays_on_the_cpu(write: t.Any) -> None:
    assert write(Looked(GPU_1, engines=[engine(gpus=[])])).fleet.hives[0].workers[0].variant == "cpu"


def test_secrets_are_named_and_not_written(write: t.Any) -> None:
    found = write(Looked(GPU_1, engines=[engine(hidden=["--api-key"])]))
    assert any("--api-key may be secret and was left out" in note for note in found.notes)


def test_machines_with_nothing_are_hives_without_workers(write: t.Any) -> None:
    found = write(Looked(GPU_1), Looked(Machine("w", "h", "admin", 2222, hive_port=8081)))
    assert [(hive.alias, hive.hive_port, hive.workers) for hive in found.fleet.hives] == [
        ("gpu-1", 8600, ()),
        ("w", 8081, ()),
    ]
    assert found.fleet.queen.api_key == "file:/etc/fleet/api_key"


def test_two_revisions_of_a_model_are_told(write: t.Any) -> None:
    found = write(
        Looked(GPU_1, engines=[engine()]),
        Looked(GPU_2, engines=[engine(model=model("org/m", revision=COMMIT))]),
    )
    assert len(found.fleet.models) == 1
    assert f"gpu-2: its model org/m differs from that of another machine: revision {COMMIT}" in found.notes


# A fleet that is installed

HIVES = """
[[hive]]
alias = "gpu-1"
hostname = "10.0.0.1"
ssh_user = "ops"
hive_port = 8601
address = "192.168.0.1"
models = ["small"]
workers = [
  { type = "llama-cpp", model = "org/m", gpus = [0], args = ["-c", "8"], env = { A = "1" } },
  { type = "llama-cpp", name = "b", port = 9000, version = "1.0", variant = "cpu" },
]
[[hive]]
alias = "gpu-2"
hostname = "10.0.0.2"
auto_start = false
"""
RBEE = """
[fleet]
name = "lab"
fetch = "controller"
[queen]
hostname = "10.0.0.9"
bind = "10.0.0.9"
port = 8501
insecure = true
max_request_bytes = 65536
[package]
health_check_timeout = 90
"""
SHA = "a" * 64
MODELS = f"""
[[model]]
name = "org/m"
file = "m.gguf"
revision = "v1"
[[model]]
name = "small"
source = "url"
url = "https://x/s.gguf"
sha256 = "{SHA}"
"""


def installation(plan: t.Any, prefix: str = "/opt/rbee", **more: t.Any) -> dict[str, t.Any]:
    """What a host says of a plan that was installed."""
    receipts = []
    for spec in plan.specs:
        receipt = {
            "name": spec.name,
            "kind": spec.kind,
            "type": spec.type,
            "fleet": spec.fleet,
            "version": spec.version,
        }
        receipt |= {"address": spec.address, "port": spec.port, "auto_start": spec.auto_start}
        receipt["declared"] = json.loads(spec.declared or "{}")
        if spec.register:
            register = {"hostname": "", "ssh_user": "", "ssh_port": 22}
            receipt["register"] = {
                alias: register | {"hostname": one.hostname, "ssh_user": one.ssh_user}
                for alias, one in spec.register.items()
            }
        receipts.append(receipt)
    return {"prefix": prefix, "scope": "system", "has_key": False, "receipts": receipts} | more


@pytest.fixture
def lab(parse: Parse, engines: Catalog) -> tuple[_fleet.Fleet, list[Looked]]:
    """A fleet, and what is found of it on its three machines."""
    fleet = parse(hives=HIVES, rbee=RBEE, models=MODELS)
    plans = resolve(fleet, engines)
    machines = {
        "gpu-1": Machine("first", "10.0.0.1", "ops"),
        "gpu-2": GPU_2,
        "queen": Machine("gate", "10.0.0.9"),
    }
    return fleet, [Looked(machine, [installation(plans[host])]) for host, machine in machines.items()]


def test_a_fleet_comes_back_as_it_was_declared(lab: t.Any, write: t.Any) -> None:
    fleet, looked = lab
    found = write(*looked)
    assert found.fleet == fleet
    assert found.notes == []


def test_a_fleet_that_pulls_goes_on_to(parse: Parse, engines: Catalog, write: t.Any) -> None:
    rbee = '[pull]\nrepository = "git@git.example.com:fleet.git"\nkey = "/etc/rbee/pull_key"\ninterval = 5\n'
    fleet = parse(hives='[[hive]]\nalias = "here"\nhostname = "localhost"\n', rbee=rbee)
    place = installation(resolve(fleet, engines.merged(_load.merged_catalog()))["here"])
    assert write(Looked(Machine("local-hive", "localhost"), [place])).fleet.pull == fleet.pull


def test_a_key_is_referred_to_and_an_attached_queen_stays_attached(
    parse: Parse, engines: Catalog, write: t.Any
) -> None:
    rbee = '[queen]\nmode = "attached-hive"\nattached_hive_alias = "here"\napi_key = "env:MY_KEY"\nauto_start = false\n'
    fleet = parse(hives='[[hive]]\nalias = "here"\nhostname = "localhost"\n', rbee=rbee)
    place = installation(resolve(fleet, engines)["here"], has_key=True)
    found = write(Looked(Machine("local-hive", "localhost"), [place])).fleet
    assert (found.queen.mode, found.queen.attached_hive_alias, found.queen.auto_start) == (
        "attached-hive",
        "here",
        False,
    )
    assert found.queen.api_key == "file:/etc/fleet/api_key"


def test_an_engine_beside_a_fleet_takes_no_name_and_no_gpu_of_it(lab: t.Any, write: t.Any) -> None:
    _fleet_of_lab, looked = lab
    beside = engine("llama-cpp", port=9100, model=model("org/m", revision="v1", file="m.gguf"), gpus=[0])
    found = write(Looked(looked[0].machine, looked[0].installations, [beside]), *looked[1:])
    worker = found.fleet.hives[0].workers[-1]
    assert (worker.name, worker.port, worker.gpus, worker.model) == ("llama-cpp-9100", 9100, (), "org/m")


@pytest.mark.parametrize(
    ("left", "without", "message"),
    [
        ((0, 1), [], "the queen of fleet 'lab' is not on these machines"),
        ((1, 2), [], "knows hives that were not looked at: give them too (hosts=…,gpu-1=ops@10.0.0.1)"),
        ((1, 2), ["gpu-1"], ""),
        ((0, 1), ["queen"], ""),
    ],
)  # fmt: skip
def test_a_part_that_would_be_lost_is_asked_for(
    lab: t.Any, write: t.Any, left: tuple[int, ...], without: list[str], message: str
) -> None:
    looked = [lab[1][index] for index in left]
    if not message:
        assert write(*looked, without=without).fleet.name == "lab"
        return
    with pytest.raises(MigrateError) as refused:
        write(*looked, without=without)
    assert message in str(refused.value)


def test_of_several_fleets_one_is_to_be_named(lab: t.Any, write: t.Any, parse: Parse, engines: Catalog) -> None:
    _fleet_of_lab, looked = lab
    other = parse(hives='[[hive]]\nalias = "gpu-2"\nhostname = "10.0.0.2"\n', rbee='[fleet]\nname = "other"\n')
    both = Looked(GPU_2, [*looked[1].installations, installation(resolve(other, engines)["gpu-2"], "/srv/rbee")])
    with pytest.raises(MigrateError, match="several fleets, lab, other: name one with -e fleet=NAME"):
        write(looked[0], both, looked[2])
    assert write(looked[0], both, looked[2], fleet="lab").fleet.name == "lab"
    found = write(both, fleet="other", without=["queen"]).fleet
    assert (found.name, found.prefix) == ("other", "/srv/rbee")
    with pytest.raises(MigrateError, match="nothing of a fleet 'gone'"):
        write(both, fleet="gone")


def test_what_is_temporary_is_a_comment(lab: t.Any, write: t.Any) -> None:
    _fleet_of_lab, looked = lab
    receipts = looked[0].installations[0]["receipts"]
    next(receipt for receipt in receipts if receipt["name"] == "b")["temporary"] = True
    found = write(*looked)
    assert [worker.name for worker in found.fleet.hives[0].workers] == ["llama-cpp"]
    assert found.notes == ["first: b is installed and not declared, since it was installed as temporary"]


def test_a_temporary_hive_is_a_comment_with_all_that_is_on_it(lab: t.Any, write: t.Any, parse: Parse) -> None:
    fleet, looked = lab
    for receipt in looked[0].installations[0]["receipts"]:
        receipt["temporary"] = receipt["kind"] != "model"
    found = write(*looked)
    assert [hive.alias for hive in found.fleet.hives] == ["gpu-2"]
    assert found.notes == ["first: the hive is installed and not declared, since it was installed as temporary"]
    head, _mark, _reference = found.texts["hives"].partition("# Every key")
    hives = re.sub(r"^#(?! \S)", "", head, flags=re.MULTILINE)
    again = parse(rbee=found.texts["rbee"], models=found.texts["models"], hives=hives)
    assert again.hives == fleet.hives


def test_a_temporary_hive_of_somebody_else_is_told_and_not_asked_for(lab: t.Any, write: t.Any) -> None:
    _fleet_of_lab, looked = lab
    looked[2].installations[0]["receipts"][0]["register"]["gpu-2"]["temporary"] = True
    found = write(looked[0], looked[2])
    assert [hive.alias for hive in found.fleet.hives] == ["gpu-1"]
    assert found.notes == ["gpu-2: not looked at; it was installed as temporary, and is not declared"]


def test_a_router_says_how_to_declare_several_models(write: t.Any) -> None:
    look = Looked(GPU_1, engines=[engine("llama-cpp", folder="/srv/models")])
    several = "it serves models in /srv/models on demand; name one of them here"
    (note,) = Migration([look], installed([look], "", []), _load.merged_catalog()).notes
    assert note.endswith(
        f"{several}; to have it serve several again, list them in models.conf and in models of the hive"
    )
    (note,) = write(look).notes
    assert note.endswith(several)  # no build of this catalog can


def test_a_worker_of_an_unknown_type_is_a_comment(lab: t.Any, write: t.Any) -> None:
    _fleet_of_lab, looked = lab
    receipts = looked[0].installations[0]["receipts"]
    next(receipt for receipt in receipts if receipt["name"] == "b")["declared"]["type"] = "mine"
    found = write(*looked)
    assert [worker.name for worker in found.fleet.hives[0].workers] == ["llama-cpp"]
    assert found.notes == [
        "first: b is installed and not declared, since the catalog has no worker type 'mine';"
        " copy the file of its type into the folder catalog beside this file"
    ]


def test_a_machine_that_is_reached_otherwise_is_told(lab: t.Any, write: t.Any) -> None:
    _fleet_of_lab, looked = lab
    moved = Looked(Machine("gpu-2", "gpu-2.lab"), looked[1].installations)
    found = write(looked[0], moved, looked[2])
    assert found.notes == ["gpu-2: the queen knows another hostname of it; install corrects that"]
    assert found.fleet.hives[1].address == "10.0.0.2"
