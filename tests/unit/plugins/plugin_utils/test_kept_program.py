# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._bundle import MARK
from ansible_collections.rbee.fleet.plugins.module_utils._spec import to_dict
from ansible_collections.rbee.fleet.plugins.modules.components import argument_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils import _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._kept_program import call_of, in_brief
from ansible_collections.rbee.fleet.plugins.plugin_utils._resolve import resolve
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import tools

SECRET = "sesame-for-tests"


def call(prefix="/opt/rbee", environment="", **arguments):
    arguments = {"prefix": prefix, "secrets": {"api_key": SECRET}, **arguments}
    return call_of(arguments, argument_spec(), True, "abc", environment)


def test_arguments_go_through_stdin_with_every_default():
    asked = call(names="a,b", lock_timeout="5", stage="yes")
    found = json.loads(asked.stdin)
    assert found["check"] is True
    assert found["arguments"].keys() == argument_spec().keys()
    assert (found["arguments"]["names"], found["arguments"]["lock_timeout"]) == (["a", "b"], 5)
    assert found["arguments"]["stage"] is True


def test_a_call_in_brief_is_short_whatever_the_locks_of_python_packages(tmp_path):
    hive = "[[hive]]\nalias = 'one'\nhostname = 'one.example'\nworkers = ['vllm', 'comfyui']\n"
    (tmp_path / "hives.conf").write_text(hive)
    fleet, catalog = _load.load(str(tmp_path))
    for plan in resolve(fleet, catalog).values():
        full = {"components": to_dict(plan.specs), "tools": to_dict(tools(fleet, catalog)), "fleet": "default"}
        short = in_brief(full)
        assert short["fleet"] == "default" and len(json.dumps(short)) < 10_000 < len(json.dumps(full))


@pytest.mark.parametrize("wrong", [[{"name": "x"}], ["x"], "x", [None]])
def test_what_is_no_specification_is_for_the_host_to_tell(wrong):
    assert in_brief({"components": wrong}) == {"components": wrong}


def test_a_secret_is_neither_in_the_command_nor_in_the_answer():
    asked = call(environment="PROXY=x")
    assert SECRET.encode() in asked.stdin
    assert SECRET not in asked.command
    answer = asked.answer(f"{MARK}{json.dumps({'msg': f'key {SECRET}', 'logs': [SECRET]})}\n")
    assert SECRET not in json.dumps(answer) and answer["msg"].startswith("key ***")


@pytest.mark.parametrize(
    ("prefix", "program"),
    [
        ("/opt/rbee", "/opt/rbee/tools/rbee-node/abc/rbee-node"),
        ("/srv/two words", "/srv/two words/tools/rbee-node/abc/rbee-node"),
        ("~/.local/share/rbee", "/home/of user/.local/share/rbee/tools/rbee-node/abc/rbee-node"),
    ],
)
def test_the_hosts_shell_finds_the_program(prefix, program):
    command = call(prefix).command.replace("if test -O", "printf %s").partition(";")[0]
    done = subprocess.run(
        ["sh", "-c", command], env={"HOME": "/home/of user"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == program


def test_the_environment_is_for_the_program():
    environment = f"http_proxy={shlex.quote('http://a b')}"
    assert f"then {environment} /opt/" in call(environment=environment).command


def test_what_is_copied_to_the_host_is_taken_in_by_the_program_of_that_prefix():
    assert "/srv/x/tools/rbee-node" in call(take={"prefix": "/srv/x", "files": {"/tmp/a": ""}}).command


@pytest.mark.parametrize(
    "arguments",
    [{"prefix": "relative"}, {"prefix": "$HOME/x"}, {"prefix": "~other/x"}, {"state": "there"}, {"unknown": 1}],
)
def test_what_only_the_module_can_tell_is_left_to_it(arguments):
    assert call(**arguments) is None


@pytest.mark.parametrize(
    "said", ["", "Welcome!\n", f"{MARK}not JSON\n", f"{MARK}[]\n", '{"changed": false}\n', f"no {MARK}{{}}\n"]
)
def test_anything_but_a_result_is_no_answer(said):
    assert call().answer(said) is None


def test_what_a_shell_says_first_does_not_matter():
    assert call().answer(f'Welcome!\n{MARK}{{"changed": false}}\n') == {"changed": False}
