# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of modules, plugins and pages are plays and tasks that Ansible takes, with options that there are."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.mod_args import ModuleArgsParser
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring
from ansible.vars.manager import VariableManager
from ansible_collections.rbee.fleet.tests.pages import blocks

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ("callback", "filter", "inventory", "lookup", "modules")
PLUGINS = [path for kind in KINDS for path in sorted(ROOT.glob(f"plugins/{kind}/*.py"))]
PAGES = [path for place in ("README.md", "docs/*.md", "roles/*/README.md") for path in sorted(ROOT.glob(place))]
MODULE = "rbee.fleet."
IMPORT = "ansible.builtin.import_playbook"
TEMPLATE = "{{"
LOADER = DataLoader()

Table = dict[str, t.Any]


def documentation(path: pathlib.Path) -> tuple[Table, str]:
    """What a plugin documents, with its fragments, and its examples."""
    kind = path.parent.name.removesuffix("s")
    doc, examples, *_more = get_docstring(
        str(path), fragment_loader, collection_name="rbee.fleet", is_module=kind == "module", plugin_type=kind
    )
    return doc, examples or ""


def specification(options: t.Mapping[str, Table]) -> Table:
    """The argument specification that options are documented by."""
    taken = ("type", "elements", "required", "choices", "aliases")
    return {
        name: {key: option[key] for key in taken if key in option}
        | ({"options": specification(option["suboptions"])} if "suboptions" in option else {})
        for name, option in options.items()
    }


def mistakes_of(options: t.Mapping[str, Table], given: Table) -> list[str]:
    """What a module would reject. What a template stands for is not known, and taken for right."""
    spec = specification(options)
    unknown = {name for name, value in given.items() if TEMPLATE in str(value) and name in spec}
    for name in unknown:
        spec[name]["required"] = False
    result = ArgumentSpecValidator(spec).validate({name: given[name] for name in given if name not in unknown})
    return list(result.error_messages)


def tasks_of(play: Table) -> t.Iterator[Table]:
    for item in [
        task for section in ("pre_tasks", "tasks", "post_tasks", "handlers") for task in play.get(section, [])
    ]:
        if "block" in item:
            yield from tasks_of({"tasks": item["block"] + item.get("rescue", []) + item.get("always", [])})
        else:
            yield item


def check(text: str) -> int:
    """Loads the plays and tasks of a YAML text as Ansible does. Returns how many tasks of ours it has."""
    loaded = LOADER.load(text)
    ours = 0
    for item in loaded if isinstance(loaded, list) else []:
        if IMPORT in item:
            assert (ROOT / "playbooks" / f"{item[IMPORT].removeprefix(MODULE)}.yml").exists()
            continue
        if "hosts" in item:
            Play.load(item, variable_manager=VariableManager(LOADER), loader=LOADER)
        for task in tasks_of(item if "hosts" in item else {"tasks": [item]}):
            Task.load(task, loader=LOADER)
            action, given, _where = ModuleArgsParser(task).parse()
            if action.startswith(MODULE):
                doc, _examples = documentation(ROOT / "plugins" / "modules" / f"{action.removeprefix(MODULE)}.py")
                assert mistakes_of(doc["options"] or {}, given) == [], task.get("name")
                ours += 1
    return ours


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_examples_of_a_plugin(path: pathlib.Path) -> None:
    doc, examples = documentation(path)
    if path.parent.name == "inventory":
        for source in re.split(r"^---$", examples, flags=re.MULTILINE):
            assert mistakes_of(doc["options"], LOADER.load(source)) == []
    elif path.parent.name == "callback":
        assert all(line.startswith("#") for line in examples.split("\n") if line)
    else:
        assert check(examples) or path.parent.name in ("filter", "lookup"), "no example of it"
        assert f"{MODULE}{path.stem}" in examples


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_yaml_of_a_page(path: pathlib.Path) -> None:
    for language, content in blocks(path.read_text("utf-8")):
        if language == "yaml" and "run:" not in content:  # which belongs to a CI system
            check(content)


@pytest.mark.parametrize("role", ["hive", "queen"])
def test_the_variables_in_the_example_of_a_role(role: str) -> None:
    specs = [LOADER.load_from_file(str(path)) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    known = {name for spec in specs for name in spec["argument_specs"]["main"]["options"]}
    page = (ROOT / "roles" / role / "README.md").read_text("utf-8")
    text = "".join(content for language, content in blocks(page) if language == "yaml")
    assert set(re.findall(r"\b(rbee_\w+): ?", text)) <= known


@pytest.mark.parametrize(
    ("example", "mistake"),
    [
        ("- rbee.fleet.components:\n    stat: absent\n", "stat. Supported parameters include"),
        ("- rbee.fleet.components:\n    state: gone\n", "value of state must be one of"),
        ("- rbee.fleet.models:\n    models: {}\n  registr: x\n", "registr"),
        ("- rbee.fleet.component_info:\n", "rbee.fleet.component_info"),
        ("- rbee.fleet.adopt:\n    folder: here\n", "missing required arguments: register"),
        ("- hosts: all\n  task: []\n", "task"),
    ],
)
def test_a_mistake_in_an_example_is_seen(example: str, mistake: str) -> None:
    with pytest.raises((AnsibleError, AssertionError), match=re.escape(mistake)):
        check(example)
