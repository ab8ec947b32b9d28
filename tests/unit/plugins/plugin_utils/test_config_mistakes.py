# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused in a configuration, and in which words."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake

HIVE = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n'
LOCAL = '[[hive]]\nalias = "local-hive"\nhostname = "localhost"\n'
SHA = "0" * 64
MODEL = '[[model]]\nname = "org/m"\n'
ATTACHED = '[queen]\nmode = "attached-hive"\n'


Mistakes = t.Callable[..., list[str]]


@pytest.fixture(scope="session")
def mistakes(parse: t.Callable[..., t.Any]) -> Mistakes:
    def refused(**texts: str) -> list[str]:
        with pytest.raises(ConfigError) as error:
            parse(**texts)
        return [str(mistake) for mistake in error.value.mistakes]

    return refused


def case(expected: str, **texts: str) -> t.Any:
    return pytest.param(texts, expected, id=expected.split(": ", 1)[1])


ONE_MISTAKE = [
    # keys and tables
    case("hives.conf:4: hive[0].ssh_prot: unknown key; did you mean 'ssh_port'?", hives=HIVE + "ssh_prot = 22"),
    case("rbee.conf:1: quene: unknown key; did you mean 'queen'?", rbee="[quene]"),
    case(
        (
            "rbee.conf:2: package.x: unknown key; expected one of: health_check_timeout, "
            "max_concurrent_installs, ssh_timeout"
        ),
        rbee="[package]\nx = 1",
    ),
    case(
        "hives.conf:5: hive[0].workers[0].prot: unknown key; did you mean 'port'?",
        hives=HIVE + 'workers = [\n  { type = "vllm", prot = 1 }]',
    ),
    case("hives.conf:1: hives: unknown key; did you mean 'hive'?", hives="[[hives]]"),
    case("hives.conf:1: hive: expected an array of tables; write [[hive]]", hives='[hive]\nalias = "a"'),
    case("rbee.conf:1: queen: expected a table, not an integer", rbee="queen = 1"),
    case("hives.conf:1: hive[0].hostname: missing; it is required", hives='[[hive]]\nalias = "a"'),
    case("hives.conf:4: hive[0].workers[0].type: missing; it is required", hives=HIVE + "workers = [{ port = 1 }]"),
    case("models.conf:1: model[0].name: missing; it is required", models='[[model]]\nsource = "huggingface"'),
    # types and ranges
    case("hives.conf:4: hive[0].hive_port: expected an integer from 1 to 65535", hives=HIVE + "hive_port = 65536"),
    case("rbee.conf:2: queen.port: expected an integer from 1 to 65535", rbee="[queen]\nport = 0"),
    case(
        "hives.conf:4: hive[0].hive_port: expected an integer from 1 to 65535, not a boolean",
        hives=HIVE + "hive_port = true",
    ),
    case(
        "hives.conf:4: hive[0].hive_port: expected an integer from 1 to 65535, not a string",
        hives=HIVE + 'hive_port = "8600"',
    ),
    case("hives.conf:4: hive[0].auto_start: expected true or false, not an integer", hives=HIVE + "auto_start = 1"),
    case("hives.conf:4: hive[0].workers: expected an array, not a string", hives=HIVE + 'workers = "vllm"'),
    case(
        (
            'hives.conf:4: hive[0].workers[0]: expected a worker type or a table such as { type = "llama-cpp" }, '
            "not an integer"
        ),
        hives=HIVE + "workers = [7]",
    ),
    case(
        "rbee.conf:2: queen.port: expected an integer from 1 to 65535, not a date or time",
        rbee="[queen]\nport = 2026-11-23",
    ),
    case(
        "rbee.conf:2: queen.mode: unknown value; did you mean 'attached-hive'?",
        rbee='[queen]\nmode = "attached"\nattached_hive_alias = "gpu-1"',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].env.A: expected a string (text on one line), not an integer",
        hives=HIVE + 'workers = [{ type = "vllm", env = { A = 1 } }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].env.'A B': expected a name like CUDA_LAUNCH_BLOCKING",
        hives=HIVE + 'workers = [{ type = "vllm", env = { "A B" = "1" } }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].args[0]: expected text on one line",
        hives=HIVE + 'workers = [{ type = "vllm", args = ["a\\nb"] }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].gpus: names a device twice",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = [1, 1] }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].gpus: expected an array of device indexes or 'all', not a string",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = "both" }]',
    ),
    case(
        "hives.conf:5: hive[0].workers[1].gpus: worker 'vllm' of this hive claims GPU 1 already",
        hives=HIVE
        + """workers = [{ type = "vllm", gpus = [0, 1] },
        { type = "comfyui", gpus = [1, 2] }]""",
    ),
    case(
        "hives.conf:4: hive[0].workers[1].gpus: worker 'vllm' of this hive claims GPUs 0, 1; 'all' leaves none",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = [0, 1] }, { type = "comfyui", gpus = "all" }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[1].gpus: worker 'vllm' of this hive claims all GPUs; 'all' leaves none",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = "all" }, { type = "comfyui", gpus = [3] }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].gpus: the build 'cpu' uses no GPU",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = [0], variant = "cpu" }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].env: CUDA_VISIBLE_DEVICES is what gpus sets; take one of them away",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = [0], env = { CUDA_VISIBLE_DEVICES = "1" } }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].gpus: expected at least one device index, or 'all'",
        hives=HIVE + 'workers = [{ type = "vllm", gpus = [] }]',
    ),
    case(
        (
            "rbee.conf:2: fleet.prefix: expected an absolute path at least two folders deep, such as '/opt/rbee' "
            "(or '~/rbee' in user scope)"
        ),
        rbee='[fleet]\nprefix = "/"',
    ),
    case(
        (
            "rbee.conf:2: fleet.prefix: expected an absolute path at least two folders deep, such as '/opt/rbee' "
            "(or '~/rbee' in user scope)"
        ),
        rbee='[fleet]\nprefix = "/opt/../etc"',
    ),
    case(
        "rbee.conf:2: fleet.prefix: '~' is for scope = 'user'; expected an absolute path",
        rbee='[fleet]\nprefix = "~/rbee"',
    ),
    # hives
    case(
        "hives.conf:5: hive[1].alias: 'gpu-1' is taken by the hive on line 1",
        hives=HIVE + '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.2"\n',
    ),
    case(
        "hives.conf:2: hive[0].alias: expected up to 63 letters, digits, '.', '_' and '-'",
        hives='[[hive]]\nalias = "gpu 1"\nhostname = "10.0.0.1"\n',
    ),
    case(
        "hives.conf:2: hive[0].alias: expected up to 63 letters, digits, '.', '_' and '-'",
        hives='[[hive]]\nalias = "gpu[1:3]"\nhostname = "10.0.0.1"\n',
    ),
    case(
        "hives.conf:3: hive[0].hostname: expected a host name or IP address",
        hives='[[hive]]\nalias = "gpu-1"\nhostname = "-oProxyCommand=x"\n',
    ),
    case(
        "hives.conf:6: hive[1].hostname: same machine as the hive on line 1; a machine has one hive",
        hives=HIVE + '[[hive]]\nalias = "gpu-2"\nhostname = "10.0.0.1"\n',
    ),
    case(
        ('hives.conf:4: hive[0].ssh_port: localhost is used without ssh; add connection = "ssh" if ssh is meant'),
        hives=LOCAL + "ssh_port = 2222",
    ),
    case(
        "hives.conf:4: hive[0].address: expected the address that the queen dials, not a wildcard",
        hives=HIVE + 'address = "0.0.0.0"',
    ),
    case(
        (
            "hives.conf:4: hive[0].address: the queen on localhost cannot dial 127.0.0.1 of another machine; set "
            "an address that she can reach"
        ),
        hives=HIVE + 'address = "127.0.0.1"',
    ),
    case(
        (
            "hives.conf:1: hive[0].address: the queen on 10.0.0.9 cannot dial 127.0.0.1 of another machine; set "
            "an address that she can reach"
        ),
        hives=LOCAL,
        rbee='[queen]\nhostname = "10.0.0.9"',
    ),
    # workers
    case(
        "hives.conf:4: hive[0].workers[0]: unknown worker type; did you mean 'vllm'?", hives=HIVE + 'workers = ["vlm"]'
    ),
    case(
        ("hives.conf:4: hive[0].workers[0].type: unknown worker type; expected one of: comfyui, llama-cpp, vllm"),
        hives=HIVE + 'workers = [{ type = "uv" }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].version: the catalog has no such version; did you mean '2.0'?",
        hives=HIVE + 'workers = [{ type = "vllm", version = "2.1" }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].variant: no such build; expected one of: cpu, cuda",
        hives=HIVE + 'workers = [{ type = "vllm", variant = "rocm" }]',
    ),
    case(
        ('hives.conf:6: hive[0].workers[1]: a second vllm needs a name; write { type = "vllm", name = …, port = … }'),
        hives=HIVE + 'workers = [\n"vllm",\n"vllm"]',
    ),
    case(
        "hives.conf:4: hive[0].workers[1].port: missing; a second vllm on a hive needs a port of its own",
        hives=HIVE + 'workers = ["vllm", { type = "vllm", name = "b" }]',
    ),
    case(
        (
            "hives.conf:4: hive[0].workers[1].name: there is a worker 'vllm' on this hive; write { type = "
            '"comfyui", name = …, port = … }'
        ),
        hives=HIVE + 'workers = ["vllm", { type = "comfyui", name = "vllm" }]',
    ),
    case(
        ("hives.conf:4: hive[0].workers[1].port: port 8000 on 10.0.0.1 is taken by worker 'vllm' of hive 'gpu-1'"),
        hives=HIVE + 'workers = ["vllm", { type = "comfyui", port = 8000 }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].port: port 8600 on 10.0.0.1 is taken by the agent of hive 'gpu-1'",
        hives=HIVE + 'workers = [{ type = "vllm", port = 8600 }]',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].port: port 8500 on 10.0.0.1 is taken by the queen",
        hives=HIVE + 'workers = [{ type = "vllm", port = 8500 }]',
        rbee=ATTACHED + 'attached_hive_alias = "gpu-1"',
    ),
    case(
        "hives.conf:4: hive[0].hive_port: port 8500 on 127.0.0.1 is taken by the queen",
        hives=LOCAL + "hive_port = 8500",
    ),
    case(
        "hives.conf:4: hive[1].hive_port: port 8600 on 10.0.0.1 is taken by the agent of hive 'gpu-1'",
        hives=HIVE + '[[hive]]\nalias = "b"\nhostname = "10.0.0.1"\nssh_port = 2222',
    ),
    case(
        "hives.conf:4: hive[0].workers[0].model: not a declared model; did you mean 'org/m'?",
        hives=HIVE + 'workers = [{ type = "vllm", model = "org/n" }]',
        models=MODEL,
    ),
    case(
        "hives.conf:4: hive[0].workers[0].model: a comfyui worker serves no model by name",
        hives=HIVE + 'workers = [{ type = "comfyui", model = "org/m" }]',
        models=MODEL,
    ),
    case(
        (
            "hives.conf:4: hive[0].workers[0].model: a llama-cpp worker serves one GGUF file; "
            "name that in the model's 'file'"
        ),
        hives=HIVE + 'workers = [{ type = "llama-cpp", model = "org/m" }]',
        models=MODEL,
    ),
    # models
    case(
        "hives.conf:4: hive[0].models[0]: not a declared model; did you mean 'org/m'?",
        hives=HIVE + 'models = ["org/n"]',
        models=MODEL,
    ),
    case(
        "models.conf:3: model[0].hives[1]: unknown hive; did you mean 'gpu-1'?",
        models=MODEL + 'hives = ["gpu-1", "gpu-2"]',
    ),
    case(
        "models.conf:4: model[1].name: there is a model of this name already",
        models=MODEL + '[[model]]\nname = "org/m"\n',
    ),
    case(
        "models.conf:4: model[1].name: differs from 'org/m' only in case or punctuation",
        models=MODEL + '[[model]]\nname = "Org-M"\n',
    ),
    case(
        "models.conf:1: model[0].sha256: missing; source = 'url' needs it",
        models=MODEL + 'source = "url"\nurl = "https://x/m.gguf"',
    ),
    case(
        "models.conf:1: model[0].url: missing; source = 'url' needs it",
        models=MODEL + 'source = "url"\nsha256 = "' + SHA + '"',
    ),
    case(
        "models.conf:1: model[0].path: missing; source = 'file' needs it",
        models=MODEL + 'source = "file"\nsha256 = "' + SHA + '"',
    ),
    case(
        "models.conf:1: model[0].sha256: missing; source = 'file' needs it; the command 'sha256sum PATH' prints it",
        models=MODEL + 'source = "file"\npath = "m.gguf"',
    ),
    case("models.conf:3: model[0].path: only with source = 'file'", models=MODEL + 'path = "m.gguf"'),
    case(
        "models.conf:3: model[0].sha256: is the digest of one file; name that with 'file'",
        models=MODEL + 'sha256 = "' + SHA + '"',
    ),
    case("models.conf:4: model[0].sha256: expected 64 hexadecimal digits", models=MODEL + 'file = "m"\nsha256 = "abc"'),
    case(
        "models.conf:5: model[0].url: expected an http or https URL of a file, without credentials",
        models=MODEL + 'source = "url"\nsha256 = "' + SHA + '"\nurl = "https://me:pw@x/m"',
    ),
    case("models.conf:3: model[0].file: expected a file in the repository or archive", models=MODEL + 'file = "../m"'),
    # the queen
    case(
        "rbee.conf:1: queen.attached_hive_alias: missing; mode = 'attached-hive' needs the alias of a hive",
        rbee=ATTACHED,
    ),
    case(
        "rbee.conf:3: queen.attached_hive_alias: unknown hive; did you mean 'gpu-1'?",
        rbee=ATTACHED + 'attached_hive_alias = "gpu1"',
    ),
    case(
        "rbee.conf:2: queen.attached_hive_alias: only with mode = 'attached-hive'",
        rbee='[queen]\nattached_hive_alias = "gpu-1"',
    ),
    case(
        ("rbee.conf:4: queen.hostname: only with mode = 'standalone'; an attached queen is on her hive's machine"),
        rbee=ATTACHED + 'attached_hive_alias = "gpu-1"\nhostname = "x"',
    ),
    case(
        ("rbee.conf:2: queen.bind: reachable from elsewhere: needs an api_key, or insecure = true to go without"),
        rbee='[queen]\nbind = "0.0.0.0"',
    ),
    case(
        (
            "rbee.conf:2: queen.api_key: expected a reference, env:NAME or file:PATH; the secret itself must not "
            "stand in the configuration"
        ),
        rbee='[queen]\napi_key = "hunter2"',
    ),
]


@pytest.mark.parametrize(("texts", "expected"), ONE_MISTAKE)
def test_one_mistake_gives_one_message(mistakes: Mistakes, texts: dict[str, str], expected: str) -> None:
    assert mistakes(**texts) == [expected]


@pytest.mark.parametrize("alias", ["queen", "all", "ungrouped", "localhost", "rbee", "rbee_hives"])
def test_names_that_an_inventory_uses_are_no_aliases(mistakes: Mistakes, alias: str) -> None:
    (message,) = mistakes(hives=HIVE.replace("gpu-1", alias))
    assert message.startswith("hives.conf:2: hive[0].alias: reserved")


@pytest.mark.parametrize("name", ["queen", "hive", "uv", "model-x"])
def test_names_of_other_components_are_no_worker_names(mistakes: Mistakes, name: str) -> None:
    (message,) = mistakes(hives=HIVE + f'workers = [{{ type = "vllm", name = "{name}" }}]')
    assert message == "hives.conf:4: hive[0].workers[0].name: reserved; choose another name"


def test_all_mistakes_of_all_files_come_at_once_in_order(mistakes: Mistakes) -> None:
    hives = HIVE + 'prot = 1\nworkers = ["vlm"]'
    found = mistakes(hives=hives, rbee="[queen]\nport = 0", models=MODEL + 'hives = ["gpu-9"]')
    places = [message.split(": ")[0] for message in found]
    assert places == ["hives.conf:4", "hives.conf:5", "models.conf:3", "rbee.conf:2"]


def test_invalid_toml_in_one_file_does_not_hide_the_mistakes_of_another(mistakes: Mistakes) -> None:
    found = mistakes(hives=HIVE + "alias = ", rbee="[queen]\nport = 0", models=MODEL + 'hives = ["gpu-1"]')
    assert [message.split(":")[0] for message in found] == ["hives.conf", "rbee.conf"]


def test_a_hives_conf_in_the_older_format_is_told_from_a_broken_one(mistakes: Mistakes) -> None:
    assert mistakes(hives="# mine\nHost gpu-1\n    HostName 10.0.0.1\n") == [
        "hives.conf:1: is in the older format ('Host NAME'), not in TOML; "
        "'ansible-playbook rbee.fleet.migrate -e hives_conf=FILE -e config=NEW_FOLDER' writes one"
    ]


def test_hives_conf_has_to_be_there(engines: Catalog) -> None:
    with pytest.raises(ConfigError) as refused:
        _config.parse({}, engines, "/")
    message = "not found; it declares the hives and has to be there"
    assert refused.value.mistakes == (Mistake("hives.conf", 1, "", message),)


def test_a_message_never_repeats_a_secret(mistakes: Mistakes) -> None:
    assert "hunter2" not in "".join(mistakes(rbee='[queen]\napi_key = "hunter2"'))


def other_queen(engines: Catalog, *words: str) -> Catalog:
    """A catalog whose queen is another program than the gateway."""
    queen = engines.get("queen")
    assert queen
    return engines.merged(Catalog({"queen": dataclasses.replace(queen, command=("queen-rbee", *words))}))


def refused(catalog: Catalog, **texts: str) -> list[str]:
    named = {f"{name}.conf": text for name, text in {"hives": HIVE, **texts}.items()}
    with pytest.raises(ConfigError) as error:
        _config.parse(named, catalog, "/etc/fleet")
    return [str(mistake) for mistake in error.value.mistakes]


def test_a_queen_that_opens_herself_to_others_has_to_be_meant(engines: Catalog) -> None:
    mistake = (
        "rbee.conf:{}: queen.insecure: expected true: the queen of your catalog (queen.toml) is not told where to "
        "listen, and may be reachable from elsewhere"
    )
    assert refused(other_queen(engines)) == [mistake.format(1)]
    assert refused(other_queen(engines), rbee="[queen]\ninsecure = false\n") == [mistake.format(2)]
    texts = {"hives.conf": HIVE, "rbee.conf": "[queen]\ninsecure = true\n"}
    assert _config.parse(texts, other_queen(engines), "/etc/fleet").queen.insecure
    assert _config.parse({"hives.conf": HIVE}, other_queen(engines, "{address}"), "/etc/fleet")


def test_a_key_that_the_queen_does_not_read_protects_nothing(engines: Catalog) -> None:
    assert refused(other_queen(engines, "{address}"), rbee='[queen]\napi_key = "env:KEY"\n') == [
        "rbee.conf:2: queen.api_key: the queen of your catalog (queen.toml) does not read it; remove it"
    ]


def test_a_hive_that_needs_the_queen_can_reach_her(engines: Catalog) -> None:
    hive = engines.get("hive")
    assert hive
    needs = engines.merged(Catalog({"hive": dataclasses.replace(hive, command=("rbee-hive", "{queen_url}"))}))
    reason = (
        "needs {queen_url}, and this hive cannot reach the queen on 127.0.0.1; set bind of the queen to her address"
    )
    assert refused(needs) == [f"hives.conf:2: hive[0].alias: hive {reason}"]
    with_args = HIVE + 'workers = [{ type = "comfyui", args = ["{queen_url}"] }]\n'
    assert refused(engines, hives=with_args) == [f"hives.conf:2: hive[0].alias: args or env {reason}"]
    for texts in (
        {"hives.conf": LOCAL},
        {"hives.conf": HIVE, "rbee.conf": '[queen]\nbind = "10.0.0.9"\ninsecure = true\n'},
        {"hives.conf": HIVE, "rbee.conf": '[queen]\nhostname = "10.0.0.9"\n'},
    ):
        assert _config.parse(texts, needs, "/etc/fleet").hives
