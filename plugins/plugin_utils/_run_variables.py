# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people may say on the command line of the playbooks: the variables for ``-e``, and tags. Pure.

``playbooks/group_vars/all.yml`` has the defaults, ``docs/configuration.md`` the meanings; tests compare them with this.
"""

from __future__ import annotations

import difflib
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
_NEAR = 0.8  # of 1, as difflib measures it: one letter of a short name
_BUILT_IN_TAGS = ("all", "tagged", "untagged", "always", "never")


def _boolean(reader: Reader, path: Path, value: t.Any) -> t.Any:
    """As the filter ``bool`` takes it: what comes from a command line or a survey is text."""
    if str(value).lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
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


VARIABLES: dict[str, Check] = {
    "rbee_force": _boolean,
    "rbee_downgrade": _boolean,
    "rbee_update": _boolean,
    "rbee_frozen": _boolean,
    "rbee_retry_failed": _boolean,
    "rbee_only": _names,
    "rbee_verify": choice("fast", "deep"),
    "rbee_purge": _boolean,
    "rbee_extra": choice("report", "remove", "adopt"),
    "rbee_forget": _names,
    "rbee_serve": _boolean,
    "rbee_status_json": _file,
    "rbee_models_json": _file,
    "rbee_result_file": _file,
    "rbee_sync_file": _file,
    "rbee_findings_file": _file,
}

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
    for name, check in VARIABLES.items():
        if values.get(name) not in (None, ""):
            check(reader, (name,), values[name])
    for tag in filter(is_misspelt, tags):
        reader.wrong((f"tag {tag}",), f"unknown; {suggestion(tag, KINDS_OF_TAG)}")
    return [str(mistake) for mistake in sorted(set(reader.mistakes))]


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
