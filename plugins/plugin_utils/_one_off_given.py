# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that one-offs take with ``-e``: which there are, and their values in the types of the files. Pure."""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import suggestion

Table = dict[str, t.Any]

HIVE, WORKER = "hive", "worker"

MODEL_KEYS = ("source", "url", "path", "file", "revision", "sha256", "fetch")
"""Of models.conf: with ``source`` among them, the worker's model is declared as well."""

INSTALL_RUN = ("rbee_force", "rbee_downgrade", "rbee_update", "rbee_frozen", "rbee_verify", "rbee_result_file")
REMOVE_RUN = ("rbee_purge", "rbee_result_file", "rbee_sync_file", "rbee_forget")
NAMES = {
    (HIVE, True): (*_keys.HIVE, "temp", *INSTALL_RUN),
    (HIVE, False): ("alias", *REMOVE_RUN),
    (WORKER, True): ("hive", *_keys.WORKER, *MODEL_KEYS, "temp", *INSTALL_RUN),
    (WORKER, False): ("hive", "worker", *REMOVE_RUN),
}
"""The variables by what is installed or removed."""

_ELSEWHERE = ("ansible_", "awx_", "tower_")  # prefixes of variables that are not ours to judge
_NUMBERS = ("port", "ssh_port", "hive_port")
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
_SWITCHES = ("auto_start", "temp")


def typed(given: t.Mapping[str, t.Any]) -> Table:
    """The variables in the types of the files. What does not look like its type stays, and is told later."""
    return {name: _typed(name, value) for name, value in given.items()}


def check_names(known: t.Collection[str], given: t.Iterable[str]) -> None:
    """Raises ConfigError where a variable is unknown."""
    unknown = [name for name in given if name not in known and not name.startswith(_ELSEWHERE)]
    if unknown:
        raise ConfigError(
            Mistake(f"-e {name}", 0, "", f"unknown variable; {suggestion(name, known)}") for name in unknown
        )


def _typed(name: str, value: t.Any) -> t.Any:
    if not isinstance(value, str):
        return [value] if name == "gpus" and isinstance(value, int) else value
    if name in _NUMBERS and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if name in _SWITCHES:
        return _BOOLEANS.get(value.lower(), value)
    if name in ("workers", "models"):
        return [item.strip() for item in value.split(",") if item.strip()]
    if name == "gpus" and re.fullmatch(r"\s*[0-9]{1,9}\s*(,\s*[0-9]{1,9}\s*)*", value):
        return [int(item) for item in value.split(",")]
    if name in ("args", "env"):
        return _words(name, value)
    return value


def _words(name: str, value: str) -> t.Any:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ConfigError([Mistake(f"-e {name}", 0, "", f"{value!r} cannot be split into words: {error}")]) from None
    if name == "args":
        return words
    pairs = [word.partition("=") for word in words]
    return {key: item for key, _sign, item in pairs} if all(sign for _key, sign, _item in pairs) else value


def require(given: t.Mapping[str, t.Any], *names: str) -> None:
    missing = [name for name in names if name not in given]
    wrong = [name for name in names if name in given and (not isinstance(given[name], str) or not given[name])]
    mistakes = [Mistake(f"-e {name}", 0, "", "missing; it is required") for name in missing]
    mistakes += [Mistake(f"-e {name}", 0, "", "expected a name") for name in wrong]
    if mistakes:
        raise ConfigError(mistakes)
