# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Health, PythonEnv, Service, Source
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import (
    PLACEHOLDERS,
    Catalog,
    CatalogError,
    Entry,
    parse_entry,
    unpinned,
    without_digest,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog_keys import ENTRY, PYTHON, RELEASE, SOURCE
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Key
from hypothesis import given
from hypothesis import strategies as st

SHIPPED = pathlib.Path(__file__).parents[4] / "catalog"
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))

ENGINE = """
kind = "worker"
summary = "an engine"
port = 9000
command = ["{release}/engine", "--port", "{port}"]
[[release]]
version = "1.0"
[release.source.any]
kind = "archive"
url = "https://example.org/engine.tar.gz"
sha256 = "%s"
""" % ("a" * 64)


def no_files(name: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", name)


def entry(text: str, name: str = "my-engine") -> Entry:
    return parse_entry(name, text, f"{name}.toml", no_files)


def shipped(name: str) -> Entry:
    text = (SHIPPED / f"{name}.toml").read_text()
    return parse_entry(name, text, f"{name}.toml", lambda path: (SHIPPED / path).read_text())


def mistakes(text: str) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        entry(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def changed(*changes: tuple[str, str]) -> str:
    """The example with each first text replaced by the second."""
    text = ENGINE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


# What the collection ships


def test_the_shipped_catalog_has_every_component_the_collection_installs() -> None:
    assert NAMES == [
        "comfyui",
        "hive",
        "huggingface",
        "llama-cpp",
        "pull",
        "python",
        "queen",
        "supervisor",
        "uv",
        "vllm",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_entry_parses(name: str) -> None:
    assert shipped(name).releases


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_entry_downloads_only_what_it_has_a_digest_for(name: str) -> None:
    for release in shipped(name).releases:
        for source in release.variant.sources.values():
            for part in (source, *source.also):
                assert len(part.sha256) == 64 if part.url else not part.sha256


def test_the_shipped_ports_do_not_collide() -> None:
    ports = [shipped(name).port for name in NAMES if shipped(name).port]
    assert len(ports) == len(set(ports))


def test_llama_cpp_prefers_a_gpu_and_runs_without_one() -> None:
    variants = shipped("llama-cpp").variants(shipped("llama-cpp").latest)
    assert [(variant.name, variant.device) for variant in variants] == [
        ("cuda", "nvidia"),
        ("vulkan", "vulkan"),
        ("cpu", ""),
    ]


def test_a_cuda_build_of_llama_cpp_brings_its_cuda_runtime() -> None:
    cuda = shipped("llama-cpp").variants("2026.10")[0]
    for source in cuda.sources.values():
        assert ["/cudart-" in part.url for part in (source, *source.also)] == [False, True]


def test_llama_cpp_serves_several_models_where_its_build_can() -> None:
    able = shipped("llama-cpp").models_commands("2026.10")
    assert [name for name, words in able.items() if words] == ["cuda", "vulkan"]


def test_the_runner_of_llama_cpp_is_python() -> None:
    (runner,) = (file for file in shipped("llama-cpp").files if file.path == "serve.py")
    compile(runner.content, runner.path, "exec")


def test_the_overrides_of_vllm_are_those_its_lock_was_made_with() -> None:
    source = shipped("vllm").variants("0.32.0")[1].sources["any"]
    assert source.env and source.env.overrides.strip() == (SHIPPED / "locks/vllm-cpu.overrides").read_text().strip()


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("locks/*.in")))
def test_a_lock_holds_the_versions_that_were_asked_for(name: str) -> None:
    asked = [line.split("#")[0].strip() for line in (SHIPPED / f"locks/{name}.in").read_text().splitlines()]
    locked = (SHIPPED / f"locks/{name}.txt").read_text()
    assert not unpinned(locked)
    for line in asked:
        if "==" in line:
            assert f"\n{line.split(';')[0].strip()}" in locked


# A type of one's own


def test_the_archive_of_the_guide_is_a_release() -> None:
    page = (SHIPPED.parent / "docs" / "own-types.md").read_text()
    (example,) = re.findall(r"^```toml\n(\[\[release\]\]\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert entry(ENGINE.split("[[release]]", maxsplit=1)[0] + example).latest == "1.0"


@pytest.mark.parametrize("keys", [ENTRY, RELEASE, SOURCE, PYTHON])
def test_the_documentation_names_every_key(keys: dict[str, Key]) -> None:
    page = (SHIPPED.parent / "docs" / "catalog.md").read_text()
    assert [key for key in keys if f"`{key}`" not in page and f"{key}]" not in page and f".{key}." not in page] == []


def test_one_file_is_a_new_type() -> None:
    assert entry(ENGINE) == Entry(
        type="my-engine",
        kind="worker",
        summary="an engine",
        port=9000,
        command=("{release}/engine", "--port", "{port}"),
        releases=entry(ENGINE).releases,
    )
    (release,) = entry(ENGINE).releases
    assert (release.version, release.variant.name, release.variant.device) == ("1.0", "default", "")
    assert release.variant.sources == {
        "any": Source(kind="archive", url="https://example.org/engine.tar.gz", sha256="a" * 64)
    }


def test_every_key_reaches_the_entry() -> None:
    found = entry(
        """
kind = "worker"
summary = "an engine"
port = 9000
model = "optional"
model_format = "gguf"
command = ["{release}/engine", "{files}/config"]
model_command = ["--model", "{model_path}", "--name", "{model}"]
check = ["{release}/engine", "--check"]
[env]
HOME = "{data}"
[health]
path = "/ready"
timeout = 7
[service]
stop_timeout = 9
reload_signal = "HUP"
capabilities = ["CAP_NET_BIND_SERVICE"]
nofile = 4096
devices = true
drain_timeout = 11
[files]
"run.sh" = "exec {anything}"
"config" = { content = "port {port}", template = true }
[[release]]
version = "2.0"
variant = "gpu"
device = "amd"
command = ["{release}/engine-gpu"]
[release.env]
GPU = "yes"
[release.python]
requires = ">=3.10,<3.14"
requirements = "one==1.0"
torch_backend = "auto"
overrides = "two==2.0"
[release.source."linux-aarch64"]
kind = "archive"
path = "/srv/engine.zip"
size = 10
strip = 2
[[release.source."linux-aarch64".also]]
url = "https://example.org/more.zip"
sha256 = "%s"
strip = 1
"""
        % ("b" * 64)
    )
    assert found.env == {"HOME": "{data}"}
    assert found.health == Health("/ready", 7)
    assert found.service == Service(9, "HUP", ("CAP_NET_BIND_SERVICE",), 4096, True, 11)
    assert found.files == (File("run.sh", "exec {anything}"), File("config", "port {port}", template=True))
    assert (found.model, found.model_format, found.check[1]) == ("optional", "gguf", "--check")
    assert found.model_command == ("--model", "{model_path}", "--name", "{model}")
    variant = found.releases[0].variant
    assert (variant.name, variant.device, variant.command) == ("gpu", "amd", ("{release}/engine-gpu",))
    assert variant.env == {"GPU": "yes"}
    assert variant.sources == {
        "linux-aarch64": Source(
            kind="archive",
            path="/srv/engine.zip",
            size=10,
            strip=2,
            also=(Source(kind="archive", url="https://example.org/more.zip", sha256="b" * 64, strip=1),),
            env=PythonEnv(">=3.10,<3.14", "one==1.0", "auto", "two==2.0"),
        )
    }


ROUTER = """
kind = "worker"
summary = "several models"
port = 9000
model = "required"
command = ["engine"]
model_command = ["{model_path}"]
models_command = ["--list", "{files}/list"]
files.list = { each_model = "{model}={model_path}" }
[[release]]
version = "1.0"
variant = "gpu"
device = "amd"
models_command = ["--own"]
source.any = { kind = "bundled", name = "x" }
[[release]]
version = "1.0"
source.any = { kind = "bundled", name = "x" }
"""


def test_a_build_may_serve_several_models_in_a_way_of_its_own() -> None:
    found = entry(ROUTER)
    assert found.models_commands("1.0") == {"gpu": ("--own",), "default": ("--list", "{files}/list")}
    assert found.files == (File("list", "{model}={model_path}", each_model=True),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"required"', '"optional"', "8: models_command: expected only with model = 'required'"),
        ('"required"', '"optional"', "14: release[0].models_command: expected only with model = 'required'"),
        ('"--own"', '"{model}"', "14: release[0].models_command[0]: {model} can only be used in model_command and"),
        ("{model}=", "{modle}=", "9: files.list.each_model: unknown placeholder {modle}; did you mean 'model'?"),
        ("{ each_model", '{ content = "", each_model', "9: files.list: expected exactly one of content"),
    ],
)
def test_a_mistake_about_several_models_is_named(old: str, new: str, expected: str) -> None:
    found = mistakes(ROUTER.replace(old, new))
    assert any(expected in mistake for mistake in found), found


def test_a_lock_is_read_from_beside_the_entry() -> None:
    text = ENGINE.split("[release.source", maxsplit=1)[0] + '[release.python]\nlock = "locks/engine.txt"\n'
    found = parse_entry("e", text, "e.toml", {"locks/engine.txt": "engine==1.0\n"}.__getitem__)
    assert found.releases[0].variant.sources == {
        "any": Source(kind="python", env=PythonEnv(requirements="engine==1.0\n"))
    }


def test_a_file_may_lie_beside_the_entry() -> None:
    text = ENGINE + '[files]\n"page.html" = { file = "page/engine.html" }\nt = { file = "t", template = true }\n'
    beside = {"page/engine.html": "{anything}", "t": "{port}"}
    found = parse_entry("e", text, "e.toml", beside.__getitem__)
    assert found.files == (File("page.html", "{anything}"), File("t", "{port}", template=True))


def test_a_template_beside_the_entry_is_checked_like_one_in_it() -> None:
    text = ENGINE + '[files]\nt = { file = "t", template = true }\n'
    with pytest.raises(CatalogError, match=r"files\.t\.file: unknown placeholder \{prot\}; did you mean 'port'"):
        parse_entry("e", text, "e.toml", {"t": "{prot}"}.__getitem__)


# Mistakes


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('kind = "worker"', 'kind = "wroker"', "2: kind: unknown value; did you mean 'worker'?"),
        ('summary = "an engine"', "", "1: summary: missing"),
        ("port = 9000", "port = 90000", "4: port: expected an integer from 1 to 65535"),
        ("port = 9000", "", "1: port: missing; a worker requires it"),
        ("port = 9000", "prot = 9000", "4: prot: unknown key; did you mean 'port'?"),
        ('"{port}"', '"{prot}"', "5: command[2]: unknown placeholder {prot}; did you mean 'port'?"),
        ('"{port}"', '"{model}"', "5: command[2]: {model} can only be used in model_command"),
        (
            'kind = "worker"',
            'kind = "queen"\nenv = { A = "{hive}" }',
            "3: env.A: {hive} can only be used by a hive or a worker",
        ),
        ('"{port}"', "1", "5: command[2]: expected a string"),
        ("command = ", "#", "1: command: missing; a worker requires it"),
        ("port = 9000", 'port = 9000\nmodel = "required"', "1: model_command: missing"),
        ("port = 9000", 'port = 9000\nmodel_format = "gguf"', "5: model_format: expected only with model ="),
        ("[[release]]", '[health]\npath = "ready"\n[[release]]', "7: health.path: expected a path such as /health"),
        ("[[release]]", "[health]\ntimeout = 0\n[[release]]", "7: health.timeout: expected an integer from 1"),
        ("[[release]]", '[files]\n"../x" = ""\n[[release]]', "7: files.'../x': expected a name like serve.py"),
        ("[[release]]", '[files]\nx = { file = "x" }\n[[release]]', "7: files.x.file: x cannot be read: "),
        ("[[release]]", '[files]\nx = { file = "../x" }\n[[release]]', "a relative path without '..'"),
        ("[[release]]", "[files]\nx = {}\n[[release]]", "7: files.x: expected exactly one of content"),
        ("[[release]]", '[files]\nx = { file = "x", content = "" }\n[[release]]', "expected exactly one of content"),
        ("[[release]]", '[env]\nA-B = ""\n[[release]]', "7: env.A-B: expected a name like an environment variable"),
        (
            "[[release]]",
            '[service]\nreload_signal = "usr2"\n[[release]]',
            "7: service.reload_signal: expected",
        ),
        ("[[release]]", "[release]", "6: release: expected an array of tables; write [[release]]"),
        ('version = "1.0"', "version = 1.0", "7: release[0].version: expected a string"),
        ('version = "1.0"', 'version = "1.0"\ndevice = "tpu"', "8: release[0].device: unknown value"),
        (".any]", ".linux-arm64]", "8: release[0].source.linux-arm64: expected a name like linux-x86_64"),
        ('kind = "archive"', 'kind = "file"', "8: release[0].source.any.name: missing"),
        (
            'kind = "archive"',
            'kind = "bundled"',
            "source.any.url: a source of kind bundled has no such key",
        ),
        ('kind = "archive"', 'kind = "git"', "9: release[0].source.any.kind: unknown value; expected one of: archive,"),
        ("https://", "ftp://", "10: release[0].source.any.url: expected an http, https or file URL"),
        ("https://example.org", "engine", "10: release[0].source.any.url: expected an http, https or file URL"),
        (
            "sha256 = ",
            "#",
            "8: release[0].source.any.sha256: missing; what is downloaded",
        ),
        ("a" * 64, "A" * 64, "11: release[0].source.any.sha256: expected a SHA-256 digest"),
        ('url = "https', 'path = "/x"\nurl = "https', "8: release[0].source.any: expected exactly one of url and path"),
        ('url = "https', 'path = "x"\nurl = "https', "10: release[0].source.any.path: expected an absolute path"),
        (
            "[release.source",
            '[release.python]\nrequires = "3.10"\nrequirements = "a==1"\n[release.source',
            "not a version",
        ),
        (
            "[release.source",
            '[release.python]\nrequirements = "a>=1"\n[release.source',
            "9: release[0].python.",
        ),
        ("[release.source", "[release.python]\n[release.source", "expected exactly one of lock"),
        ("[release.source", '[release.python]\nlock = "../x"\n[release.source', "a relative path without '..'"),
        ("[release.source", '[release.python]\nlock = "x.txt"\n[release.source', "x.txt cannot be read: "),
        (
            "[[release]]",
            '[service]\nschedule = 60\n[health]\npath = "/h"\n[[release]]',
            "what ends after each run cannot be asked for its health",
        ),
        ("[[release]]", '[[release]]\nbinaries.git = { brew = ["git"] }', "expected a name like apt, dnf, zypper"),
        ('kind = "worker"', 'kind = "tool"', "4: port: a tool has nothing to run; remove it"),
        ("[[release]]", "[[release]]\n[[release]]", "6: release[0].version: missing"),
        ("summary", "summary = ", "invalid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(old: str, new: str, expected: str) -> None:
    found = mistakes(changed((old, new)))
    assert any(expected in mistake for mistake in found), found


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file() -> None:
    text = changed(("9000", "90000"), ("{port}", "{prot}"), ("a" * 64, "0"))
    assert [mistake.split(": ")[1] for mistake in mistakes(text)] == [
        "port",
        "command[2]",
        "release[0].source.any.sha256",
    ]


def test_a_release_that_installs_nothing_is_a_mistake() -> None:
    text = ENGINE.split("[release.source", maxsplit=1)[0]
    assert mistakes(text) == [
        "my-engine.toml:6: release[0]: has nothing to install; give it [release.source.<platform>] or [release.python]"
    ]


def test_an_entry_without_releases_is_a_mistake() -> None:
    assert any("release: missing" in line for line in mistakes(ENGINE.split("[[release]]", maxsplit=1)[0]))
    assert any("at least one" in line for line in mistakes("release = []" + ENGINE.split("[[release]]", maxsplit=1)[0]))


def test_a_variant_can_be_there_once_in_a_version() -> None:
    again = ENGINE[ENGINE.index("[[release]]") :]
    assert mistakes(ENGINE + again) == ["my-engine.toml:12: release[1]: version 1.0 has a variant default already"]


def test_the_variants_of_a_version_stand_together() -> None:
    release = ENGINE[ENGINE.index("[[release]]") :]
    text = ENGINE + release.replace("1.0", "0.9") + release.replace('"1.0"', '"1.0"\nvariant = "other"')
    assert any("keep the variants of version 1.0 together" in line for line in mistakes(text))


@pytest.mark.parametrize("name", ["My-Engine", "engine_2", "2nd", "", "-x"])
def test_a_file_name_that_is_no_type_name_is_a_mistake(name: str) -> None:
    with pytest.raises(CatalogError, match="the file name is the type"):
        entry(ENGINE, name)


@pytest.mark.parametrize("line", ["a", "a>=1", "a==1,<2", "-r other.txt", "git+https://example.org/a", "a==1 b==2"])
def test_a_requirement_without_one_exact_version_is_not_pinned(line: str) -> None:
    assert unpinned(f"ok==1.0\n{line}\n") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "a==1",
        "a[extra]==1.0.post1",
        "a==1+cpu ; python_full_version < '3.11' and sys_platform == 'linux'",
        "a @ https://example.org/a-1-py3-none-any.whl",
        "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11",
        "# a",
        "a==1 # why",
        "",
    ],
)
def test_a_requirement_with_one_exact_version_is_pinned(line: str) -> None:
    assert unpinned(line) == []


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("a==1", ["a==1"]),
        ("a==1 ; python_version > '3'  # why", ["a==1 ; python_version > '3'"]),
        ("a==1 --hash=sha256:00", []),
        ("a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11", []),
        ("a @ https://example.org/a-1-py3-none-any.whl#sha256=00", []),
        ("# a", []),
    ],
)
def test_a_requirement_without_a_digest_accepts_any_file(line: str, missing: list[str]) -> None:
    assert without_digest(line) == missing


def test_digests_on_some_lines_alone_are_a_mistake() -> None:
    python = "[[release]]\nversion = '1'\n[release.python]\nrequirements = '''\na==1 --hash=sha256:00\nb==2\n'''\n"
    (mistake,) = mistakes(ENGINE.split("[[release]]", maxsplit=1)[0] + python)
    assert "release[0].python.requirements" in mistake and "on every line or on none; 'b==2' has none" in mistake


@pytest.mark.parametrize("name", NAMES)
def test_every_python_package_that_a_shipped_entry_installs_has_a_digest(name: str) -> None:
    for release in shipped(name).releases:
        for source in release.variant.sources.values():
            assert not source.env or not without_digest(source.env.requirements)


# Versions


def releases(*versions: str) -> str:
    head, release = ENGINE.split("[[release]]")
    return head + "".join(
        "[[release]]" + release.replace('"1.0"', f'"{version}"\nvariant = "v{index}"')
        for index, version in enumerate(versions)
    )


def test_latest_is_the_first_version_in_the_file() -> None:
    found = entry(releases("2.0", "2.0", "1.0"))
    assert (found.versions, found.latest) == (("2.0", "1.0"), "2.0")
    assert [variant.name for variant in found.variants("2.0")] == ["v0", "v1"]


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=r"my-engine has no version '3.0'; the catalog has 2.0, 1.0"):
        entry(releases("2.0", "1.0")).variants("3.0")


@given(st.lists(st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True), min_size=1, max_size=6, unique=True))
def test_every_version_of_an_entry_has_its_variants(versions: list[str]) -> None:
    found = entry(releases(*versions))
    assert found.versions == tuple(versions)
    assert all(len(found.variants(version)) == 1 for version in versions)


# Robustness


@given(st.text(max_size=200))
def test_any_text_is_an_entry_or_named_mistakes(text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        entry(text)
    assert caught.value.mistakes


@given(
    st.sampled_from(["kind", "port", "command", "model", "env", "health", "service", "files", "release"]),
    st.sampled_from(
        ["true", "1", "1.5", '""', "[]", "[[]]", "{}", "[1]", "[{}]", "{ a = 1 }", "1979-05-27", '["", 2]']
    ),
)
def test_a_value_of_any_shape_is_a_named_mistake_or_accepted(key: str, value: str) -> None:
    text = "\n".join(line for line in ENGINE.splitlines() if not line.startswith(f"{key} ="))
    if key == "release":
        text = text.split("[[release]]", maxsplit=1)[0]
    try:
        entry(f"{key} = {value}\n{text}")
    except CatalogError as error:
        assert error.mistakes


@given(st.sampled_from([f"{{{name}}}" for name in PLACEHOLDERS]) | st.from_regex(r"\{[a-z_]{1,12}\}", fullmatch=True))
def test_a_placeholder_is_known_or_a_mistake(placeholder: str) -> None:
    text = changed(("{port}", placeholder))
    if placeholder[1:-1] in PLACEHOLDERS and not placeholder.startswith("{model"):
        assert entry(text).command[2] == placeholder
    else:
        assert any("5: command[2]" in line for line in mistakes(text))


def test_what_tells_our_queen_and_agent_from_other_programs() -> None:
    assert shipped("queen").is_gateway and shipped("hive").is_agent
    other = entry(ENGINE.replace('"worker"', '"hive"'), "hive")
    assert not other.is_gateway and not other.is_agent
    assert not shipped("supervisor").is_agent


def test_a_text_is_found_wherever_placeholders_are_filled_in() -> None:
    for line in (
        'env = { A = "{queen_url}" }',
        'check = ["{queen_url}"]',
        'programs = { a = ["{queen_url}"] }',
        'files = { a = { content = "{queen_url}", template = true } }',
        'health = { path = "/{queen_url}" }',
    ):
        assert entry(f"{line}\n{ENGINE}").mentions("{queen_url}"), line
    assert entry(ENGINE + '[release.env]\nA = "{queen_url}"').mentions("{queen_url}")
    assert not entry(f'files = {{ a = "{{queen_url}}" }}\n{ENGINE}').mentions("{queen_url}")


# The catalog


def test_a_user_catalog_adds_types_and_replaces_ours() -> None:
    ours = Catalog({"one": entry(ENGINE, "one"), "two": entry(ENGINE, "two")})
    mine = dataclasses.replace(entry(ENGINE, "two"), summary="mine")
    both = ours.merged(Catalog({"two": mine, "three": entry(ENGINE, "three")}))
    assert both.types() == ("one", "three", "two")
    assert both.get("two") == mine
    assert both.get("one") == ours.get("one")
    assert ours.types() == ("one", "two")


def test_types_can_be_asked_for_by_kind() -> None:
    catalog = Catalog({name: shipped(name) for name in NAMES})
    assert catalog.types("worker") == ("comfyui", "llama-cpp", "vllm")
    assert catalog.types("tool") == ("huggingface", "python", "supervisor", "uv")


def test_a_type_that_is_not_there_is_none() -> None:
    assert Catalog({}).get("nothing") is None
