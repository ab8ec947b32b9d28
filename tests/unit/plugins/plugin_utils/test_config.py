# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the configuration, one by one."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys

Parse = t.Callable[..., _fleet.Fleet]

HIVE = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n'
LOCAL = '[[hive]]\nalias = "local-hive"\nhostname = "localhost"\n'
MODEL = '[[model]]\nname = "org/m"\n'
SHA = f'sha256 = "{"0" * 64}"\n'


def test_hives_conf_alone_is_a_fleet_with_every_default(parse: Parse) -> None:
    fleet = parse()
    assert (fleet.name, fleet.scope, fleet.prefix, fleet.fetch) == ("default", "system", "/opt/rbee", "host")
    assert fleet.queen == _fleet.Queen(
        mode="standalone",
        port=8500,
        auto_start=True,
        hostname="localhost",
        ssh_port=22,
        connection="local",
        bind="127.0.0.1",
        api_key="",
        insecure=False,
        max_request_bytes=8 * 1024 * 1024,
    )
    assert fleet.hives == (
        _fleet.Hive(
            alias="gpu-1",
            hostname="10.0.0.1",
            address="10.0.0.1",
            connection="ssh",
            ssh_port=22,
            hive_port=8600,
            workers=(),
            models=(),
            auto_start=True,
        ),
    )
    assert fleet.models == ()
    assert fleet.package == _fleet.Package(max_concurrent_installs=10, ssh_timeout=30, health_check_timeout=60)


def test_a_worker_given_by_its_type_has_the_defaults_of_the_catalog(parse: Parse) -> None:
    (worker,) = parse(HIVE + 'workers = ["vllm"]').hives[0].workers
    assert worker == _fleet.Worker(type="vllm", name="vllm", version="2.0", port=8000)


def test_a_worker_given_by_a_table_keeps_what_the_table_says(parse: Parse) -> None:
    table = (
        '{ type = "vllm", name = "chat", version = "1.0", port = 9000, model = "org/m", gpus = [0, 1], '
        'args = ["--x", "{port}"], env = { HF_HUB_OFFLINE = "1" }, variant = "cuda" }'
    )
    (worker,) = parse(HIVE + f"workers = [{table}]", models=MODEL).hives[0].workers
    assert worker == _fleet.Worker(
        type="vllm",
        name="chat",
        version="1.0",
        port=9000,
        model="org/m",
        gpus=(0, 1),
        args=("--x", "{port}"),
        env={"HF_HUB_OFFLINE": "1"},
        variant="cuda",
    )


def test_localhost_is_used_without_ssh_unless_ssh_is_asked_for(parse: Parse) -> None:
    assert parse(LOCAL).hives[0].connection == "local"
    assert parse(LOCAL + 'connection = "ssh"\nssh_port = 2222').hives[0].connection == "ssh"
    assert parse(LOCAL).hives[0].address == "127.0.0.1"


def test_user_scope_has_a_prefix_of_its_own(parse: Parse) -> None:
    assert parse(rbee='[fleet]\nscope = "user"').prefix == "~/.local/share/rbee"
    assert parse(rbee='[fleet]\nscope = "user"\nprefix = "~/fleet"').prefix == "~/fleet"


def test_an_attached_queen_is_on_the_machine_of_her_hive(parse: Parse) -> None:
    fleet = parse(
        hives=HIVE + 'ssh_user = "ops"\nssh_port = 2222',
        rbee='[queen]\nmode = "attached-hive"\nattached_hive_alias = "gpu-1"',
    )
    queen = fleet.queen
    assert (queen.hostname, queen.ssh_user, queen.ssh_port, queen.connection) == ("10.0.0.1", "ops", 2222, "ssh")
    assert fleet.queen_host == "gpu-1"


def test_a_standalone_queen_shares_the_host_of_a_hive_on_her_machine(parse: Parse) -> None:
    assert parse(HIVE + LOCAL).queen_host == "local-hive"
    assert parse(HIVE).queen_host == "queen"
    assert parse(hives=HIVE, rbee='[queen]\nhostname = "10.0.0.1"').queen_host == "gpu-1"
    assert parse(hives=HIVE, rbee='[queen]\nhostname = "10.0.0.1"\nssh_port = 2222').queen_host == "queen"


def test_every_file_may_say_which_models_are_on_a_hive(parse: Parse) -> None:
    hives = HIVE + 'models = ["org/a"]\nworkers = [{ type = "vllm", model = "org/b" }]'
    models = "".join(f'[[model]]\nname = "org/{name}"\n' for name in "abcd") + 'hives = ["gpu-1"]'
    assert parse(hives, models=models).hives[0].models == ("org/a", "org/b", "org/d")


def test_a_model_that_is_not_to_be_downloaded_beforehand_is_only_where_it_is_served(parse: Parse) -> None:
    models = MODEL + 'hives = ["gpu-1", "local-hive"]\npre_download = false'
    hives = HIVE + 'workers = [{ type = "vllm", model = "org/m" }]\n' + LOCAL
    assert [hive.models for hive in parse(hives, models=models).hives] == [("org/m",), ()]


def test_without_models_conf_the_models_of_a_hive_are_hugging_face_repositories(parse: Parse) -> None:
    assert parse(HIVE + 'models = ["meta-llama/Llama-3-8b"]').models == (_fleet.Model("meta-llama/Llama-3-8b"),)


def test_a_relative_path_starts_at_the_folder_of_the_configuration(parse: Parse) -> None:
    (model,) = parse(models='[[model]]\nname = "m"\nsource = "file"\npath = "../m.gguf"\n' + SHA).models
    assert model.path == "/etc/m.gguf"


@pytest.mark.parametrize(
    "queen", ['bind = "0.0.0.0"\napi_key = "env:KEY"', 'bind = "::"\ninsecure = true', 'bind = "::1"']
)
def test_a_queen_is_open_only_on_purpose(parse: Parse, queen: str) -> None:
    assert parse(rbee=f"[queen]\n{queen}").queen.bind != "127.0.0.1"


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("### `[fleet]`", _keys.FLEET),
        ("### `[queen]`", _keys.QUEEN),
        ("### `[package]`", _keys.PACKAGE),
        ("### `[[hive]]`", _keys.HIVE),
        ("### Tables in `workers`", _keys.WORKER),
        ("### `[[model]]`", _keys.MODEL),
    ],
)
def test_the_reference_describes_every_key_and_no_other(heading: str, keys: dict[str, t.Any]) -> None:
    reference = pathlib.Path(__file__).resolve().parents[4] / "docs" / "configuration.md"
    section = reference.read_text().split(heading + "\n")[1].split("\n#")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(keys)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("file:api_key", "file:/etc/fleet/api_key"),
        ("file:../keys/a", "file:/etc/keys/a"),
        ("file:/etc/key", "file:/etc/key"),
        ("file:~/key", "file:~/key"),
        ("env:API_KEY", "env:API_KEY"),
    ],
)
def test_a_relative_reference_starts_at_the_folder_of_the_configuration(parse: Parse, given: str, found: str) -> None:
    fleet = parse(rbee=f'[fleet]\nhf_token = "{given}"\n[queen]\napi_key = "{given}"\n')
    assert (fleet.queen.api_key, fleet.hf_token) == (found, found)
