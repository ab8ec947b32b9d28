# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugin asks of a host, without one."""

from __future__ import annotations

import json
import pathlib
import types
import typing as t

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.rbee.fleet.plugins.action.components import ActionModule, failed_in

TAGS = ["queen", "hives", "workers"]
COMPONENTS = [{"name": "hive", "kind": "hive"}, {"name": "vllm", "kind": "worker"}, {"name": "m", "kind": "model"}]


class Asked(ActionModule):  # type: ignore[misc]
    """Keeps the arguments that would go to the host."""

    def __init__(self, tags: list[str], arguments: dict[str, t.Any]) -> None:
        self.asked: list[dict[str, t.Any]] = []
        task = types.SimpleNamespace(args=arguments, tags=tags, async_val=0, check_mode=False)
        shell = types.SimpleNamespace(tmpdir="/tmp/none")
        super().__init__(task, types.SimpleNamespace(_shell=shell), None, None, None, None)

    def _execute_module(self, **call: t.Any) -> dict[str, t.Any]:
        self.asked.append(call["module_args"])
        return {"changed": False}

    def _is_pipelining_enabled(self, *_arguments: t.Any, **_more: t.Any) -> bool:
        return False

    def _remove_tmp_path(self, *_arguments: t.Any, **_more: t.Any) -> None:
        """There is none."""


def run(run_tags: list[str], **arguments: t.Any) -> dict[str, t.Any]:
    action = Asked(TAGS, {"components": COMPONENTS, **arguments})
    answer: dict[str, t.Any] = action.run(task_vars={"ansible_run_tags": run_tags, "inventory_hostname": "gpu-1"})
    return answer


def asked(run_tags: list[str], tags: t.Sequence[str] = tuple(TAGS), **arguments: t.Any) -> list[dict[str, t.Any]]:
    action = Asked(list(tags), {"components": COMPONENTS, **arguments})
    answer = action.run(task_vars={"ansible_run_tags": run_tags, "inventory_hostname": "gpu-1"})
    assert answer["changed"] is False
    return action.asked


@pytest.mark.parametrize(
    ("run_tags", "names"), [(["hives"], ["hive"]), (["workers"], ["m", "vllm"]), (["hives", "queen"], ["hive"])]
)
def test_tags_choose_components(run_tags: list[str], names: list[str]) -> None:
    (arguments,) = asked(run_tags)
    assert arguments["names"] == names


@pytest.mark.parametrize("state", ["present", "started", "stopped"])
def test_a_host_that_has_nothing_of_what_was_chosen_is_left_alone(state: str) -> None:
    assert asked(["queen"], state=state) == []


def test_a_removal_is_of_what_the_host_recorded_not_of_what_is_declared() -> None:
    (arguments,) = asked(["queen"], state="absent")
    assert arguments["kinds"] == ["queen"]


def test_tags_choose_among_what_a_removal_is_bound_to() -> None:
    """Such as that of the old name uninstall_queen."""
    assert asked(["workers"], state="absent", kinds=["queen"]) == []
    (arguments,) = asked(["workers"], state="absent", kinds=["hive", "worker"])
    assert arguments["kinds"] == ["worker"]


def test_what_is_extra_is_known_to_the_host_alone() -> None:
    (arguments,) = asked(["queen"], extra="report")
    assert arguments["kinds"] == ["queen"] and "names" not in arguments


def test_a_run_that_is_narrowed_to_components() -> None:
    (arguments,) = asked(["all"], only=["vllm", "queen"])
    assert arguments["names"] == ["vllm"] and "only" not in arguments
    assert asked(["all"], only=["queen"]) == [] == asked(["hives"], only=["vllm"])
    assert asked(["all"], only=["vllm"], names=["m"]) == []
    (arguments,) = asked(["workers"], only=["left"], extra="remove")
    assert (arguments["names"], arguments["kinds"]) == (["left"], ["model", "worker"])
    (arguments,) = asked(["all"], only=[])
    assert "names" not in arguments


@pytest.mark.parametrize(("run_tags", "tags"), [(["all"], TAGS), (["hives"], ["hives"]), (["workers"], [])])
def test_tags_of_others_choose_nothing(run_tags: list[str], tags: list[str]) -> None:
    (arguments,) = asked(run_tags, tags)
    assert "names" not in arguments


@pytest.mark.parametrize("wrong", ["vllm", {"name": "vllm"}, {"kind": "worker"}])
def test_what_is_no_specification_is_named(wrong: t.Any) -> None:
    answer = run(["workers"], components=[*COMPONENTS, wrong])
    assert answer["failed"]
    assert "components[3]: expected a specification" in answer["msg"]


@pytest.mark.parametrize("value", ["", "  ", "short", "#commented-out", "two words here", "one-line\nand-another"])
def test_a_secret_that_no_client_could_send_is_refused_without_showing_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RBEE_TEST_KEY", value)
    answer = run([], secrets={"api_key": "env:RBEE_TEST_KEY"})
    assert answer["failed"]
    assert "secret api_key: env:RBEE_TEST_KEY holds no usable key" in answer["msg"]
    assert not value.strip() or value not in answer["msg"]


def test_what_the_controller_lacks_is_a_result_so_that_the_summary_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RBEE_TEST_KEY", raising=False)
    answer = run([], secrets={"api_key": "env:RBEE_TEST_KEY"})
    assert "the environment variable RBEE_TEST_KEY is not set" in answer["msg"]


@pytest.mark.parametrize("content", [{}, {"failed": ["gpu-1"]}])
def test_a_file_that_is_no_result_of_a_run_is_refused(content: t.Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "last-run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnsibleActionFail, match="is no result of a run"):
        failed_in(str(path))
