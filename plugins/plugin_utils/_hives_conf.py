# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The older format of hives.conf, which is like that of an ssh configuration. Pure.

rbee itself read it before it took to TOML (github.com/veighnsche/llama-orch: docs/HIVE_CONFIGURATION.md of commit
37a3738f0df1, and ``parse_hives_conf`` in bin/99_shared_crates/rbee-config/src/hives_config.rs of commit 2011e9e229e8)::

    Host workstation
        HostName 192.168.1.100
        Port 22
        User admin
        HivePort 8081
        BinaryPath /usr/local/bin/rbee-hive

One setting a line, the key apart from its value by white space; ``#`` begins a line that is a comment. Of several names
behind ``Host`` the first counts, patterns are passed over, and so are keys that are not among these, for the file may
be an ssh configuration. HostName, User and HivePort have to be there; an entry that lacks one was passed over too.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine

_FIRST = re.compile(r"\A\s*(?:#[^\n]*\n\s*)*Host[ \t]+[^\s=]")
_PORTS = ("Port", "HivePort")
_NEEDED = ("HostName", "User", "HivePort")
_KEYS = {*_NEEDED, *_PORTS, "BinaryPath"}


def is_older(text: str) -> bool:
    """Whether a hives.conf is in this format; in TOML nothing can begin so."""
    return bool(_FIRST.match(text))


def parse(text: str, name: str, user: str) -> tuple[list[Machine], list[str]]:
    """The machines, and what of the file has no place in a TOML file. name: of the file, for errors.

    user: who asks; a loopback address of theirs needs no ssh. Raises ConfigError with every mistake.
    """
    mistakes: list[Mistake] = []
    notes: list[str] = []
    entries: list[tuple[int, str, dict[str, str]]] = []
    current: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        key, _space, value = re.sub(r"\s+", " ", line.strip()).partition(" ")
        if not key or key.startswith("#"):
            continue
        if key == "Host":
            alias = value.split(" ")[0]
            current = {}
            if not alias:
                mistakes.append(Mistake(name, number, "Host", "expected a name behind it"))
            elif re.search(r"[*?!]", alias):
                notes.append(f"{name}:{number}: the pattern {alias} was passed over")
            else:
                entries.append((number, alias, current))
        elif current is None:
            mistakes.append(Mistake(name, number, key, "expected 'Host NAME' before it"))
        elif not value:
            mistakes.append(Mistake(name, number, key, "expected a value behind it"))
        else:
            current.setdefault(key, value)
            if key in _PORTS and not (re.fullmatch("[0-9]{1,5}", value) and 0 < int(value) < 65536):
                mistakes.append(Mistake(name, number, key, f"expected a port from 1 to 65535, not {value!r}"))
    for number, alias, entry in entries:
        missing = [key for key in _NEEDED if key not in entry]
        if missing:
            mistakes.append(Mistake(name, number, "Host", f"{alias} has no {' and no '.join(missing)}"))
        unknown = sorted(entry.keys() - _KEYS)
        if unknown:
            notes.append(f"{alias}: {', '.join(unknown)} was not taken over; it belongs into your ssh configuration")
        if "BinaryPath" in entry:
            notes.append(f"{alias}: BinaryPath was not taken over; the agent's program is that of the catalog")
    if mistakes:
        raise ConfigError(mistakes)
    return [_machine(alias, entry, user) for _number, alias, entry in entries], notes


def _machine(alias: str, entry: t.Mapping[str, str], user: str) -> Machine:
    port, hive_port = int(entry.get("Port", "22")), int(entry["HivePort"])
    if _fleet.is_loopback(entry["HostName"]) and port == 22 and entry["User"] == user:
        return dataclasses.replace(Machine(alias, "localhost"), hive_port=hive_port)
    return Machine(alias, entry["HostName"], entry["User"], port, hive_port=hive_port)
