# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page tells its reader to do: commands to type, and files to write. Pure.

A page is CommonMark; its fenced blocks follow these rules. In ``console``, lines that begin with ``$ `` are commands,
with the lines that follow a ``\\``; a comment at their end and all other lines are for reading. A block of another
language whose first line is ``# NAME`` is the content of that file. In a table, the last cell is a command where it is
one and nothing else.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

QUICK_START = "README.md"  # the page whose files make the fleet
# The pages that the scenario follows, in this order, and where the reader is at their beginning: in the clone, in the
# fleet that the first page made, or in the home folder.
PAGES = {
    QUICK_START: "clone",
    "docs/configuration.md": "clone",
    "docs/queen.md": "fleet",
    "docs/agent.md": "fleet",
    "docs/status.md": "fleet",
    "docs/report.md": "fleet",
    "docs/sync.md": "fleet",
    "docs/lock-file.md": "fleet",
    "docs/models.md": "fleet",
    "docs/chat.md": "fleet",
    "docs/one-offs.md": "fleet",
    "docs/migrate.md": "home",
    "docs/getting-started.md": "home",
}
# What a page says and the scenario does not do: a command, or all of a page; and what does it instead.
ELSEWHERE = {
    "script/demo": "script/test.py",
    "script/demo --down": "script/test.py",
    "script/test": "script/test.py",
    "docs/awx.md": "tests/integration/pytest/test_awx.py",
    "docs/pulling.md": "extensions/molecule/pull/pull.py",
    "docs/own-types.md": "tests/integration/pytest/test_engine_entries.py",  # SGLang needs a GPU; there is a stand-in
}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|^\|[^\n]*\| *`(ansible-playbook [^`\n]+)` *\|$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s{2,}# .*$")
_NAME = re.compile(r"# ([\w./-]+\.\w+)\n")


@dataclasses.dataclass(frozen=True)
class Command:
    """What is typed, as a line or lines of a shell."""

    text: str


@dataclasses.dataclass(frozen=True)
class File:
    """A file in the folder where one is: its name, relative, and its content."""

    name: str
    content: str


def steps(page: str) -> t.Iterator[Command | File]:
    """What there is to do, in the order in which it stands there."""
    for language, content, cell in _BLOCK.findall(page):
        if language == "console":
            for text in _COMMAND.findall(content):
                yield Command(_COMMENT.sub("", text))
        elif cell:
            yield Command(cell)
        elif named := _NAME.match(content):
            yield File(named[1], content)


def commands(page: str) -> list[str]:
    return [step.text for step in steps(page) if isinstance(step, Command)]
