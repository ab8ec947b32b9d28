# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup plugin inside ansible-core's templates."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.utils.unsafe_proxy import wrap_var

try:
    from ansible.template import trust_as_template
except ImportError:  # before 2.19 every string was a template

    def trust_as_template(value: str) -> str:
        return value


ENGINE = 'kind = "worker"\nsummary = "mine"\nport = 9100\ncommand = ["run"]\n[[release]]\nversion = "3"\n'
ENGINE += '[release.source.any]\nkind = "bundled"\nname = "rbee-hive"\n'

Query = t.Callable[..., t.Any]


@pytest.fixture
def query(tmp_path: pathlib.Path) -> Query:
    """The result of a query on the host gpu-1 with its variables; ``others`` are other hosts with theirs."""

    def run(part: str, others: dict[str, t.Any] | None = None, **own: t.Any) -> t.Any:
        hosts = ["gpu-1", *(others or {})]
        variables = {
            "inventory_hostname": "gpu-1",
            "playbook_dir": str(tmp_path),
            "groups": {"all": hosts, "rbee_hives": hosts},
            "hostvars": {"gpu-1": own, **(others or {})},
            **own,
        }
        template = trust_as_template(f"{{{{ query('rbee.fleet.specs', '{part}') }}}}")
        return Templar(loader=DataLoader(), variables=variables).template(template)

    return run


def names(specs: t.Any) -> list[str]:
    return [spec["name"] for spec in specs]


def test_a_hive_has_its_agent_and_its_workers(query: Query) -> None:
    assert names(query("hive", rbee_hive_workers=["comfyui"])) == ["hive", "comfyui"]


def test_the_queen_knows_every_hive(query: Query) -> None:
    (queen,) = query("queen", others={"gpu-2": {"rbee_hive_address": "10.0.0.2"}})
    assert any("10.0.0.2" in file.get("content", "") for file in queen["files"])


def test_the_tools_are_those_of_the_catalog(query: Query) -> None:
    assert {"uv", "supervisor"} <= set(names(query("tools")))


def test_variables_may_be_templates_but_what_comes_of_them_is_none(query: Query) -> None:
    worker = {"type": "comfyui", "port": trust_as_template("{{ base + 10 }}"), "args": [trust_as_template("{{ odd }}")]}
    _agent, found = query("hive", rbee_hive_workers=[worker], base=8180, odd=wrap_var("{{ 1 + 1 }}"))
    assert (found["port"], found["command"][-1]) == (8190, "{{ 1 + 1 }}")


def test_types_of_the_user_are_read_from_beside_the_playbook(query: Query, tmp_path: pathlib.Path) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "my-engine.toml").write_text(ENGINE)
    assert names(query("hive", rbee_hive_workers=["my-engine"], rbee_catalog="types")) == ["hive", "my-engine"]


@pytest.mark.parametrize(
    ("part", "own", "message"),
    [
        ("hives", {}, "unknown part 'hives', expected one of hive, queen, tools"),
        ("hive", {"rbee_hives_group": "gpus"}, "rbee_hives_group: there is no group 'gpus' in the inventory"),
        ("hive", {"rbee_catalog": "types"}, "types is not a folder on the controller"),
        ("hive", {"rbee_hive_port": 0}, "1 mistake in the variables:\ngpu-1: rbee_hive_port: expected an integer"),
        ("hive", {"rbee_hive_port": 0, "rbee_hive_workers": 0}, "2 mistakes in the variables:\n"),
    ],
)
def test_mistakes_are_told(query: Query, part: str, own: dict[str, t.Any], message: str) -> None:
    with pytest.raises(AnsibleError) as refused:
        query(part, **own)
    assert message in str(refused.value)
