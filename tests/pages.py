# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page tells its reader to do: commands to type, and files to write; and which test does so. Pure.

A page is CommonMark; its fenced blocks follow these rules. In ``console``, lines that begin with ``$ `` are commands,
with the lines that follow a ``\\``; a comment at their end and all other lines are for reading. In ``yaml``, a command
follows ``run:``, as in a job of a CI system. A block whose first line is ``# NAME`` is the content of that file.

Beside the blocks, code in a line is a command that is mentioned where it begins with one of `MENTIONED`, and so are, in
a table, the playbooks whose names follow one in the same cell.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
import typing as t

# The test that follows a page: it writes its files, and types its commands, in their order.
FOLLOWED = {
    **dict.fromkeys(
        (
            "README.md",
            "docs/README.md",
            "docs/agent.md",
            "docs/chat.md",
            "docs/configuration.md",
            "docs/getting-started.md",
            "docs/lock-file.md",
            "docs/migrate.md",
            "docs/models.md",
            "docs/one-offs.md",
            "docs/queen.md",
            "docs/reference/components_module.rst",  # the others of the reference say the same
            "docs/report.md",
            "docs/status.md",
            "docs/sync.md",
            "roles/hive/README.md",
            "roles/queen/README.md",
        ),
        "extensions/molecule/guide/guide.py",
    ),
    "docs/awx.md": "tests/integration/pytest/test_awx.py",
    "docs/own-types.md": "tests/integration/pytest/test_engine_entries.py",
    "docs/pulling.md": "extensions/molecule/pull/pull.py",
}


class Elsewhere(t.NamedTuple):
    """A file that does what a command says, and why no test types that as it is printed."""

    file: str
    reason: str


ELSEWHERE = {
    "script/demo": Elsewhere("script/test.py", "changes the machine that tests run on; its tier demo types it"),
    "script/demo --down": Elsewhere("script/test.py", "the same"),
    "script/test": Elsewhere("script/test.py", "is what runs the tests"),
    "ansible-playbook rbee.fleet.migrate -e config=FOLDER -e hosts=…": Elsewhere("docs/migrate.md", "abridged"),
    "ansible-galaxy collection install rbee.fleet": Elsewhere(
        "README.md", "fetches what is published; tests install what is in the clone"
    ),
}

MENTIONED = ("ansible-playbook ", "ansible-doc ", "ansible-galaxy ")

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$|^([^\n]+)$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
_JOB = re.compile(r"^(?:- |  )run: (.*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s{2,}# .*$")
_NAME = re.compile(r"# ([\w./-]+\.\w+)\n")
_CODE = re.compile(r"`+([^`\n]+)`+")
_PLAYBOOK = "rbee.fleet."


@dataclasses.dataclass(frozen=True)
class Command:
    """What is typed, as a line or lines of a shell. mentioned: not in a block of its own."""

    text: str
    mentioned: bool = False


@dataclasses.dataclass(frozen=True)
class File:
    """A file in the folder where one is: its name, relative, and its content."""

    name: str
    content: str


def steps(page: str, gaps: t.Mapping[str, str] | None = None) -> t.Iterator[Command | File]:
    """What there is to do, in the order in which it stands there.

    gaps: what stands for something that the reader has, and what it is here.
    """
    for language, content in blocks(page):
        if language is None:
            yield from (Command(filled_in(text, gaps), mentioned=True) for text in _mentioned(content))
        elif language == "console":
            yield from (Command(filled_in(_COMMENT.sub("", text), gaps)) for text in _COMMAND.findall(content))
        elif named := _NAME.match(content):
            yield File(named[1], filled_in(content, gaps))
        elif language == "yaml":
            yield from (Command(filled_in(text, gaps)) for text in _JOB.findall(content))


def blocks(page: str) -> t.Iterator[tuple[str | None, str]]:
    """The language of each fenced block, which may be empty, and its content; and each line beside them, with None."""
    for _indent, language, content, line in _BLOCK.findall(page):
        yield (None, line) if line else (language, textwrap.dedent(content))


def filled_in(text: str, gaps: t.Mapping[str, str] | None) -> str:
    for gap, content in (gaps or {}).items():
        text = text.replace(gap, content)
    return text


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A text in which each of these stood once."""
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"{old!r} stands {text.count(old)} times in:\n{text}")
        text = text.replace(old, new)
    return text


def commands(page: str) -> list[str]:
    return [step.text for step in steps(page) if isinstance(step, Command)]


def _mentioned(line: str) -> t.Iterator[str]:
    for cell in line.split("|"):
        before = False
        for code in _CODE.findall(cell):
            text = code.replace("\\", "")  # as reStructuredText has it
            if before and line.startswith("|") and text.startswith(_PLAYBOOK):
                text = f"ansible-playbook {text}"
            if text.startswith(MENTIONED):
                before = before or text.startswith("ansible-playbook ")
                yield text
