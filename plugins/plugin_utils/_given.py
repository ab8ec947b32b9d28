# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that a task is given: as a list, by an ssh configuration, by an Ansible inventory. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._config import RESERVED_HOSTS
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine

_HOST = re.compile(
    r"(?:(?P<alias>[^=@\s]+)=)?(?:(?P<user>[^=@\s]+)@)?(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[\w.-]+))(?::(?P<port>\d+))?"
)
_HOST_LINE = re.compile(r"\s*host(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
_INCLUDE_LINE = re.compile(r"\s*include(?:\s*=\s*|\s+)(.+)", re.IGNORECASE)
# The variables of a host that become keys of its hive.
READ = (
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_ssh_host",
    "ansible_ssh_port",
    "ansible_ssh_user",
    "ansible_user",
)
# What connects to a host and has no key in hives.conf: what is no secret, and the rest
CARRIED = (
    "ansible_ssh_private_key_file",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_become_method",
    "ansible_python_interpreter",
)
_UNKNOWN_TO_US = (
    *CARRIED,
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_become_password",
    "ansible_become_pass",
)


class GivenError(ValueError):
    """A host that cannot be read; the message says which and what is expected."""


def from_list(given: t.Any) -> list[Machine]:
    """The machines of ``[alias=][user@]host[:port]``, a list or separated by commas. Raises GivenError."""
    items = given if isinstance(given, (list, tuple)) else str(given).split(",")
    return [_machine(str(item).strip()) for item in items if str(item).strip()]


def _machine(text: str) -> Machine:
    if _is_address(text):
        return Machine("", text)
    match = _HOST.fullmatch(text)
    port = int(match["port"] or 22) if match else 0
    if not match or port not in range(1, 65536) or (match["ipv6"] and not _is_address(match["ipv6"])):
        raise GivenError(
            f"hosts: {text!r} is no host; expected [alias=][user@]host[:port], IPv6 with a port as [::1]:22"
        )
    hostname = match["ipv6"] or match["name"]
    return Machine(match["alias"] or "", hostname, match["user"] or "", port)


def names_in(text: str, included: t.Callable[[str], t.Iterable[str]], depth: int = 16) -> list[str]:
    """The names of the ``Host`` entries of an ssh configuration that are no patterns, in their order.

    included: the texts of the files that an ``Include`` pattern stands for. The format is that of ssh_config(5).
    """
    found: list[str] = []
    for line in text.splitlines():
        host, include = _HOST_LINE.fullmatch(line), _INCLUDE_LINE.fullmatch(line)
        if host:
            found += [name for name in _words(host[1]) if not re.search(r"[*?!]", name)]
        elif include and depth:
            for pattern in _words(include[1]):
                for inner in included(pattern):
                    found += names_in(inner, included, depth - 1)
    return list(dict.fromkeys(found))


def _words(text: str) -> list[str]:
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]+)', text)]


def from_ssh(name: str, settings: t.Mapping[str, t.Sequence[str]], user: str) -> Machine:
    """One host of an ssh configuration. settings: what ``ssh -G`` says of it. user: who asks, ssh's choice without one.

    It is reached by its name in there, so that its key, its jump host and the rest keep to apply.
    """
    address, login, port = (settings.get(key, [""])[0] for key in ("hostname", "user", "port"))
    return Machine(
        name,
        name,
        "" if login == user else login,
        int(port or 22),
        "" if address == name else address,
    )


def from_variables(host: str, variables: t.Mapping[str, t.Any]) -> Machine:
    """One host of an Ansible inventory. Raises GivenError."""
    hostname = str(variables.get("ansible_host") or variables.get("ansible_ssh_host") or host)
    carried = {name: str(variables[name]) for name in CARRIED if variables.get(name)}
    if variables.get("ansible_connection") == "local":
        return Machine(host, "localhost", variables=carried)
    port = variables.get("ansible_port") or variables.get("ansible_ssh_port") or 22
    user = variables.get("ansible_user") or variables.get("ansible_ssh_user") or ""
    if not str(port).isdigit():
        raise GivenError(f"{host}: ansible_port is {port!r}, expected a number")
    return Machine(host, hostname, str(user), int(port), variables=carried)


def left_behind(variables: t.Mapping[str, t.Any]) -> list[str]:
    """The variables of a host that matter for reaching it and have no key in hives.conf."""
    return [name for name in _UNKNOWN_TO_US if variables.get(name)]


def named(machines: t.Iterable[Machine]) -> tuple[list[Machine], list[str]]:
    """The machines, each once and with an alias that nobody else has; and what to tell of those that were left out."""
    known: dict[tuple[str, int], Machine] = {}
    taken: set[str] = set()
    notes = []
    for machine in machines:
        place = ((machine.address or machine.hostname).lower(), machine.port)
        if place in known:
            again, first = machine.alias or machine.hostname, known[place].alias
            notes.append(
                f"{again} is the same machine as {first}: left out" if again != first else f"{again} was given twice"
            )
            continue
        alias = alias_of(machine.alias or _short(machine.hostname), taken)
        taken.add(alias.lower())
        known[place] = dataclasses.replace(machine, alias=alias)
    return list(known.values()), notes


def apart(machines: t.Iterable[Machine]) -> None:
    """Raises GivenError for two machines behind one address: their agents and workers would have the same ports."""
    first: dict[str, Machine] = {}
    for machine in machines:
        address = (machine.address or machine.hostname).lower()
        other = first.setdefault(address, machine)
        if other is not machine:
            raise GivenError(
                f"hosts: {other.alias} and {machine.alias} are behind one address, {address}, where a port can be"
                " that of one of them only; give one here, and add the other to hives.conf with a hive_port and"
                " ports of its own"
            )


def _short(hostname: str) -> str:
    return hostname if _is_address(hostname) else hostname.split(".", 1)[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        return False
    return True


def alias_of(wanted: str, taken: t.Collection[str]) -> str:
    """A valid alias that is not taken, as near to what is wanted as can be."""
    alias = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("._-")[:60].rstrip("._-") or "hive"
    if alias == "localhost":
        alias = "local-hive"
    elif alias in RESERVED_HOSTS or alias.startswith("rbee_"):
        alias = f"hive-{alias}"[:60]
    number, candidate = 1, alias
    while candidate.lower() in taken:
        number += 1
        candidate = f"{alias}-{number}"[-63:]
    return candidate
