# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet means for its hosts."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Source, Spec, Variant, to_dict
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet, _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry, Release
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import HostPlan, resolve
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import tools

Parse = t.Callable[..., _fleet.Fleet]
Plans = t.Callable[..., dict[str, HostPlan]]

LOCAL = '[[hive]]\nalias = "local-hive"\nhostname = "localhost"\n'
REMOTE = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n'
ATTACHED = '[queen]\nmode = "attached-hive"\nattached_hive_alias = "local-hive"\n'
MODELS = '[[model]]\nname = "org/m"\n[[model]]\nname = "small"\nsource = "file"\npath = "/srv/small.gguf"\n'
MODELS += f'sha256 = "{"a" * 64}"\n'


@pytest.fixture
def plans(parse: Parse, engines: Catalog) -> Plans:
    return lambda **texts: resolve(parse(**texts), engines)


def spec(plans: dict[str, HostPlan], host: str, name: str) -> Spec:
    (found,) = [item for item in plans[host].specs if item.name == name]
    return found


def files(queen: Spec) -> dict[str, str]:
    return {file.path: file.content for file in queen.files}


def test_models_come_first_then_the_queen_the_agent_and_the_workers(plans: Plans) -> None:
    workers = 'workers = ["comfyui", { type = "llama-cpp", model = "small" }]'
    found = plans(hives=LOCAL + workers, rbee=ATTACHED, models=MODELS)
    assert [(item.kind, item.name) for item in found["local-hive"].specs] == [
        ("model", "model-small"),
        ("queen", "queen"),
        ("hive", "hive"),
        ("worker", "comfyui"),
        ("worker", "llama-cpp"),
    ]


def test_a_standalone_queen_has_a_host_of_her_own(plans: Plans) -> None:
    found = plans(hives=REMOTE)
    assert list(found) == ["queen", "gpu-1"]
    assert [item.name for item in found["queen"].specs] == ["queen"]


def test_a_standalone_queen_on_the_machine_of_a_hive_is_in_the_plan_of_that_hive(plans: Plans) -> None:
    found = plans(hives=REMOTE + LOCAL)
    assert {host: [item.name for item in plan.specs] for host, plan in found.items()} == {
        "gpu-1": ["hive"],
        "local-hive": ["queen", "hive"],
    }


def test_a_worker_that_serves_a_model_is_told_so_before_the_arguments_of_the_user(plans: Plans) -> None:
    workers = 'workers = [{ type = "llama-cpp", model = "small", args = ["--x"] }]'
    worker = spec(plans(hives=LOCAL + workers, models=MODELS), "local-hive", "llama-cpp")
    assert worker.command == ("llama-cpp", "--port", "{port}", "--model", "{model_path}", "--x")
    assert (worker.model, worker.served_name, worker.idle) == ("model-small", "small", "")


def test_a_worker_with_nothing_to_serve_is_idle_and_unknown_to_the_queen(plans: Plans) -> None:
    found = plans(hives=LOCAL + 'workers = ["vllm", "comfyui"]')
    assert spec(found, "local-hive", "vllm").idle == "no model"
    assert spec(found, "local-hive", "comfyui").idle == ""
    served = files(spec(found, "local-hive", "queen"))["hives.json"]
    assert [worker["name"] for worker in json.loads(served)["data"][0]["workers"]] == ["comfyui"]


# Models on demand


SEVERAL = '[[model]]\nname = "org/a"\nfile = "a.gguf"\n[[model]]\nname = "org/b"\nfile = "b.GGUF"\n'
SEVERAL += '[[model]]\nname = "org/whole"\n'
LISTS = 'models = ["org/a", "org/b", "org/whole"]\n'


@pytest.fixture
def several(parse: Parse, engines: Catalog) -> Plans:
    """The plans with a llama-cpp whose CUDA build serves several models on demand."""
    entry = engines.get("llama-cpp")
    assert entry
    releases = [
        dataclasses.replace(release, models_command=("--models",) if release.variant.device else ())
        for release in entry.releases
    ]
    catalog = engines.merged(Catalog({"llama-cpp": dataclasses.replace(entry, releases=tuple(releases))}))
    return lambda workers: resolve(parse(hives=LOCAL + LISTS + f"workers = [{workers}]", models=SEVERAL), catalog)


def known_to_the_queen(found: dict[str, HostPlan]) -> dict[str, list[str]]:
    hive = json.loads(files(spec(found, "local-hive", "queen"))["hives.json"])["data"][0]
    return {worker["name"]: worker["models"] for worker in hive["workers"]}


def test_a_worker_without_a_model_serves_those_of_its_hive_that_fit(several: Plans) -> None:
    found = several('{ type = "llama-cpp", args = ["--x"] }, "vllm"')
    worker = spec(found, "local-hive", "llama-cpp")
    assert (worker.models, worker.idle) == ({"model-org-a": "org/a", "model-org-b": "org/b"}, "")
    assert worker.variants[0].command == ("llama-cpp", "--port", "{port}", "--models", "--x")
    assert known_to_the_queen(found) == {"llama-cpp": ["org/a", "org/b"]}
    assert spec(found, "local-hive", "vllm").idle == "no model"


def test_a_build_that_serves_one_model_only_says_what_to_do(several: Plans) -> None:
    _cuda, cpu = spec(several('"llama-cpp"'), "local-hive", "llama-cpp").variants
    assert cpu.idle == "no model, and its build 'cpu' serves only one; name it with 'model': org/a, org/b"


def test_the_only_model_that_is_left_is_served_by_every_build(several: Plans) -> None:
    found = several(
        '{ type = "llama-cpp", variant = "cpu" }, {type = "llama-cpp", name = "b", port = 1, model = "org/b"}'
    )
    worker = spec(found, "local-hive", "llama-cpp")
    (cpu,) = worker.variants
    assert (cpu.idle, cpu.command) == ("", ("llama-cpp", "--port", "{port}", "--model", "{model_path}"))
    assert worker.models == {"model-org-a": "org/a"}
    assert known_to_the_queen(found) == {"llama-cpp": ["org/a"], "b": ["org/b"]}


def test_the_queen_says_what_to_look_at_where_a_model_may_have_nobody(several: Plans) -> None:
    config = files(spec(several('"llama-cpp"'), "local-hive", "queen"))["haproxy.cfg"]
    said = "local-hive/llama-cpp serves it on demand, if the build there can; rbee.fleet.status tells."
    assert config.count(said) == 2
    alone = '{ type = "llama-cpp", name = "one", port = 8081, model = "org/a" }'
    assert said not in files(spec(several(f'"llama-cpp", {alone}'), "local-hive", "queen"))["haproxy.cfg"]


def test_the_queen_expects_nothing_of_a_worker_that_has_to_stay_idle(several: Plans) -> None:
    assert known_to_the_queen(several('{ type = "llama-cpp", variant = "cpu" }')) == {}


def test_a_model_that_another_worker_of_the_hive_serves_is_left_to_it(several: Plans) -> None:
    found = several('"llama-cpp", { type = "llama-cpp", name = "one", port = 8081, model = "org/a" }')
    assert known_to_the_queen(found) == {"llama-cpp": ["org/b"], "one": ["org/a"]}


def test_a_worker_for_which_no_model_is_left_is_idle(several: Plans) -> None:
    two = ", ".join(f'{{ type = "llama-cpp", name = "{at}", port = 90{at}0, model = "org/{at}" }}' for at in "12")
    two = two.replace("org/1", "org/a").replace("org/2", "org/b")
    assert spec(several(f'"llama-cpp", {two}'), "local-hive", "llama-cpp").idle == "no model"


def test_what_is_installed_by_hand_without_a_model_serves_on_demand_too(several: Plans) -> None:
    agent = next(file for file in spec(several('"vllm"'), "local-hive", "hive").files if file.path == "catalog.json")
    known = json.loads(agent.content)["workers"]
    assert list(known["llama-cpp"]["on_demand"]["models"]) == ["model-org-a", "model-org-b"]
    assert "models" not in known["llama-cpp"]["spec"] and "on_demand" not in known["vllm"]


def test_the_queen_reaches_each_worker_at_the_address_of_its_hive(plans: Plans) -> None:
    workers = 'address = "192.168.0.7"\nworkers = [{ type = "vllm", port = 9001, model = "org/m" }]'
    found = plans(hives=REMOTE + workers, models=MODELS)
    assert (spec(found, "gpu-1", "vllm").address, spec(found, "gpu-1", "hive").address) == ("192.168.0.7",) * 2
    rendered = files(spec(found, "queen", "queen"))
    assert "192.168.0.7:9001" in rendered["haproxy.cfg"]
    assert [model["id"] for model in json.loads(rendered["models.json"])["data"]] == ["org/m"]


def test_the_page_of_the_catalog_is_the_queen_s(parse: Parse, engines: Catalog) -> None:
    entry = engines.get("queen")
    assert entry
    page = File("page.html", "<title>mine</title>")
    catalog = engines.merged(Catalog({"queen": dataclasses.replace(entry, files=(*entry.files, page, File("x", "y")))}))
    queen = spec(resolve(parse(hives=REMOTE), catalog), "queen", "queen")
    assert [file for file in queen.files if file.path in ("page.html", "x")] == [File("x", "y"), page]
    assert "file page.html" in files(queen)["haproxy.cfg"]
    assert "page.html" not in files(spec(resolve(parse(hives=REMOTE), engines), "queen", "queen"))


def test_the_key_of_the_queen_goes_by_reference_and_only_to_her_host(plans: Plans) -> None:
    found = plans(hives=REMOTE, rbee='[queen]\nbind = "0.0.0.0"\napi_key = "env:RBEE_KEY"')
    assert found["queen"].secrets == {"api_key": "env:RBEE_KEY"}
    assert found["gpu-1"].secrets == {}
    assert [file.path for file in spec(found, "queen", "queen").files if file.secret == "api_key"] == ["keys"]
    assert "RBEE_KEY" not in json.dumps(to_dict(found["queen"].specs))


def test_the_token_for_hugging_face_goes_only_to_hosts_of_such_models(plans: Plans) -> None:
    other = REMOTE.replace("gpu-1", "gpu-2").replace("10.0.0.1", "10.0.0.2")
    hives = REMOTE + 'models = ["org/m"]\n' + other + 'models = ["small"]\n'
    found = plans(hives=hives, models=MODELS, rbee='[fleet]\nhf_token = "env:MY_TOKEN"')
    assert {alias: plan.secrets for alias, plan in found.items()} == {
        "gpu-1": {"hf_token": "env:MY_TOKEN"},
        "gpu-2": {},
        "queen": {},
    }


def test_the_environment_of_the_user_overrides_that_of_the_catalog(plans: Plans) -> None:
    worker = spec(plans(hives=LOCAL + 'workers = [{ type = "vllm", env = { LEVEL = "debug" } }]'), "local-hive", "vllm")
    assert worker.env == {"LEVEL": "debug"}
    assert worker.variants[0].env == {"VLLM_NO_USAGE_STATS": "1", "LEVEL": "info"}


def test_a_build_with_a_command_of_its_own_serves_the_model_too(parse: Parse, engines: Catalog) -> None:
    entry = engines.get("vllm")
    releases = [
        Release(release.version, dataclasses.replace(release.variant, command=("own",))) for release in entry.releases
    ]
    catalog = engines.merged(Catalog({"vllm": dataclasses.replace(entry, releases=tuple(releases))}))
    fleet = parse(hives=LOCAL + 'workers = [{ type = "vllm", model = "org/m", args = ["--x"] }]', models=MODELS)
    worker = spec(resolve(fleet, catalog), "local-hive", "vllm")
    assert worker.variants[0].command == ("own", "--model", "{model_path}", "--x")


def test_a_chosen_variant_is_the_only_one(plans: Plans) -> None:
    worker = spec(plans(hives=LOCAL + 'workers = [{ type = "vllm", variant = "cpu" }]'), "local-hive", "vllm")
    assert [variant.name for variant in worker.variants] == ["cpu"]


@pytest.mark.parametrize(("declared", "seconds"), [(10, 90), (90, 90), (300, 300)])
def test_a_catalog_entry_may_allow_itself_more_time_but_not_less(plans: Plans, declared: int, seconds: int) -> None:
    found = plans(hives=LOCAL + 'workers = ["vllm"]', rbee=f"[package]\nhealth_check_timeout = {declared}")
    assert spec(found, "local-hive", "vllm").health.timeout == seconds


def test_what_is_not_to_start_says_so(plans: Plans) -> None:
    found = plans(hives=REMOTE + 'auto_start = false\nworkers = ["vllm"]', rbee="[queen]\nauto_start = false")
    assert {item.auto_start for plan in found.values() for item in plan.specs} == {False}


SHA = "a" * 64


@pytest.mark.parametrize(
    ("declared", "source"),
    [
        ("", Source("huggingface", repository="m", revision="main")),
        (
            'file = "q4/m.gguf"\nrevision = "v1"',
            Source("huggingface", repository="m", revision="v1", name="q4/m.gguf"),
        ),
        (
            f'source = "url"\nurl = "https://x/m.gguf?download=1"\nsha256 = "{SHA.upper()}"',
            Source("file", url="https://x/m.gguf?download=1", sha256=SHA, name="m.gguf"),
        ),
        (
            f'source = "url"\nurl = "https://x/m.tar.gz"\nsha256 = "{SHA}"',
            Source("archive", url="https://x/m.tar.gz", sha256=SHA),
        ),
        (
            f'source = "file"\npath = "m.gguf"\nsha256 = "{SHA}"',
            Source("file", path="/etc/fleet/m.gguf", sha256=SHA, name="m.gguf"),
        ),
    ],
)
def test_the_source_of_a_model(plans: Plans, declared: str, source: Source) -> None:
    model = f'[[model]]\nname = "m"\nhives = ["local-hive"]\n{declared}'
    (variant,) = spec(plans(hives=LOCAL, models=model), "local-hive", "model-m").variants
    assert variant.sources == {"any": source}


def test_tools_are_those_that_the_catalog_has(parse: Parse, engines: Catalog) -> None:
    assert [(tool.name, tool.kind, tool.command) for tool in tools(parse(), engines)] == [("uv", "tool", ())]


@pytest.mark.parametrize(("declared", "gpus"), [("[1, 0]", ("1", "0")), ('"all"', ("all",))])
def test_a_claim_reaches_the_host_as_it_was_declared(plans: Plans, declared: str, gpus: tuple[str, ...]) -> None:
    worker = f'workers = [{{ type = "comfyui", gpus = {declared} }}]'
    assert spec(plans(hives=REMOTE + worker), "gpu-1", "comfyui").gpus == gpus


def test_who_claims_nothing_has_no_claim(plans: Plans) -> None:
    assert spec(plans(hives=REMOTE + 'workers = ["comfyui"]'), "gpu-1", "comfyui").gpus == ()


def test_a_worker_carries_the_shortest_entry_that_declares_it(plans: Plans) -> None:
    entry = '{ type = "comfyui", name = "second", version = "1.0", port = 9000, args = ["-v"], env = { A = "1" } }'
    found = plans(hives=f'{REMOTE}workers = ["comfyui", {entry}]\n')
    assert json.loads(spec(found, "gpu-1", "comfyui").declared) == {"type": "comfyui"}
    assert json.loads(spec(found, "gpu-1", "second").declared) == {
        "type": "comfyui",
        "name": "second",
        "version": "1.0",
        "port": 9000,
        "args": ["-v"],
        "env": {"A": "1"},
    }
    assert json.loads(spec(found, "gpu-1", "hive").declared) == {"alias": "gpu-1"}


def test_the_queen_carries_what_rbee_conf_says_and_holds_on_every_controller(plans: Plans) -> None:
    rbee = """
        fleet = { name = "lab", fetch = "controller", hf_token = "env:TOKEN" }
        queen = { hostname = "10.0.0.9", ssh_user = "ops", bind = "10.0.0.9", api_key = "file:key" }
        package = { ssh_timeout = 5, health_check_timeout = 90 }
        """
    queen = spec(plans(hives=REMOTE, rbee=rbee), "queen", "queen")
    assert json.loads(queen.declared) == {
        "fleet": {"name": "lab", "fetch": "controller"},
        "queen": {"bind": "10.0.0.9"},
        "package": {"health_check_timeout": 90},
    }
    user = 'fleet = { scope = "user" }'
    assert json.loads(spec(plans(hives=REMOTE, rbee=user), "queen", "queen").declared) == {"fleet": {"scope": "user"}}


def test_a_model_carries_its_entry_without_hives_and_folder(plans: Plans) -> None:
    models = MODELS + 'hives = ["local-hive"]\n[[model]]\nname = "n"\nfile = "n.gguf"\nhives = ["local-hive"]\n'
    found = plans(hives=LOCAL, models=models)
    small = {"name": "small", "source": "file", "path": "small.gguf", "sha256": SHA}
    assert json.loads(spec(found, "local-hive", "model-small").declared) == small
    assert json.loads(spec(found, "local-hive", "model-n").declared) == {"name": "n", "file": "n.gguf"}


def test_the_order_of_a_file_means_nothing_to_the_queen(plans: Plans) -> None:
    workers = 'workers = [{ type = "comfyui" }, { type = "comfyui", name = "b", port = 1 }]\n'
    turned = 'workers = [{ type = "comfyui", name = "b", port = 1 }, { type = "comfyui", port = 8188 }]\n'
    one = spec(plans(hives=REMOTE + workers + LOCAL), "local-hive", "queen")
    assert files(one) == files(spec(plans(hives=LOCAL + REMOTE + turned), "local-hive", "queen"))


def test_the_queen_carries_the_register_of_the_hives(plans: Plans) -> None:
    found = plans(hives=f'{REMOTE}ssh_user = "ops"\nhive_port = 8601\n')
    assert to_dict(spec(found, "queen", "queen").register) == {
        "gpu-1": {
            "hostname": "10.0.0.1",
            "address": "10.0.0.1",
            "ssh_user": "ops",
            "hive_port": 8601,
            "prefix": "/opt/rbee",
        }
    }


def test_what_the_agent_knows_is_the_same_from_whichever_folder_it_was_installed(engines: Catalog) -> None:
    model = MODELS.replace('"/srv/small.gguf"', '"small.gguf"')
    texts = {"hives.conf": REMOTE + 'models = ["small"]\n', "models.conf": model}
    known = [
        files(spec(resolve(_config.parse(texts, engines, folder), engines), "gpu-1", "hive"))["catalog.json"]
        for folder in ("/home/me/fleet", "/srv/ci/fleet")
    ]
    assert known[0] == known[1] and "small.gguf" in known[0]


# Hosts that pull


def test_every_host_of_a_fleet_that_pulls_pulls_for_itself(parse: Parse, engines: Catalog) -> None:
    catalog = engines.merged(_load.merged_catalog())
    rbee = '[pull]\nrepository = "https://git.example.com/f.git"\nversion = "main"\ninterval = 5\njitter = 2\n'
    found = resolve(parse(hives=REMOTE, rbee=rbee), catalog)
    assert list(found) == ["queen", "gpu-1"]
    for host, plan in found.items():
        pull = plan.specs[-1]
        assert (pull.name, pull.kind, pull.port) == ("pull", "pull", 0)
        assert (pull.service.schedule, pull.service.spread, pull.service.privileged) == (300, 120, True)
        asked = json.loads(files(pull)["pull.json"])
        assert asked == {
            "repository": "https://git.example.com/f.git",
            "version": "main",
            "folder": ".",
            "key": "",
            "host": host,
        }


def test_a_temporary_hive_which_the_repository_does_not_have_does_not_pull(parse: Parse, engines: Catalog) -> None:
    rbee = '[pull]\nrepository = "https://git.example.com/f.git"\n'
    lab = '[[hive]]\nalias = "lab"\nhostname = "10.0.0.9"\n'
    plans = resolve(parse(rbee=rbee, **{".rbee/temporary": lab}), engines.merged(_load.merged_catalog()))
    assert {host: plan.specs[-1].name for host, plan in plans.items()} == {
        "queen": "pull",
        "gpu-1": "pull",
        "lab": "hive",
    }


def test_a_fleet_that_does_not_pull_has_nothing_of_it(plans: Plans) -> None:
    assert [item.kind for item in plans()["gpu-1"].specs] == ["hive"]


# Other programs in the place of ours


@pytest.fixture
def upstream(parse: Parse, engines: Catalog) -> t.Callable[..., dict[str, HostPlan]]:
    """Plans with another queen and another hive than ours."""

    def entry(name: str, *command: str) -> Entry:
        ours = engines.get(name)
        assert ours
        release = Release("0.1.0", Variant("default", {"any": Source("archive", path=f"/srv/{name}.tar.gz")}))
        return dataclasses.replace(ours, releases=(release,), command=command)

    hive = entry("hive", "{release}/rbee-hive", "--queen-url", "{queen_url}", "--hive-id", "{hive}", "{port}")
    queen = entry("queen", "{release}/queen-rbee", "{address}")

    def plan(*names: str, **texts: str) -> dict[str, HostPlan]:
        chosen = {item.type: item for item in (queen, hive) if item.type in names}
        return resolve(parse(**texts), engines.merged(Catalog(chosen)))

    return plan


def test_another_queen_gets_nothing_of_the_gateway_but_the_register(
    upstream: t.Callable[..., dict[str, HostPlan]],
) -> None:
    queen = spec(upstream("queen", hives=LOCAL), "local-hive", "queen")
    assert queen.files == ()
    assert (queen.port, list(queen.register)) == (8500, ["local-hive"])


def test_another_hive_is_told_who_it_is_and_where_the_queen_is(upstream: t.Callable[..., dict[str, HostPlan]]) -> None:
    rbee = '[queen]\nhostname = "10.0.0.9"\nport = 9000\nbind = "0.0.0.0"\ninsecure = true\n'
    hive = spec(upstream("hive", hives=REMOTE, rbee=rbee), "gpu-1", "hive")
    assert hive.command[1:] == ("--queen-url", "http://10.0.0.9:9000", "--hive-id", "gpu-1", "{port}")
    assert hive.files == ()


def test_our_queen_does_not_ask_another_hive_whether_a_worker_drains(
    upstream: t.Callable[..., dict[str, HostPlan]],
) -> None:
    texts = {"hives": LOCAL + 'workers = [{ type = "llama-cpp", model = "small" }]', "models": MODELS}
    ours = files(spec(upstream(**texts), "local-hive", "queen"))["haproxy.cfg"]
    other = files(spec(upstream("hive", **texts), "local-hive", "queen"))["haproxy.cfg"]
    assert "agent-check" in ours and "agent-check" not in other


@pytest.mark.parametrize(
    ("bind", "hostname", "beside", "away"),
    [
        ("127.0.0.1", "localhost", "http://127.0.0.1:8500", ""),
        ("0.0.0.0", "localhost", "http://127.0.0.1:8500", ""),
        ("::", "localhost", "http://[::1]:8500", ""),
        ("10.0.0.9", "localhost", "http://10.0.0.9:8500", "http://10.0.0.9:8500"),
    ],
)
def test_where_a_hive_reaches_the_queen(parse: Parse, bind: str, hostname: str, beside: str, away: str) -> None:
    rbee = f'[queen]\nhostname = "{hostname}"\nbind = "{bind}"\ninsecure = true\n'
    fleet = parse(hives=LOCAL + REMOTE.replace("[[hive]]", 'address = "10.0.0.2"\n[[hive]]', 1), rbee=rbee)
    assert [_fleet.queen_url(fleet, hive) for hive in fleet.hives] == [beside, away]


def test_arguments_of_a_worker_may_name_the_hive_and_the_queen(plans: Plans) -> None:
    worker = '{ type = "comfyui", args = ["{hive}", "{port}"], env = { Q = "{queen_url}" } }'
    found = spec(plans(hives=f"{LOCAL}workers = [{worker}]"), "local-hive", "comfyui")
    assert found.command[-2:] == ("local-hive", "{port}")
    assert found.env["Q"] == "http://127.0.0.1:8500"
    assert json.loads(found.declared)["args"] == ["{hive}", "{port}"]
