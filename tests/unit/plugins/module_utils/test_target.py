# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exactly shall be on a host: the variant, the name of the release, the files of the generation."""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    File,
    Health,
    PythonEnv,
    Service,
    Source,
    Spec,
    Variant,
)
from ansible_collections.rbee.fleet.plugins.module_utils._target import (
    Build,
    HostFacts,
    Target,
    TargetError,
    account_of,
    build_of,
    choose,
    fill,
    target_of,
)
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition
from hypothesis import given
from hypothesis import strategies as st

LAYOUT = Layout("/p")
HOST = HostFacts("linux-x86_64", frozenset(), "/usr/bin/python3", "system", "rbee", ("video",), {}, "/usr/local/bin")
A, B = "a" * 64, "b" * 64
ARCHIVE = Source("archive", url="https://one.example/x.tar", sha256=A, size=10, strip=1)


def spec_of(*variants: Variant, **options: t.Any) -> Spec:
    chosen = variants or (Variant("cpu", {"any": ARCHIVE}),)
    return Spec("w", "engine", "worker", "default", options.pop("version", "1"), chosen, **options)


def build(source: Source = ARCHIVE, interpreter: str = "", host: HostFacts = HOST, **options: t.Any) -> Build:
    spec = spec_of(Variant("cpu", {"any": source}), **options)
    return build_of(spec, spec.variants[0], source, interpreter, host, LAYOUT)


def render(defn: ServiceDefinition) -> str:
    return repr(defn)


def target(
    secrets: t.Mapping[str, str] | None = None, model: Build | None = None, model_name: str = "", **options: t.Any
) -> Target:
    variants = options.pop("variants", ())
    spec = spec_of(*variants, **{"command": ("{release}/run",), "model": model_name, **options})
    variant, source = choose(spec, HOST)
    chosen = build_of(spec, variant, source, "", HOST, LAYOUT)
    return target_of(spec, chosen, HOST, LAYOUT, {model_name: model} if model else {}, secrets or {}, render)


def start(**options: t.Any) -> str:
    return target(**options).contents["start"].text


# The variant


CUDA, VULKAN, CPU = (
    Variant(name, {"any": ARCHIVE}, device=device)
    for name, device in (("cuda", "nvidia"), ("vulkan", "vulkan"), ("cpu", ""))
)


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [({"nvidia", "vulkan"}, "cuda"), ({"vulkan", "intel"}, "vulkan"), ({"amd"}, "cpu"), (set(), "cpu")],
)
def test_the_first_variant_whose_device_is_there_is_taken(devices: set[str], chosen: str) -> None:
    host = dataclasses.replace(HOST, devices=frozenset(devices))
    assert choose(spec_of(CUDA, VULKAN, CPU), host)[0].name == chosen


@pytest.mark.parametrize(
    ("variants", "devices", "chosen"),
    [
        ((CUDA, VULKAN, CPU), {"vulkan"}, "vulkan"),
        ((CPU,), set(), "cpu"),
        ((CUDA, CPU), set(), ""),
        ((CUDA, VULKAN, CPU), set(), ""),
    ],
)
def test_a_card_whose_driver_is_not_loaded_is_not_replaced_by_the_processor(
    variants: tuple[Variant, ...], devices: set[str], chosen: str
) -> None:
    host = dataclasses.replace(HOST, devices=frozenset(devices), asleep=frozenset({"nvidia"}))
    if chosen:
        assert choose(spec_of(*variants), host)[0].name == chosen
        return
    with pytest.raises(TargetError, match="load the driver, or set variant = 'cpu'"):
        choose(spec_of(*variants), host)


def test_a_claim_is_recorded_in_the_generation() -> None:
    about = [json.loads(target(gpus=gpus).contents["generation.json"].text) for gpus in ((), ("GPU-a",))]
    assert [found.get("gpus") for found in about] == [None, ["GPU-a"]]


def test_a_host_without_the_device_is_told_what_it_has_and_what_it_needs() -> None:
    host = dataclasses.replace(HOST, devices=frozenset({"amd"}))
    with pytest.raises(TargetError, match="needs a GPU of kind nvidia, vulkan; this host has amd"):
        choose(spec_of(CUDA, VULKAN), host)


def test_the_hosts_own_platform_comes_before_any() -> None:
    own = dataclasses.replace(ARCHIVE, sha256=B)
    assert choose(spec_of(Variant("cpu", {"any": ARCHIVE, "linux-x86_64": own})), HOST)[1] is own


def test_a_platform_without_a_source_is_named_with_those_that_have_one() -> None:
    with pytest.raises(TargetError, match="no source for linux-x86_64, only for linux-aarch64; add one"):
        choose(spec_of(Variant("cpu", {"linux-aarch64": ARCHIVE})), HOST)


# The name of a release


def test_a_release_with_a_digest_is_the_same_wherever_it_comes_from() -> None:
    mirror = dataclasses.replace(ARCHIVE, url="https://two.example/y.tar")
    local = dataclasses.replace(ARCHIVE, url="", path="/home/me/x.tar")
    assert build().release == build(mirror).release == build(local).release


def test_a_release_without_a_digest_is_known_by_where_it_comes_from() -> None:
    one, two = (Source("file", url=f"https://{name}.example/x", name="x") for name in ("one", "two"))
    assert build(one).release != build(two).release


def test_further_archives_are_known_by_their_digests_too() -> None:
    first, moved, other = (
        dataclasses.replace(ARCHIVE, also=(Source("archive", url=url, sha256=sha256),))
        for url, sha256 in (("https://one.example/y", A), ("https://two.example/y", A), ("https://one.example/y", B))
    )
    assert build(first).release == build(moved).release
    assert len({build().release, build(first).release, build(other).release}) == 3


@pytest.mark.parametrize(
    "other",
    [
        build(dataclasses.replace(ARCHIVE, sha256=B)),
        build(dataclasses.replace(ARCHIVE, strip=0)),
        build(dataclasses.replace(ARCHIVE, env=PythonEnv(requirements="x==1"))),
        build(interpreter="/usr/bin/python3.12"),
        build(version="2"),
        build(host=dataclasses.replace(HOST, platform="linux-aarch64")),
    ],
    ids=["digest", "folders dropped", "environment", "interpreter", "version", "platform"],
)
def test_whatever_makes_other_files_makes_another_release(other: Build) -> None:
    assert other.release != build().release


def test_what_only_configures_a_component_makes_no_other_release() -> None:
    assert build(port=1, env={"A": "b"}, command=("x",), files=(File("f", "x"),)).release == build().release


def test_a_bundled_release_changes_with_the_library_that_builds_it() -> None:
    source = Source("bundled", name="rbee-hive")
    releases = {build(source, host=dataclasses.replace(HOST, bundled={"rbee-hive": digest})).release for digest in "ab"}
    assert len(releases) == 2


def test_a_release_lies_in_the_folder_of_its_type() -> None:
    assert build().path == f"/p/releases/engine/{build().release}"


# The generation


def test_a_component_with_nothing_to_run_has_no_generation() -> None:
    found = target(command=())
    assert (found.generation, found.contents, found.has_service, found.runs) == ("", {}, False, False)


def test_a_variants_command_replaces_and_its_environment_yields_to_the_components() -> None:
    variant = Variant("cpu", {"any": ARCHIVE}, command=("own",), env={"A": "variant", "B": "variant"})
    script = target(variants=(variant,), command=("run",), env={"B": "spec"}).contents["start"].text
    assert "exec own\n" in script
    assert "export A=variant\nexport B=spec\n" in script


MODEL = Build(Variant("file", {}), Source("file", name="m.gguf"), "", "r", "/p/models/m/r")
VALUES = {
    "release": build().path,
    "files": "/p/components/w/current/files",
    "data": "/p/data/w",
    "prefix": "/p",
    "python": "/usr/bin/python3",
    "address": "10.0.0.1",
    "port": "8080",
    "model": "org/m",
    "model_path": "/p/models/m/r/m.gguf",
}
BRACED = tuple("{" + name + "}" for name in VALUES)
SERVES: dict[str, t.Any] = {
    "model": MODEL,
    "model_name": "model-m",
    "served_name": "org/m",
    "address": "10.0.0.1",
    "port": 8080,
}


def test_every_placeholder_is_filled_in_commands_environment_health_and_templates() -> None:
    found = target(
        command=BRACED,
        env={"ALL": " ".join(BRACED)},
        health=Health(" ".join(BRACED)),
        files=(File("f", " ".join(BRACED), template=True),),
        **SERVES,
    )
    filled = " ".join(VALUES.values())
    assert f"exec {filled}\n" in found.contents["start"].text
    assert f"export ALL='{filled}'\n" in found.contents["start"].text
    assert found.spec.health.path == filled
    assert found.contents["files/f"].text == filled


def test_a_model_that_is_a_whole_repository_is_served_by_its_folder() -> None:
    whole = dataclasses.replace(MODEL, source=Source("huggingface", repository="org/m"))
    assert "exec /p/models/m/r\n" in start(command=("{model_path}",), model=whole, model_name="model-m")


def test_files_that_are_no_templates_stay_as_they_are() -> None:
    assert target(files=(File("f", "{port}"),)).contents["files/f"].text == "{port}"


@given(st.text(alphabet="{}portdata x$", max_size=20))
def test_other_braces_are_left_to_the_program(text: str) -> None:
    values = {"port": "{data}", "data": "D"}
    expected = text.replace("{data}", "\0").replace("{port}", "{data}").replace("\0", "D")
    assert fill(text, values) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), max_size=4))
def test_words_and_values_reach_the_program_as_they_are(words: list[str]) -> None:
    script = start(command=("program", *words), env={"A": words[0] if words else ""})
    line = script[script.index("\nexec ") + 1 :]
    assert shlex.split(line) == ["exec", "program", *words]


def test_a_worker_whose_model_is_not_on_the_host_is_refused() -> None:
    with pytest.raises(TargetError, match="serves model 'm', which is not among the components of this host"):
        target(model_name="m")


def test_an_idle_worker_needs_no_model() -> None:
    assert not target(model_name="m", idle="no model").runs


# Models on demand


SEVERAL = {"model-b": "org/b", "model-m": "org/m"}
LISTED = File("models.ini", "[{model}]\nmodel = {model_path}\n", each_model=True)


def on_demand(**options: t.Any) -> Target:
    spec = spec_of(*options.pop("variants", ()), command=("run",), models=SEVERAL, files=(LISTED,), **options)
    variant, source = choose(spec, HOST)
    other = dataclasses.replace(MODEL, source=Source("file", name="b.gguf"), path="/p/models/b/r")
    models = {"model-m": MODEL, "model-b": other, "model-unrelated": other}
    return target_of(spec, build_of(spec, variant, source, "", HOST, LAYOUT), HOST, LAYOUT, models, {}, render)


def test_a_file_can_say_something_of_every_model_that_is_served_on_demand() -> None:
    found = on_demand()
    text = "[org/b]\nmodel = /p/models/b/r/b.gguf\n[org/m]\nmodel = /p/models/m/r/m.gguf\n"
    assert found.contents["files/models.ini"].text == text
    assert found.runs


def test_the_only_model_on_demand_is_named_on_the_command_line_too() -> None:
    spec = spec_of(command=("run", "{model}", "{model_path}"), models={"model-m": "org/m"})
    variant, source = choose(spec, HOST)
    build = build_of(spec, variant, source, "", HOST, LAYOUT)
    found = target_of(spec, build, HOST, LAYOUT, {"model-m": MODEL}, {}, render)
    assert found.contents["start"].text.endswith("exec run org/m /p/models/m/r/m.gguf\n")


def test_a_generation_names_the_models_that_it_serves_on_demand_so_that_they_are_kept() -> None:
    about = json.loads(on_demand().contents["generation.json"].text)
    assert (about["models"], about["model_paths"]) == (SEVERAL, ["/p/models/b/r/b.gguf", "/p/models/m/r/m.gguf"])


def test_a_build_that_cannot_serve_on_demand_stays_idle_and_says_why() -> None:
    found = on_demand(variants=(dataclasses.replace(CPU, idle="one only"),))
    assert (found.runs, found.spec.idle, found.spec.models) == (False, "one only", {})
    assert "files/models.ini" not in found.contents


def test_a_worker_that_serves_on_demand_needs_all_of_its_models() -> None:
    with pytest.raises(TargetError, match="serves model 'model-b', which is not among the components of this host"):
        target(models=SEVERAL, model=MODEL, model_name="")


def test_a_missing_secret_is_named() -> None:
    with pytest.raises(TargetError, match="secret 'key' was not given"):
        target(secret_env={"KEY": "key"})


def test_secrets_stand_only_in_files_that_are_marked_so() -> None:
    found = target(
        {"key": "s3cr3t"}, secret_env={"KEY": "key"}, files=(File("token", secret="key"), File("plain", "x"))
    )
    assert [path for path, content in found.contents.items() if "s3cr3t" in content.text] == [
        path for path, content in found.contents.items() if content.secret
    ]
    assert found.contents["secrets.env"].text == "KEY=s3cr3t\n"
    assert ". /p/components/w/current/secrets.env;" in found.contents["start"].text


def test_the_service_starts_through_the_link_that_is_switched() -> None:
    assert "start='/p/components/w/current/start'" in target().unit


def test_the_queen_has_a_user_of_her_own_where_services_have_one() -> None:
    worker, queen = spec_of(), dataclasses.replace(spec_of(), kind="queen")
    assert [account_of(spec, "rbee") for spec in (worker, queen)] == ["rbee", "rbee-queen"]
    assert [account_of(spec, "") for spec in (worker, queen)] == ["", ""]
    privileged = dataclasses.replace(queen, service=Service(privileged=True))
    assert account_of(privileged, "rbee") == ""


def test_only_what_uses_gpus_gets_their_groups() -> None:
    assert "groups=()" in target().unit
    assert "groups=('video',)" in target(service=Service(devices=True)).unit


def test_a_generation_describes_itself() -> None:
    about = json.loads(target(health=Health("/h"), **SERVES).contents["generation.json"].text)
    assert (about["fleet"], about["kind"], about["port"], about["health"]) == ("default", "worker", 8080, "/h")
    assert about["release_path"] == build().path
    assert about["model_path"] == "/p/models/m/r/m.gguf"


BASE: dict[str, t.Any] = {"secret_env": {"KEY": "key"}}


@pytest.mark.parametrize(
    "change",
    [
        {"port": 1},
        {"command": ("other",)},
        {"env": {"A": "b"}},
        {"files": (File("f", "x"),)},
        {"service": Service(stop_timeout=1)},
        {"version": "2"},
        {"secrets": {"key": "other"}},
        {"model": MODEL, "model_name": "model-m", "command": ("{model_path}",)},
    ],
    ids=str,
)
def test_whatever_the_program_sees_makes_another_generation(change: dict[str, t.Any]) -> None:
    plain = target(**{"secrets": {"key": "k"}, **BASE})
    assert target(**{"secrets": {"key": "k"}, **BASE, **change}).generation != plain.generation


def test_when_it_starts_makes_no_other_generation() -> None:
    assert target(auto_start=False).generation == target(idle="no model").generation == target().generation
