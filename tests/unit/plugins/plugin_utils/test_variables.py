# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet from Ansible variables."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _variables
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import hive_specs, queen_spec, resolve

Hosts = dict[str, dict[str, t.Any]]
Parse = t.Callable[..., _fleet.Fleet]

SHA = "0" * 64
SMALL = {"name": "small", "source": "url", "url": "https://x/small.gguf", "sha256": SHA}
WORKERS = ["comfyui", {"type": "llama-cpp", "model": "small"}]


class Fleets:
    """What the roles make of hosts and their variables; the hives are those named, by default all."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def site(self, hosts: Hosts, host: str, group: t.Collection[str] | None) -> _variables.Site:
        return _variables.Site(host, hosts[host], hosts if group is None else group, self.catalog, "/play")

    def hive(self, hosts: Hosts, host: str = "gpu-1", group: t.Collection[str] | None = None) -> _fleet.Fleet:
        return _variables.hive(self.site(hosts, host, group))

    def queen(self, hosts: Hosts, host: str = "gpu-1", group: t.Collection[str] | None = None) -> _fleet.Fleet:
        site = self.site(hosts, host, group)
        return _variables.queen(site, {name: hosts[name] for name in site.group})

    def mistakes(self, role: t.Callable[..., _fleet.Fleet], *arguments: t.Any) -> list[str]:
        with pytest.raises(ConfigError) as refused:
            role(*arguments)
        return [str(mistake) for mistake in refused.value.mistakes]


@pytest.fixture
def fleets(engines: Catalog) -> Fleets:
    return Fleets(engines)


def test_a_host_without_variables_is_a_hive_with_every_default(fleets: Fleets, parse: Parse) -> None:
    fleet = fleets.hive({"gpu-1": {}})
    assert (fleet.name, fleet.scope, fleet.prefix) == ("default", "system", "/opt/rbee")
    assert fleet.hives == (_fleet.Hive(alias="gpu-1", hostname="gpu-1", address="gpu-1"),)


def test_variables_give_the_specifications_that_files_give(fleets: Fleets, parse: Parse) -> None:
    hosts = {
        "gpu-1": {"ansible_host": "10.0.0.1", "rbee_hive_workers": WORKERS, "rbee_models": [SMALL]},
        "gpu-2": {"ansible_host": "10.0.0.2", "rbee_hive_port": 8601, "rbee_hive_auto_start": False},
    }
    written = resolve(
        parse(
            hives='[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n'
            'workers = ["comfyui", { type = "llama-cpp", model = "small" }]\n'
            '[[hive]]\nalias = "gpu-2"\nhostname = "10.0.0.2"\nhive_port = 8601\nauto_start = false',
            models=f'[[model]]\nname = "small"\nsource = "url"\nurl = "https://x/small.gguf"\nsha256 = "{SHA}"',
            rbee='[queen]\nmode = "attached-hive"\nattached_hive_alias = "gpu-1"\n'
            'bind = "10.0.0.1"\napi_key = "env:KEY"',
        ),
        fleets.catalog,
    )
    hosts["gpu-1"] |= {"rbee_queen_bind": "10.0.0.1", "rbee_queen_api_key": "env:KEY"}
    for host in hosts:
        fleet = fleets.hive(hosts, host)
        found = hive_specs(fleet, fleet.hives[0], fleets.catalog)
        assert found == tuple(spec for spec in written[host].specs if spec.kind != "queen")
    assert queen_spec(fleets.queen(hosts), fleets.catalog) in written["gpu-1"].specs


def test_a_queen_beside_her_hives_reaches_all_of_them(fleets: Fleets) -> None:
    hosts = {"gateway": {}, "gpu-1": {"ansible_host": "10.0.0.1"}, "gpu-2": {"rbee_hive_address": "10.0.0.2"}}
    fleet = fleets.queen(hosts, "gateway", ["gpu-1", "gpu-2"])
    assert (fleet.queen.mode, fleet.queen_host) == ("standalone", "queen")
    assert [(hive.alias, hive.address) for hive in fleet.hives] == [("gpu-1", "10.0.0.1"), ("gpu-2", "10.0.0.2")]


def test_a_queen_on_a_hive_is_attached_to_it(fleets: Fleets) -> None:
    assert fleets.queen({"gpu-1": {}}).queen_host == "gpu-1"


def test_a_local_connection_means_loopback_unless_an_address_is_given(fleets: Fleets) -> None:
    local = {"ansible_connection": "local"}
    assert fleets.hive({"gpu-1": local}).hives[0].address == "127.0.0.1"
    assert fleets.hive({"gpu-1": local | {"ansible_host": "gpu-1"}}).hives[0].address == "127.0.0.1"
    assert fleets.hive({"gpu-1": local | {"ansible_host": "10.0.0.1"}}).hives[0].address == "10.0.0.1"
    assert fleets.hive({"gpu-1": local | {"rbee_hive_address": "10.0.0.1"}}).hives[0].address == "10.0.0.1"


@pytest.mark.parametrize("name", ["queen", "localhost", "rbee_one"])
def test_names_that_files_keep_for_themselves_are_free(fleets: Fleets, name: str) -> None:
    assert fleets.hive({name: {"rbee_hive_address": "127.0.0.1"}}, name).hives[0].alias == name


def test_a_hive_alone_does_not_guess_where_the_queen_listens(fleets: Fleets) -> None:
    worker = {"type": "comfyui", "port": 8500}
    assert fleets.hive({"gpu-1": {"ansible_connection": "local", "rbee_hive_workers": [worker]}}).hives


def test_what_a_template_made_text_of_is_a_number_or_a_boolean_again(fleets: Fleets) -> None:
    worker = {"type": "comfyui", "port": "8190"}
    own = {
        "rbee_hive_port": "8601",
        "rbee_hive_auto_start": "no",
        "ansible_port": "2222",
        "rbee_hive_workers": [worker],
    }
    (hive,) = fleets.hive({"gpu-1": own}).hives
    assert (hive.hive_port, hive.auto_start, hive.ssh_port, hive.workers[0].port) == (8601, False, 2222, 8190)


def test_an_empty_variable_says_nothing(fleets: Fleets) -> None:
    own = {"rbee_hive_port": None, "rbee_hive_address": "", "rbee_models": None, "rbee_queen_api_key": ""}
    assert fleets.queen({"gpu-1": own}) == fleets.queen({"gpu-1": {}})


def test_a_key_that_is_no_reference_is_not_in_the_fleet(fleets: Fleets) -> None:
    fleet = fleets.queen({"gpu-1": {"rbee_queen_bind": "0.0.0.0", "rbee_queen_api_key": "s3cret"}})
    assert fleet.queen.api_key
    assert "s3cret" not in repr(fleet)


def test_without_declared_models_those_of_a_hive_are_hugging_face_repositories(fleets: Fleets) -> None:
    assert fleets.hive({"gpu-1": {"rbee_hive_models": ["org/m"]}}).models == (_fleet.Model("org/m"),)


def test_what_several_hosts_declare_alike_is_declared_once(fleets: Fleets) -> None:
    hosts = {"gpu-1": {"rbee_models": [SMALL]}, "gpu-2": {"rbee_models": [SMALL, {"name": "org/m"}]}}
    assert [model.name for model in fleets.queen(hosts).models] == ["small", "org/m"]


def test_a_model_may_name_its_hives(fleets: Fleets) -> None:
    own = {"rbee_models": [{"name": "org/m", "hives": ["gpu-2"]}]}
    hosts = {"gpu-1": own, "gpu-2": own}
    assert [fleets.hive(hosts, host).hives[0].models for host in hosts] == [(), ("org/m",)]


def test_the_path_of_a_model_starts_at_the_playbook(fleets: Fleets) -> None:
    model = {"name": "m", "source": "file", "path": "files/m.gguf", "sha256": SHA}
    assert fleets.hive({"gpu-1": {"rbee_models": [model]}}).models[0].path == "/play/files/m.gguf"


@pytest.mark.parametrize(
    ("own", "mistake"),
    [
        ({"rbee_hive_port": 0}, "rbee_hive_port: expected an integer from 1 to 65535"),
        ({"rbee_hive_port": "many"}, "rbee_hive_port: expected an integer from 1 to 65535, not a string"),
        ({"rbee_hive_auto_start": "maybe"}, "rbee_hive_auto_start: expected true or false, not a string"),
        ({"rbee_hive_workers": ["vlm"]}, "rbee_hive_workers[0]: unknown worker type; did you mean 'vllm'?"),
        (
            {"rbee_hive_workers": ["vllm", {"type": "comfyui", "prot": 1}]},
            "rbee_hive_workers[1].prot: unknown key; did you mean 'port'?",
        ),
        (
            {"rbee_hive_workers": [{"type": "vllm", "model": None}]},
            "rbee_hive_workers[0].model: expected a string (text on one line), not nothing",
        ),
        ({"rbee_hive_models": ["m"], "rbee_models": []}, "rbee_hive_models[0]: not a declared model; there is none"),
        ({"rbee_models": {}}, "rbee_models: expected an array, not a table"),
        (
            {"rbee_models": [{"name": "org/m"}, {"name": "org/n", "hives": ["gpu1"]}]},
            "rbee_models[1].hives[0]: unknown hive; did you mean 'gpu-1'?",
        ),
        (
            {"rbee_hive_workers": [{"type": "vllm", "port": 8600}]},
            "rbee_hive_workers[0].port: port 8600 on gpu-1 is taken by the agent of hive 'gpu-1'",
        ),
        ({"rbee_scope": "users"}, "rbee_scope: unknown value; did you mean 'user'?"),
        ({"rbee_prefix": "~/rbee"}, "rbee_prefix: '~' is for scope = 'user'; expected an absolute path"),
        (
            {"rbee_hive_address": "0.0.0.0"},
            "rbee_hive_address: expected the address that the queen dials, not a wildcard",
        ),
    ],
)
def test_a_mistake_is_named_by_host_and_variable(fleets: Fleets, own: dict[str, t.Any], mistake: str) -> None:
    assert fleets.mistakes(fleets.hive, {"gpu-1": own}) == [f"gpu-1: {mistake}"]


@pytest.mark.parametrize(
    ("hosts", "mistake"),
    [
        (
            {"gateway": {"rbee_queen_bind": "0.0.0.0"}, "gpu-1": {}},
            "gateway: rbee_queen_bind: reachable from elsewhere: needs an api_key, or insecure = true to go without",
        ),
        (
            {"gateway": {"rbee_queen_port": 0}, "gpu-1": {}},
            "gateway: rbee_queen_port: expected an integer from 1 to 65535",
        ),
        (
            {"gateway": {}, "gpu-1": {"ansible_connection": "local"}},
            "gpu-1: rbee_hive_address: the queen on gateway cannot dial 127.0.0.1 of another machine; "
            "set an address that she can reach",
        ),
        (
            {"gateway": {}, "gpu-1": {"ansible_host": "10.0.0.1"}, "gpu-2": {"ansible_host": "10.0.0.1"}},
            "gpu-2: ansible_host: same machine as the hive gpu-1; a machine has one hive",
        ),
        (
            {"gateway": {}, "gpu-1": {"rbee_models": [SMALL]}, "gpu-2": {"rbee_models": [SMALL | {"file": "b"}]}},
            "gpu-2: rbee_models[0].name: there is a model of this name already",
        ),
    ],
)
def test_a_mistake_of_the_whole_fleet_is_found_by_the_queen(fleets: Fleets, hosts: Hosts, mistake: str) -> None:
    group = [host for host in hosts if host != "gateway"]
    assert fleets.mistakes(fleets.queen, hosts, "gateway", group) == [mistake]


def test_a_hive_that_the_queen_would_not_know_is_refused(fleets: Fleets) -> None:
    (mistake,) = fleets.mistakes(fleets.hive, {"gpu-1": {}, "gpu-2": {}}, "gpu-1", ["gpu-2"])
    assert mistake.startswith("gpu-1: rbee_hives_group: this host is not in the group")


def test_the_port_of_an_attached_queen_is_hers(fleets: Fleets) -> None:
    own = {"rbee_hive_workers": [{"type": "comfyui", "port": 8500}]}
    (mistake,) = fleets.mistakes(fleets.queen, {"gpu-1": own})
    assert mistake == "gpu-1: rbee_hive_workers[0].port: port 8500 on gpu-1 is taken by the queen"


def test_claims_have_the_rules_of_the_files(fleets: Fleets) -> None:
    own = {"rbee_hive_workers": [{"type": "comfyui", "gpus": ["0"]}, {"type": "vllm", "gpus": [0]}]}
    assert fleets.mistakes(fleets.hive, {"gpu-1": own}) == [
        "gpu-1: rbee_hive_workers[1].gpus: worker 'comfyui' of this hive claims GPU 0 already"
    ]
