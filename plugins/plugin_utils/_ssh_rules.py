# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh and the network answer on the way to a host, as findings. Pure.

The messages are those of OpenSSH's client, which it prints in English whatever the locale.
"""

from __future__ import annotations

import dataclasses
import errno
import re
import shlex
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import Finding

SSH = "ssh"

Settings = dict[str, list[str]]
"""The values of every option, by its name in lower case, as ``ssh -G`` prints them."""

_UNKNOWN = re.compile(r"No (\S+) host key is known for|The authenticity of host .* can't be established")
_CHANGED = re.compile(r"Offending (?:(\S+) )?key (?:for IP )?in (\S+):(\d+)")
_DENIED = re.compile(r"Permission denied(?: \(([^)]*)\))?")
_TOO_OPEN = re.compile(r"Permissions \d+ for '([^']+)' are too open")
_NO_FILE = re.compile(r"(?:no such identity:|Identity file) (\S+?):? (?:not accessible: )?No such file")
_FAILED_BELOW = ("Connection reset", "Connection closed", "kex_exchange_identification", "ssh_exchange_identification")


@dataclasses.dataclass(frozen=True)
class Way:
    """How ssh goes to a host.

    destination: as given to ssh. name: what is looked up, after the user's ssh configuration. direct: without a jump
    host or proxy. known_hosts: the file that a new key belongs into. known_as: what the key is looked up by there.
    """

    destination: str
    name: str
    port: int
    user: str
    direct: bool
    known_hosts: str
    known_as: str
    identities: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Clues:
    """What was found out beside ssh. host_key: type and fingerprint that the server shows, empty when not known.

    locked: private keys that need a passphrase and that no agent holds. usable: whether ssh has any key at all.
    """

    host_key: str = ""
    locked: tuple[str, ...] = ()
    usable: bool = True


def parse_settings(text: str) -> Settings:
    """The output of ``ssh -G``."""
    found: Settings = {}
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        found.setdefault(name.lower(), []).append(value)
    return found


def way_of(destination: str, settings: Settings) -> Way:
    """The way to a host. settings: what ``ssh -G`` says of it."""

    def first(key: str, default: str = "") -> str:
        return settings.get(key, [default])[0]

    name, port = first("hostname", destination), int(first("port", "22"))
    indirect = {first("proxyjump", "none"), first("proxycommand", "none")} - {"none", ""}
    known_as = first("hostkeyalias", "none")
    if known_as == "none":
        known_as = name if port == 22 else f"[{name}]:{port}"
    known_hosts = first("userknownhostsfile", "~/.ssh/known_hosts").split() or ["~/.ssh/known_hosts"]
    return Way(
        destination,
        name,
        port,
        first("user"),
        not indirect,
        known_hosts[0].strip('"'),
        known_as,
        tuple(settings.get("identityfile", ())),
    )


def unresolved(way: Way, reason: str) -> Finding:
    problem = f"the name {way.name} cannot be resolved: {reason}"
    return Finding(SSH, problem, "correct its hostname, or add it to DNS, /etc/hosts or your ssh configuration")


def unconnected(way: Way, error: OSError, timeout: float) -> Finding:
    """Why no connection to the port came about."""
    place = f"{way.name} port {way.port}"
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return Finding(
            SSH, f"{place} does not answer within {timeout:g} s", "see that it is on and no firewall is in the way"
        )
    if error.errno == errno.ECONNREFUSED:
        return Finding(SSH, f"nothing listens on {place} (connection refused)", "start sshd there or correct ssh_port")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return Finding(
            SSH, f"there is no route to {way.name}", "correct its hostname, or see to the network or the VPN"
        )
    return Finding(SSH, f"{place} cannot be connected to: {error.strerror or error}", "see to the network")


def banner(way: Way, said: bytes) -> Finding | None:
    """What the first bytes from the port tell. said: up to a line; empty when it closed the connection."""
    place = f"{way.name} port {way.port}"
    if b"SSH-" in said:
        return None
    if not said:
        fix = "look there for MaxStartups, fail2ban, hosts.deny or a full disk"
        return Finding(SSH, f"{place} closes the connection at once", fix)
    line = said.splitlines()[0][:60].decode("ascii", "replace")
    return Finding(SSH, f"{place} is not ssh, it says {line!r}", "correct ssh_port")


def silent(way: Way, timeout: float) -> Finding:
    """A port that accepts connections and says nothing, as no ssh server does."""
    problem = f"{way.name} port {way.port} accepts connections and says nothing within {timeout:g} s"
    return Finding(SSH, problem, "correct ssh_port, or see whether the machine hangs")


def too_slow(way: Way, timeout: float) -> Finding:
    problem = f"the login to {_login(way)} is not done after {timeout:g} s"
    return Finding(SSH, problem, "see whether the machine or its directory service hangs, or raise ssh_timeout")


def refused(way: Way, said: str, clues: Clues = Clues()) -> Finding:
    """Why ssh did not log in. said: what it printed, with LogLevel INFO or higher."""
    offending = _CHANGED.search(said)
    if offending and "verification failed" in said:
        return _changed(way, offending, clues)
    if _UNKNOWN.search(said) or "Host key verification failed" in said:
        return _unknown(way, _UNKNOWN.search(said), clues)
    too_open, gone, denied = _TOO_OPEN.search(said), _NO_FILE.search(said), _DENIED.search(said)
    if too_open:
        path = too_open[1]
        return Finding(SSH, f"ssh does not use the key {path}, which others can read", f"chmod 600 {shlex.quote(path)}")
    if "Too many authentication failures" in said:
        return Finding(
            SSH,
            f"{_login(way)} gave up before the right key came",
            "set IdentitiesOnly and IdentityFile in your ssh configuration",
        )
    if denied:
        return _denied(way, denied[1] or "", gone[1] if gone else "", clues)
    if "no matching" in said.lower():
        return Finding(SSH, _last_line(said), "bring sshd there up to date")
    if any(word in said for word in _FAILED_BELOW) and way.direct:
        return Finding(
            SSH, f"{way.name} ends the connection before the login: {_last_line(said)}", "look at the log of sshd there"
        )
    if "too long for Unix domain socket" in said:
        problem = "the path of the socket that Ansible keeps a connection open with is too long"
        return Finding(SSH, problem, "set control_path_dir in [ssh_connection] of ansible.cfg to a shorter one")
    fix = "try the same with: ssh " + shlex.join([*_port_of(way), _login(way)])
    return Finding(SSH, _last_line(said) or f"no login to {_login(way)}", fix)


def _changed(way: Way, offending: re.Match[str], clues: Clues) -> Finding:
    file, line = offending[2], offending[3]
    shown = f", now it shows {clues.host_key}" if clues.host_key else ""
    forget = shlex.join(["ssh-keygen", "-f", file, "-R", way.known_as])
    problem = f"host key changed: {file} line {line} has another{shown}"
    return Finding(
        SSH, problem, f"if the machine was installed anew: {forget} && {_learn(way)}; else somebody is in between"
    )


def _unknown(way: Way, match: re.Match[str] | None, clues: Clues) -> Finding:
    kind = clues.host_key or (match[1] if match and match[1] else "")
    problem = f"host key of {way.known_as} unknown" + (f", it shows {kind}" if kind else "")
    return Finding(SSH, problem, f"compare it with ssh-keygen -lf on the machine, then: {_learn(way)}")


def _learn(way: Way) -> str:
    """The command that adds the keys of a host to known_hosts."""
    file = way.known_hosts if way.known_hosts.startswith("~/") else shlex.quote(way.known_hosts)
    if not way.direct:
        return f"ssh {shlex.join([*_port_of(way), _login(way)])} and answer yes"
    return f"ssh-keyscan {shlex.join([*_port_of(way), way.name])} >> {file}"


def _denied(way: Way, methods: str, gone: str, clues: Clues) -> Finding:
    problem = f"{_login(way)}: login refused" + (f" ({methods})" if methods else "")
    if clues.locked:
        keys = ", ".join(clues.locked)
        return Finding(
            SSH, f"{problem}; {keys} needs a passphrase and no agent has it", f"ssh-add {shlex.join(clues.locked)}"
        )
    if gone:
        return Finding(
            SSH, f"{problem}; the key {gone} does not exist", "correct ansible_ssh_private_key_file or IdentityFile"
        )
    if not clues.usable:
        problem += "; you have no ssh key here"
        return Finding(
            SSH,
            problem,
            f"ssh-keygen, then {_copy(way)}"
            if "password" in methods
            else "ssh-keygen, then have the public key added there",
        )
    if "password" in methods or "keyboard" in methods:
        return Finding(SSH, problem, f"{_copy(way)}, or correct ssh_user")
    return Finding(
        SSH, problem, f"have your public key added to {way.user}'s authorized_keys there, or correct ssh_user"
    )


def _copy(way: Way) -> str:
    return "ssh-copy-id " + shlex.join([*_port_of(way), _login(way)])


def _port_of(way: Way) -> list[str]:
    return [] if way.port == 22 else ["-p", str(way.port)]


def _login(way: Way) -> str:
    return f"{way.user}@{way.destination}" if way.user else way.destination


def _last_line(said: str) -> str:
    lines: t.Sequence[str] = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else ""
