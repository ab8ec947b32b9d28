# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the README, the guide and the reference is typed by a test, as it is printed."""

from __future__ import annotations

import pathlib
import re

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _agent
from ansible_collections.rbee.fleet.plugins.plugin_utils import _load
from ansible_collections.rbee.fleet.plugins.plugin_utils._run_variables import mistakes
from ansible_collections.rbee.fleet.tests.pages import ELSEWHERE, FOLLOWED, Command, File, commands, steps

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACES = ("README.md", "docs/**/*.md", "docs/**/*.rst", "roles/*/README.md")

if not (ROOT / "docs").exists() or not (ROOT / "extensions").exists():
    pytest.skip("the documentation is not part of this copy", allow_module_level=True)


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


PAGES = [str(path.relative_to(ROOT)) for place in PLACES for path in sorted(ROOT.glob(place))]
HIVES = '[[hive]]\nalias = "gpu-1"\nhostname = "192.168.1.100"\n'  # where a page leaves them out
TYPED = {command for page in FOLLOWED for command in commands(text_of(page))}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_typed(page: str) -> None:
    said = [step for step in steps(text_of(page)) if isinstance(step, Command)]
    # What has a block of its own is typed where it stands; what is only mentioned, anywhere.
    left = [step.text for step in said if not (step.mentioned and step.text in TYPED)]
    if page not in FOLLOWED:
        assert [text for text in left if text not in ELSEWHERE] == [], "name the test that follows it in tests/pages.py"


@pytest.mark.parametrize(("page", "test"), FOLLOWED.items())
def test_the_test_that_follows_a_page_exists_and_names_it(page: str, test: str) -> None:
    assert page in PAGES

    assert f'"{page}"' in text_of(test)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    places = ("playbooks/*.yml", "plugins/*/*.py", "roles/*")
    there = {path.stem for place in places for path in ROOT.glob(place)}
    # The reference, which is generated, has labels that look like these.
    assert page.endswith(".rst") or set(re.findall(r"\brbee\.fleet\.(\w+)", text_of(page))) <= there


@pytest.mark.parametrize("page", PAGES)
def test_the_options_that_a_page_names_are_right(page: str) -> None:
    variables = re.findall(r"-e (rbee_\w+)=([\w.-]*)", text_of(page))
    tags = [tag for tags in re.findall(r"--(?:skip-)?tags ([\w,]+)", text_of(page)) for tag in tags.split(",")]
    assert [mistake for name, value in variables for mistake in mistakes([name], {name: value}, [])] == []
    assert mistakes([], {}, tags) == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(isinstance(step, File) for step in steps(text_of(page)))]
)
def test_the_files_that_a_page_shows_are_a_configuration(page: str, tmp_path: pathlib.Path) -> None:
    gaps = dict.fromkeys(("<the file's SHA-256>", "sha256sum of that file"), "0" * 64)
    shown = {step.name: step.content for step in steps(text_of(page), gaps) if isinstance(step, File)}
    for name, content in {"hives.conf": HIVES, **shown}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, "utf-8")
    assert _load.load(str(tmp_path))


def test_the_agent_takes_what_its_page_shows() -> None:
    shown = re.findall(r"^\| `rbee-hive (.*?)`", text_of("docs/agent.md"), re.MULTILINE)
    values = {"ADDRESS": "127.0.0.1", "PORT": "8600", "P": "8600", "G": "0,1"}
    for line in shown:
        words = re.sub(r"[][…]", "", line).split()
        assert _agent._parser().parse_args([values.get(word, word) for word in words]).run
    assert len(shown) == 7


def test_every_exception_is_of_a_command_that_is_said_and_names_what_does_it_instead() -> None:
    assert set(ELSEWHERE) <= {command for page in PAGES for command in commands(text_of(page))}
    assert [where.file for where in ELSEWHERE.values() if not (ROOT / where.file).exists()] == []
    assert all(where.reason for where in ELSEWHERE.values())


def test_what_is_a_command_and_what_is_not() -> None:
    page = (
        "Text with `$ this`, and `ansible-doc x.y.z` in it.\n"
        "```console\n$ one --two   # why\nwhat it prints\n$ three \\\n    four\n```\n"
        "1. first\n\n   ```console\n   $ five\n   ```\n"
        "```toml\n# hives.conf\nx = 1\n```\n"
        "```toml\ny = 2\n```\n"
        "```yaml\n- run: six && seven\n- if: always()\n  run: eight\n```\n"
        "| to | run |\n|---|---|\n| do | `ansible-playbook rbee.fleet.stop`, `rbee.fleet.start` |\n| add `-e x=1` |\n"
    )
    found = [(getattr(step, "text", "") or step.name, getattr(step, "mentioned", None)) for step in steps(page)]
    assert found == [
        ("ansible-doc x.y.z", True),
        ("one --two", False),
        ("three \\\n    four", False),
        ("five", False),
        ("hives.conf", None),
        ("six && seven", False),
        ("eight", False),
        ("ansible-playbook rbee.fleet.stop", True),
        ("ansible-playbook rbee.fleet.start", True),
    ]


def test_what_the_reader_has_is_filled_in() -> None:
    page = "```console\n$ fetch ADDRESS\n```\n```toml\n# a.conf\nurl = 'ADDRESS'\n```\n"
    assert [str(vars(step)) for step in steps(page, {"ADDRESS": "here"})] == [
        "{'text': 'fetch here', 'mentioned': False}",
        "{'name': 'a.conf', 'content': \"# a.conf\\nurl = 'here'\\n\"}",
    ]
