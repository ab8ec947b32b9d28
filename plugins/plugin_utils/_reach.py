# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes to a host as ssh would, step by step: name, port, ssh server, host key, login. Uses the network only."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import Finding
from ansible_collections.rbee.fleet.plugins.plugin_utils import _clues, _ssh_rules, _sshconf

_BANNER_BYTES = 1024


@dataclasses.dataclass(frozen=True)
class Route:
    """What Ansible gives ssh for a host.

    arguments: options. timeout: seconds for a connection. log_in: whether to try the login too, which takes a key or
    an agent.
    """

    destination: str
    arguments: tuple[str, ...] = ()
    executable: str = "ssh"
    timeout: float = 30
    log_in: bool = True


def reach(route: Route) -> list[Finding]:
    """Why ssh does not get to the host; empty when it does. Takes up to a few times the timeout."""
    try:
        settings = _sshconf.settings([*route.arguments, route.destination], route.executable)
    except _sshconf.SshError as error:
        return [Finding(_ssh_rules.SSH, str(error))]
    way = _ssh_rules.way_of(route.destination, settings)
    finding = _knock(way, route.timeout) if way.direct else None
    if finding is None and route.log_in:
        finding = _log_in(way, route)
    return [finding] if finding else []


def explain(route: Route, said: str) -> Finding:
    """A finding from what ssh printed when Ansible itself used it."""
    try:
        settings = _sshconf.settings([*route.arguments, route.destination], route.executable)
    except _sshconf.SshError as error:
        return Finding(_ssh_rules.SSH, str(error))
    return _ssh_rules.refused(_ssh_rules.way_of(route.destination, settings), said)


def _knock(way: _ssh_rules.Way, timeout: float) -> Finding | None:
    """Whether there is an ssh server at the port."""
    try:
        addresses = socket.getaddrinfo(way.name, way.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        return _ssh_rules.unresolved(way, getattr(error, "strerror", None) or str(error))
    failure: OSError = OSError("it has no address")
    for family, kind, protocol, _name, address in addresses:
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(timeout)
            try:
                connection.connect(address)
            except OSError as error:
                failure = error
                continue
            try:
                return _ssh_rules.banner(way, connection.recv(_BANNER_BYTES))
            except TimeoutError:
                return _ssh_rules.silent(way, timeout)
            except OSError:
                return _ssh_rules.banner(way, b"")
    return _ssh_rules.unconnected(way, failure, timeout)


def _log_in(way: _ssh_rules.Way, route: Route) -> Finding | None:
    """A login of its own: one that is open already would hide what has changed since."""
    # ssh takes the first value it is given: what the user set stands before ours.
    ours = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=INFO"]
    quiet = ["-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={max(1, int(route.timeout))}"]
    command = [route.executable, "-T", *quiet, *route.arguments, *ours, route.destination, "true"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace", env={**os.environ, "LC_ALL": "C"}, timeout=2 * route.timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _ssh_rules.too_slow(way, 2 * route.timeout)
    if done.returncode != 255:  # a status of the remote command, which only comes after a login
        return None
    return _ssh_rules.refused(way, done.stderr, _look_further(way, done.stderr, route.timeout))


def _look_further(way: _ssh_rules.Way, said: str, timeout: float) -> _ssh_rules.Clues:
    """What ssh has not said and what its message makes worth knowing."""
    if not way.direct:
        return _ssh_rules.Clues()
    if "Permission denied" in said:
        return _clues.of_keys(way.identities)
    if "verification failed" in said:
        return _ssh_rules.Clues(host_key=_clues.host_key(way.name, way.port, timeout))
    return _ssh_rules.Clues()


def options_of(words: t.Sequence[str], values: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The options of one ssh command. words: as the user wrote them. values: ``port``, ``user``, ``key``, or none."""
    own = [f"Port={values['port']}"] if values.get("port") else []
    own += [f"User={values['user']}"] if values.get("user") else []
    own += [f"IdentityFile={os.path.expanduser(str(values['key']))}"] if values.get("key") else []
    return (*words, *(word for option in own for word in ("-o", option)))
