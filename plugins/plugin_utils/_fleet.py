# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet: what the three configuration files declare, checked and with every default applied. Pure data."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._verdict import WILDCARDS

STANDALONE, ATTACHED = "standalone", "attached-hive"
LOCAL, SSH = "local", "ssh"
SYSTEM, USER = "system", "user"
PREFIXES = {SYSTEM: "/opt/rbee", USER: "~/.local/share/rbee"}

ALL_GPUS = "all"


QUEEN_HOST = "queen"


@dataclasses.dataclass(frozen=True)
class Queen:
    """rbee.conf ``[queen]``.

    hostname, ssh_user, ssh_port, connection: her machine; in attached mode those of the hive she is attached to.
    api_key: a reference (``env:NAME`` or ``file:PATH``), never the key itself; empty means none.
    """

    mode: str = STANDALONE
    attached_hive_alias: str = ""
    port: int = 8500
    auto_start: bool = True
    hostname: str = "localhost"
    ssh_user: str = ""
    ssh_port: int = 22
    connection: str = LOCAL
    bind: str = "127.0.0.1"
    api_key: str = ""
    insecure: bool = False
    max_request_bytes: int = 8 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Worker:
    """One entry of a hive's ``workers``. version: one that the catalog has. model: name of a model, or empty.

    gpus: what it has for itself, numbers of GPUs or ``"all"``; empty: it shares those that nobody claims.
    variant: the one build to use, or empty to let the host choose.
    temporary: it is not in the files, and nobody who has other files takes it for extra.
    """

    type: str
    name: str
    version: str
    port: int
    model: str = ""
    gpus: str | tuple[int, ...] = ()
    args: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    variant: str = ""
    temporary: bool = False


@dataclasses.dataclass(frozen=True)
class Hive:
    """hives.conf ``[[hive]]``.

    address: what the queen dials and the hive's services bind.
    models: all that are to be on this hive, whichever file says so. temporary: as of a worker, with all that is on it.
    """

    alias: str
    hostname: str
    address: str
    connection: str = SSH
    ssh_user: str = ""
    ssh_port: int = 22
    hive_port: int = 8600
    workers: tuple[Worker, ...] = ()
    models: tuple[str, ...] = ()
    auto_start: bool = True
    temporary: bool = False


@dataclasses.dataclass(frozen=True)
class Model:
    """models.conf ``[[model]]``. path: absolute, on the controller. file: file name in a Hugging Face repository.

    fetch: who fetches it, empty for whoever does so for the fleet.
    commit, files: what the lock says of the revision; ``_lockfile`` has the format.
    """

    name: str
    source: str = "huggingface"
    hives: tuple[str, ...] = ()
    pre_download: bool = True
    sha256: str = ""
    url: str = ""
    path: str = ""
    file: str = ""
    revision: str = "main"
    commit: str = ""
    files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    fetch: str = ""


@dataclasses.dataclass(frozen=True)
class Package:
    """rbee.conf ``[package]``. Times in seconds."""

    max_concurrent_installs: int = 10
    ssh_timeout: int = 30
    health_check_timeout: int = 60


@dataclasses.dataclass(frozen=True)
class Pull:
    """rbee.conf ``[pull]``: hosts take the configuration from a git repository and converge themselves.

    repository: URL, or a path on each host. version: branch, tag or commit, empty for the repository's own default.
    folder: where in it rbee.yml lies. interval: minutes from one run to the next. jitter: minutes at most by which a
    run is put off, at random. key: private ssh key, a path on each host.
    """

    repository: str = ""
    version: str = ""
    folder: str = "."
    interval: int = 30
    jitter: int = 10
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Everything declared. The first fields are rbee.conf ``[fleet]``. prefix: ``~`` stands for the host's user.

    hf_token: a reference to the token for Hugging Face; empty means none.
    """

    name: str = "default"
    scope: str = SYSTEM
    prefix: str = PREFIXES[SYSTEM]
    fetch: str = "host"
    hf_token: str = ""
    queen: Queen = Queen()
    hives: tuple[Hive, ...] = ()
    models: tuple[Model, ...] = ()
    package: Package = Package()
    pull: Pull | None = None

    @functools.cached_property
    def queen_host(self) -> str:
        """The inventory host of the queen: the hive on her machine, so that one host stands for one machine."""
        if self.queen.mode == ATTACHED:
            return self.queen.attached_hive_alias
        place = machine(self.queen, self.scope)
        return next((hive.alias for hive in self.hives if machine(hive, self.scope) == place), QUEEN_HOST)


def queen_url(fleet: Fleet, hive: Hive) -> str:
    """Where a hive reaches the queen; empty when she listens nowhere that it could."""
    host = fleet.queen.bind
    if host in WILDCARDS or is_loopback(host):
        beside = hive.alias == fleet.queen_host
        host = WILDCARDS.get(host, host) if beside else fleet.queen.hostname
        if not beside and is_loopback(host):
            return ""
    return f"http://{f'[{host}]' if ':' in host else host}:{fleet.queen.port}"


def machine(reached: Queen | Hive, scope: str) -> tuple[str, int, str]:
    """What tells machines apart; in user scope every user of a machine has an installation of their own."""
    if reached.connection == LOCAL:
        return ("localhost", 22, "")
    hostname = "localhost" if is_loopback(reached.hostname) else reached.hostname.lower()
    return (hostname, reached.ssh_port, reached.ssh_user if scope == USER else "")


def slug(name: str) -> str:
    """A model's name in letters that serve in file names; unique in a fleet."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def is_loopback(host: str) -> bool:
    """Whether a host name or address only reaches the machine that uses it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.localdomain")
