# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that init writes."""

from __future__ import annotations

import configparser
import pathlib
import re
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _keys, _load, _meanings, _starter, _toml_text
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Key, Reader, table, tables
from ansible_collections.rbee.fleet.plugins.plugin_utils._starter import Machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import parse

TABLES: dict[str, dict[str, dict[str, Key]]] = {
    _config.RBEE: {"fleet": _keys.FLEET, "queen": _keys.QUEEN, "package": _keys.PACKAGE, "pull": _keys.PULL},
    _config.HIVES: {"hive": _keys.HIVE},
    _config.MODELS: {"model": _keys.MODEL},
}


def files(machines: t.Sequence[Machine] = (Machine("gpu-1", "10.0.0.1"),)) -> dict[str, str]:
    return _starter.files(_starter.hives(machines))


def uncommented(text: str) -> str:
    """With every key that keeps its default taken out of its comment."""
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


def last(name: str, key: str) -> dict[str, t.Any]:
    """The described table of a file: for hives and models, the last one."""
    data = parse(name, uncommented(files()[name])).data[key]
    found: dict[str, t.Any] = data[-1] if isinstance(data, list) else data
    return found


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, found in TABLES.items() for key in found])
def test_every_key_stands_in_its_file(name: str, key: str) -> None:
    assert set(last(name, key)) == set(TABLES[name][key])


def test_every_key_of_a_worker_stands_in_hives_conf() -> None:
    assert set(last(_config.HIVES, "hive")["workers"][-1]) == set(_keys.WORKER)


@pytest.mark.parametrize("section", [*_meanings.RBEE_CONF, *_meanings.HIVES_CONF, *_meanings.MODELS_CONF])
def test_every_key_has_a_meaning_and_its_default_or_an_example(section: _meanings.Section) -> None:
    assert set(section.meanings) == set(section.keys)
    for name, meaning in section.meanings.items():
        key = section.keys[name]
        assert meaning.text.endswith((".", ")."))
        if meaning.example is None:
            assert key.default not in ("", None), f"{name} shows no value"
        elif key.default and not key.required:
            assert meaning.example in (key.default, list(key.default or ())), f"{name} shows another default"


@pytest.mark.parametrize("name", TABLES)
def test_every_value_that_is_shown_is_a_valid_one(name: str) -> None:
    mistakes: list[Mistake] = []
    document = parse(name, uncommented(files()[name]))
    wanted = {key: table(keys) if name == _config.RBEE else tables(keys) for key, keys in TABLES[name].items()}
    Reader(document, mistakes).table((), document.data, wanted)
    assert mistakes == []


@pytest.mark.parametrize(
    "machines",
    [
        [Machine("gpu-1", "10.0.0.1")],
        [Machine("gpu-1", "gpu-1", "ops", 2222, "10.0.0.1"), Machine("gpu-2", "2001:db8::1")],
    ],
)
def test_the_files_load_as_they_are(tmp_path: pathlib.Path, machines: list[Machine]) -> None:
    for name, text in files(machines).items():
        (tmp_path / name).write_text(text)
    fleet, _catalog = _load.load(str(tmp_path))
    found = [(hive.alias, hive.hostname, hive.ssh_user, hive.ssh_port) for hive in fleet.hives]
    assert found == [(one.alias, one.hostname, one.user, one.port) for one in machines]
    assert fleet.hives[0].address == "10.0.0.1"
    assert fleet.queen.api_key == f"file:{tmp_path}/api_key"


@pytest.mark.parametrize(
    ("devices", "said"),
    [({"nvidia", "vulkan"}, "nvidia, vulkan"), (set(), "none")],
)
def test_a_local_hive_says_which_gpus_there_are(tmp_path: pathlib.Path, devices: set[str], said: str) -> None:
    text = _starter.local(_load.merged_catalog(), devices)
    assert f"GPUs found when this was written: {said}." in text
    (tmp_path / _config.HIVES).write_text(text)
    fleet, _catalog = _load.load(str(tmp_path))
    assert [(hive.alias, hive.connection) for hive in fleet.hives] == [("local-hive", "local")]
    assert fleet.queen_host == "local-hive"


def test_a_worker_type_suits_devices_that_it_has_a_build_for(engines: t.Any) -> None:
    assert _starter.suited(engines, set()) == ["comfyui", "llama-cpp", "vllm"]
    assert "vllm" in _starter.suited(_load.merged_catalog(), {"nvidia"})


def test_the_settings_are_those_of_ansible() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(_starter.settings("/home/me/100% mine"))
    assert parser["defaults"]["inventory"] == "rbee.yml"
    assert parser["defaults"]["callbacks_enabled"] == "rbee.fleet.report"
    assert parser["defaults"]["interpreter_python"] == "auto_silent"
    assert parser["inventory"]["enable_plugins"].startswith("rbee.fleet.hives, ")
    assert parser["ssh_connection"]["ssh_common_args"] == '-F "/home/me/100% mine"'
    assert "host_key_checking" not in parser["defaults"]


def test_the_key_and_what_runs_leave_stay_out_of_git() -> None:
    assert _starter.ignored().split() == ["/api_key", "/.rbee/"]


@pytest.mark.parametrize("given", ["", 'a "b" \\', True, 8, [1, "a"], {}, {"A": "b"}, {"a.b": "\x7f\n"}])
def test_a_value_is_read_back_as_it_was(given: t.Any) -> None:
    assert parse("a", f"key = {_toml_text.value(given)}").data == {"key": given}
