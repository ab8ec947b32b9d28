# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ansible-inventory says of configuration folders.

Each folder of ``inventories/`` holds a configuration and, in ``expected.json``, its inventory. ``RBEE_ACCEPT=1`` writes
these files anew; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SAMPLES = HERE / "inventories"
FOLDERS = sorted(path.parent.name for path in SAMPLES.glob("*/rbee.yml"))

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> t.Callable[[str], pathlib.Path]:
    """A copy of a sample, with a catalog that does not change with that of the collection."""

    def copy(name: str) -> pathlib.Path:
        place = tmp_path / name
        shutil.copytree(SAMPLES / name, place)
        shutil.copytree(SAMPLES / "catalog", place / "catalog")
        return place

    return copy


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Run:
    """Runs ``ansible <command>`` with nothing of the user's own settings."""

    settings = tmp_path / "ansible.cfg"
    settings.touch()

    def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        ours = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
        }
        return subprocess.run(
            [sys.executable, "-m", "ansible", *words],
            env={**kept, **ours, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return command


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, t.Any]:
    """The output of ansible-inventory, with strings that are no templates as plain strings."""
    assert done.returncode == 0, done.stderr
    found: dict[str, t.Any] = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
    return found


def steady(value: t.Any, folder: pathlib.Path) -> t.Any:
    """Without what changes with the machine, and of rendered files, which have tests of their own, the names only."""
    if isinstance(value, dict):
        value.pop("profile", None)
        return {
            key: [file["path"] for file in item] if key == "files" else steady(item, folder)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [steady(item, folder) for item in value]
    if isinstance(value, str):
        return value.replace(str(folder), "FOLDER").replace(sys.executable, "PYTHON")
    return value


@pytest.mark.parametrize("name", FOLDERS)
def test_the_inventory_of_a_folder(run: Run, folder: t.Callable[[str], pathlib.Path], name: str) -> None:
    place = folder(name)
    found = steady(listed(run("inventory", "-i", str(place / "rbee.yml"), "--list")), place)
    text = json.dumps(found, indent=2, sort_keys=True) + "\n"
    if os.environ.get("RBEE_ACCEPT"):
        (SAMPLES / name / "expected.json").write_text(text)
    assert text == (SAMPLES / name / "expected.json").read_text()


def test_hives_conf_is_a_source_itself_once_the_plugin_is_enabled(
    run: Run, folder: t.Callable[[str], pathlib.Path]
) -> None:
    place = folder("seed")
    enabled = {"ANSIBLE_INVENTORY_ENABLED": "rbee.fleet.hives,host_list,script,auto,yaml,ini,toml"}
    direct = listed(run("inventory", "-i", str(place / "hives.conf"), "--list", **enabled))
    assert direct == listed(run("inventory", "-i", str(place / "rbee.yml"), "--list"))


def test_the_configuration_may_lie_in_another_folder(
    run: Run, folder: t.Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    folder("single")
    (tmp_path / "prod.rbee.yml").write_text("plugin: rbee.fleet.hives\nconfig: single\n")
    found = listed(run("inventory", "-i", str(tmp_path / "prod.rbee.yml"), "--list"))
    assert found["rbee"] == {"hosts": ["desk"]}


def test_the_seeds_examples_suit_the_catalog_of_the_collection(
    run: Run, folder: t.Callable[[str], pathlib.Path]
) -> None:
    place = folder("seed")
    shutil.rmtree(place / "catalog")
    found = listed(run("inventory", "-i", str(place / "rbee.yml"), "--list"))
    components = {host: variables["rbee_components"] for host, variables in found["_meta"]["hostvars"].items()}
    workers = {
        host: {item["name"]: item.get("idle", "") for item in items if item["kind"] == "worker"}
        for host, items in components.items()
    }
    assert workers == {
        "gpu-server-1": {"vllm": "no model", "llama-cpp": "no model"},
        "gpu-server-2": {"vllm": "no model", "comfyui": ""},
        "local-hive": {"llama-cpp": "no model"},
    }


def test_text_of_the_user_is_never_a_template(run: Run, folder: t.Callable[[str], pathlib.Path]) -> None:
    place = folder("single")
    query = "{{ rbee_components | map(attribute='env', default={}) | map(attribute='NOTE', default='') | join(',') }}"
    done = run("adhoc", "-i", str(place / "rbee.yml"), "rbee", "-m", "ansible.builtin.debug", "-a", f'msg="{query}"')
    assert done.returncode == 0, done.stderr
    assert "{{ 6 * 7 }}" in done.stdout


def test_a_mistake_leaves_no_host_and_names_file_line_and_key(
    run: Run, folder: t.Callable[[str], pathlib.Path]
) -> None:
    place = folder("single")
    with (place / "hives.conf").open("a") as hives:
        hives.write("ssh_prot = 22\n")
    (place / "rbee.conf").write_text("[quene]\n")
    found = run("inventory", "-i", str(place / "rbee.yml"), "--list")
    assert "rbee" not in json.loads(found.stdout)
    assert "hives.conf:8: hive[0].ssh_prot: unknown key; did you mean 'ssh_port'?" in found.stderr
    assert "rbee.conf:1: quene: unknown key; did you mean 'queen'?" in found.stderr
    strict = run("inventory", "-i", str(place / "rbee.yml"), "--list", ANSIBLE_INVENTORY_UNPARSED_FAILED="true")
    assert strict.returncode == 1
    for said in (found.stderr, strict.stderr):  # by our plugin, and not by all that could not read it either
        assert "Failed to parse" not in said and len(said.splitlines()) < 6
