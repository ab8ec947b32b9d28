# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the README and the guides is typed by a test: scenario ``guide``, or the one that it names."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "extensions" / "molecule" / "guide"

if not (ROOT / "docs").exists() or not SCENARIO.exists():
    pytest.skip("the documentation is not part of this copy", allow_module_level=True)

SPECIFICATION = importlib.util.spec_from_file_location("fleet_guide_commands", SCENARIO / "commands.py")
assert SPECIFICATION and SPECIFICATION.loader
GUIDE = importlib.util.module_from_spec(SPECIFICATION)
sys.modules[SPECIFICATION.name] = GUIDE  # a dataclass looks its own module up
SPECIFICATION.loader.exec_module(GUIDE)


def pages() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))]


@pytest.mark.parametrize("page", pages())
def test_what_a_page_says_is_typed(page: str) -> None:
    said = GUIDE.commands((ROOT / page).read_text("utf-8"))
    left = [] if page in GUIDE.PAGES or page in GUIDE.ELSEWHERE else said
    assert left == [], f"follow {page} in extensions/molecule/guide/commands.py, or name the test that does"


def test_what_is_named_exists() -> None:
    assert set(GUIDE.PAGES) <= set(pages())
    missing = {where for where in GUIDE.ELSEWHERE.values() if not (ROOT / where).exists()}
    assert missing == set()


def test_no_exception_is_kept_for_what_is_no_longer_said() -> None:
    said = {command for page in pages() for command in GUIDE.commands((ROOT / page).read_text("utf-8"))}
    assert set(GUIDE.ELSEWHERE) <= said | set(pages())


def test_what_is_a_command_and_what_is_not() -> None:
    page = (
        "Text with `$ this`.\n"
        "```console\n$ one --two   # why\nwhat it prints\n$ three \\\n    four\n```\n"
        "```toml\n# hives.conf\nx = 1\n```\n"
        "```toml\ny = 2\n```\n"
        "| to | run |\n|---|---|\n| do | `ansible-playbook rbee.fleet.sync` |\n| add | add `-e x=1` |\n"
    )
    steps = [getattr(step, "text", "") or step.name for step in GUIDE.steps(page)]
    assert steps == ["one --two", "three \\\n    four", "hives.conf", "ansible-playbook rbee.fleet.sync"]
