# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people may say on the command line of the playbooks: the variables for ``-e``, and tags. Pure.

``playbooks/group_vars/all.yml`` has the defaults, ``docs/configuration.md`` the meanings; tests compare them with this.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _variables
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import (
    Check,
    Reader,
    choice,
    kind,
    suggestion,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._tags import KINDS_OF_TAG
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path

PREFIX = "rbee_"
COLLECTION = "rbee.fleet."
_NEAR = 0.8  # of 1, as difflib measures it: one letter of a short name
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_BUILT_IN_TAGS = ("all", "tagged", "untagged", "always", "never")


def _boolean(reader: Reader, path: Path, value: t.Any) -> t.Any:
    """As the filter ``bool`` takes it: what comes from a command line or a survey is text."""
    if str(value).lower() in (*_TRUE, *_FALSE):
        return value
    reader.wrong(path, f"expected true or false, not {value!r}")
    return None


def _file(reader: Reader, path: Path, value: t.Any) -> t.Any:
    if isinstance(value, str):
        return value
    reader.wrong(path, f"expected the path of a file, not {kind(value)}")
    return None


def _names(reader: Reader, path: Path, value: t.Any) -> t.Any:
    words = value.split(",") if isinstance(value, str) else value
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    reader.wrong(path, f"expected names separated by commas, not {kind(value)}")
    return None


class Variable(t.NamedTuple):
    """check: of its value. playbooks: those in which it counts; one-offs and chat have lists of their own."""

    check: Check
    playbooks: tuple[str, ...]


_CONVERGING = ("install", "sync")
_LOCKING = (*_CONVERGING, "models")
_ACTING = ("install", "start", "stop", "uninstall")

VARIABLES: dict[str, Variable] = {
    "rbee_force": Variable(_boolean, ("install", "models")),
    "rbee_downgrade": Variable(_boolean, _CONVERGING),
    "rbee_update": Variable(_boolean, _LOCKING),
    "rbee_frozen": Variable(_boolean, _LOCKING),
    "rbee_retry_failed": Variable(_boolean, ("install",)),
    "rbee_only": Variable(_names, _ACTING),
    "rbee_verify": Variable(choice("fast", "deep"), (*_CONVERGING, "status", "models")),
    "rbee_purge": Variable(_boolean, ("uninstall", "sync")),
    "rbee_extra": Variable(choice("report", "remove", "adopt"), ("sync",)),
    "rbee_forget": Variable(_names, ("sync",)),
    "rbee_serve": Variable(_boolean, ("chat",)),
    "rbee_status_json": Variable(_file, ("status",)),
    "rbee_models_json": Variable(_file, ("models",)),
    "rbee_result_file": Variable(_file, _ACTING),
    "rbee_sync_file": Variable(_file, ("sync",)),
    "rbee_findings_file": Variable(_file, ("validate",)),
}

# Playbooks without a row of their own in the documentation: those that take none of these, and old names.
_NONE = ("init", "migrate")
_OLD_NAME = re.compile(r"(install(?=_queen)|start|stop|uninstall)_(queen|hive|worker)")

# Of the roles, which a play beside ours may use with the same command line, and what AWX takes from job to job.
OTHERS = frozenset(
    {
        "rbee_run",
        "rbee_catalog",
        "rbee_fetch",
        "rbee_state",
        _variables.GROUP,
        *(name for name in _variables.NAMES if name.startswith(PREFIX)),
    }
)


class _Reader(Reader):
    """Names a variable without a document around it."""

    def wrong(self, path: Path, message: str) -> None:
        self.mistakes.append(Mistake(str(path[0]), 0, "", message))


def mistakes(given: t.Collection[str], values: t.Mapping[str, t.Any], tags: t.Iterable[str]) -> list[str]:
    """What is wrong, a line each.

    given: names of the variables of the command line. values: of the variables, wherever they come from; an empty text
    says as much as none, as a survey gives it. tags: of ``--tags`` and ``--skip-tags``.
    """
    reader = _Reader(Document("", {}, {}), [])
    for name in given:
        if name.startswith(PREFIX) and name not in {*VARIABLES, *OTHERS}:
            reader.wrong((name,), f"unknown variable; {suggestion(name, VARIABLES)}")
    for name, variable in VARIABLES.items():
        if values.get(name) not in (None, ""):
            variable.check(reader, (name,), values[name])
    if all(str(values.get(name)).lower() in _TRUE for name in ("rbee_update", "rbee_frozen")):
        reader.wrong(("rbee_frozen",), "rbee_update changes rbee.lock, which this forbids; leave one of them out")
    for tag in filter(is_misspelt, tags):
        reader.wrong((f"tag {tag}",), f"unknown; {suggestion(tag, KINDS_OF_TAG)}")
    return [str(mistake) for mistake in sorted(set(reader.mistakes))]


def strays(typed: t.Mapping[str, t.Any]) -> list[str]:
    """What Ansible has split off from a value at a space and drops, a line. typed: as ``parse_kv`` returns it."""
    words = typed.get("_raw_params")
    if not words:
        return []
    return [
        f"""-e: expected NAME=VALUE, not '{words}'; a value with spaces needs quotes of its own: -e "NAME='one two'\""""
    ]


def not_counting(typed: t.Iterable[str], playbooks: t.Collection[str]) -> list[str]:
    """What does not count in the playbooks of a run, a line each.

    typed: variables that stand on the command line itself, and not in a file that may be for other playbooks, too.
    playbooks: as they stand there. Nothing is said of playbooks of other people, which may import any of ours, and of
    chat and the one-offs, which have lists of their own.
    """
    names = [_counts_as(playbook) for playbook in playbooks]
    if not all(names):
        return []
    found = []
    for name in sorted({*typed} & VARIABLES.keys()):
        right = VARIABLES[name].playbooks
        if not {*right} & {*names} or (name == "rbee_only" and any(map(_OLD_NAME.fullmatch, _short(playbooks)))):
            found.append(f"{name}: is of {_listed(right)}, and does not count in {_listed(_short(playbooks))}")
    return found


def near_misses(given: t.Collection[str], own: t.Collection[str]) -> list[str]:
    """What is nearly a variable that a playbook has of its own, a line each. Others may be anybody's, so they pass."""
    found = []
    for name in given:
        near = difflib.get_close_matches(name.lower(), sorted(own), n=1, cutoff=_NEAR)
        if near and name not in own and not name.startswith(PREFIX):
            found.append(f"{name}: unknown variable; did you mean '{near[0]}'?")
    return found


def is_misspelt(tag: str) -> bool:
    """Only what is nearly a tag of ours is: a playbook that imports ours may have tags of its own."""
    near = difflib.get_close_matches(tag.lower(), KINDS_OF_TAG, n=1)
    return bool(near) and tag not in (*KINDS_OF_TAG, *_BUILT_IN_TAGS)


def _counts_as(playbook: str) -> str:
    """The playbook whose variables count in one of the command line, or an empty string."""
    name = playbook[len(COLLECTION) :] if playbook.startswith(COLLECTION) else ""
    old = _OLD_NAME.fullmatch(name)
    known = {*_NONE, *(of for variable in VARIABLES.values() for of in variable.playbooks)} - {"chat"}
    return old[1] if old else name if name in known else ""


def _short(playbooks: t.Iterable[str]) -> list[str]:
    return [playbook[len(COLLECTION) :] for playbook in playbooks]


def _listed(names: t.Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
