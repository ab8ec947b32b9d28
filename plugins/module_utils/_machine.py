# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a machine: what any fleet has installed, by its receipts, and engines of others. Reads only.

Of other users' processes, only root sees environment, folder and sockets; ``blind`` says what is missing for that.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import pwd
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _engine_place,
    _engines,
    _gpu_owners,
    _gpu_probe,
    _processes,
    _store,
)
from ansible_collections.rbee.fleet.plugins.module_utils._agent_request import CATALOG
from ansible_collections.rbee.fleet.plugins.module_utils._engines import Engine
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Found
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM, UNIT_PREFIX, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._receipts import receipts_on
from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, QUEEN

SYSTEM_PREFIX, USER_PREFIX = "/opt/rbee", ".local/share/rbee"
UNITS = "/etc/systemd/system"
USER_UNITS = ".config/systemd/user"
KEY = "files/keys"  # of the queen's generation, where she asks clients for a key

RUNNING, STOPPED = "running", "stopped"


def look(
    prefixes: t.Sequence[str] = (), strangers: bool = True, gpus: t.Callable[[], Found] = _gpu_probe.probe
) -> dict[str, t.Any]:
    """Installations and engines, as JSON data.

    prefixes: where to look for installations; by default the usual places, and wherever an agent runs.
    strangers: whether to look for engines that no fleet has installed.
    """
    commands = _commands()
    homes = _homes()
    known = [SYSTEM_PREFIX, *(os.path.join(home, USER_PREFIX) for home in homes), *_served(commands)]
    installations, problems = [], []
    for place in dict.fromkeys(os.path.realpath(place) for place in prefixes or known):
        try:
            found = _installation(place)
        except (_store.StoreError, OSError) as error:
            problems.append(str(error))
            continue
        if found:
            installations.append(found)
    engines = _running(commands, [*known, *prefixes]) if strangers else []
    engines += _stopped(homes, {engine["unit"] for engine in engines}) if strangers else []
    _place(engines, gpus)
    return {
        "installations": installations,
        "engines": [{key: value for key, value in engine.items() if key != "told"} for engine in engines],
        "problems": problems,
        "blind": _blind() if strangers else "",
    }


def _commands() -> dict[int, list[str]]:
    """The command line of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            words = _processes.command_line(int(entry)).decode("utf-8", "replace").rstrip("\0").split("\0")
            if words != [""]:
                found[int(entry)] = words
    return found


def _homes() -> list[str]:
    """The home of the user that runs this, and of the one that became root for it."""
    users = [os.geteuid(), int(os.environ.get("SUDO_UID") or os.geteuid())]
    homes = []
    for user in users:
        try:
            homes.append(pwd.getpwuid(user).pw_dir)
        except KeyError:  # a user of a container
            continue
    if os.geteuid() == users[1]:
        homes.append(os.path.expanduser("~"))
    return list(dict.fromkeys(homes))


def _served(commands: t.Mapping[int, t.Sequence[str]]) -> list[str]:
    """The prefixes whose agent runs: they stand in its command line."""
    return [
        words[words.index("--prefix") + 1]
        for words in commands.values()
        if any(os.path.basename(word) == "rbee-hive" for word in words[:3])
        and "serve" in words
        and "--prefix" in words[:-1]
    ]


def _installation(prefix: str) -> t.Optional[dict[str, t.Any]]:
    """What is installed below a prefix; None when there is nothing. Raises StoreError, OSError."""
    layout = Layout(prefix)
    receipts = receipts_on(layout)
    if not receipts:
        return None
    hive = next((name for name, receipt in receipts.items() if receipt.get("kind") == HIVE), "")
    queen = next((name for name, receipt in receipts.items() if receipt.get("kind") == QUEEN), "")
    scope = ""
    if hive:
        scope = (_store.read_json(os.path.join(layout.current(hive), "files", CATALOG)) or {}).get("scope", "")
    if queen and not scope:
        scope = (receipts[queen].get("declared") or {}).get("fleet", {}).get("scope", "")
    return {
        "prefix": prefix,
        "scope": scope or SYSTEM,
        "has_key": bool(queen) and os.path.lexists(os.path.join(layout.current(queen), KEY)),
        "receipts": [{**receipt, "name": name} for name, receipt in sorted(receipts.items())],
    }


def _running(commands: t.Mapping[int, list[str]], prefixes: t.Iterable[str]) -> list[dict[str, t.Any]]:
    own = tuple(f"{prefix.rstrip('/')}/" for prefix in prefixes)
    known: dict[int, Engine] = {}
    for pid, words in commands.items():
        engine = _engines.recognise(words, {}, _link(pid, "cwd"))
        if engine and not any(word.startswith(own) for word in words) and not _link(pid, "cwd").startswith(own):
            known[pid] = engine
    return [
        _process(pid, commands[pid])
        for pid in _engine_place.leaders({pid: engine.type for pid, engine in known.items()}, _processes.parent)
        if not _gpu_owners.component_of(_text(f"/proc/{pid}/cgroup"))
    ]


def _process(pid: int, words: list[str]) -> dict[str, t.Any]:
    folder, environ, groups = _link(pid, "cwd"), _environ(pid), _text(f"/proc/{pid}/cgroup")
    engine = _engines.recognise(words, environ, folder) or _engines.Engine("", 0)
    unit, of_user = _engine_place.unit_of(groups)
    container = _engine_place.container_of(groups)
    if container == _engine_place.container_of(_text("/proc/self/cgroup")):
        container = ""  # the machine that we look at is that container
    told = dataclasses.replace(engine, port=_engine_place.port_of(engine, _ports(pid)))
    return _described(
        told, environ, folder, pid=pid, unit="" if container else unit, of_user=of_user, container=container
    )


def _stopped(homes: t.Iterable[str], running: t.Container[str]) -> list[dict[str, t.Any]]:
    """Services that would run an engine and do not."""
    found = []
    folders = [(UNITS, False), *((os.path.join(home, USER_UNITS), True) for home in homes)]
    for path, of_user in [(path, user) for place, user in folders for path in sorted(glob.glob(f"{place}/*.service"))]:
        name = os.path.basename(path)
        if name.startswith(UNIT_PREFIX) or name in running:
            continue
        for words, environ in _engine_place.commands_in(_text(path)):
            engine = _engines.recognise(words, environ)
            if engine:
                found.append(_described(engine, environ, "/", unit=name, of_user=of_user))
    return found


def _described(
    engine: Engine,
    environ: t.Mapping[str, str],
    folder: str,
    pid: int = 0,
    unit: str = "",
    of_user: bool = False,
    container: str = "",
) -> dict[str, t.Any]:
    """An engine as JSON data. ``told`` stays here."""
    origin = _engine_place.origin_of(engine, folder, environ, os.path.exists, _text)
    return {
        "type": engine.type,
        "state": RUNNING if pid else STOPPED,
        "pid": pid,
        "port": engine.port,
        "unit": unit,
        "of_user": of_user,
        "container": container,
        "model": dataclasses.asdict(origin) if origin else None,
        "names": list(engine.names),
        "folder": engine.folder or (folder if engine.type == _engines.COMFYUI else ""),
        "arguments": list(engine.arguments),
        "env": dict(engine.env),
        "hidden": list(engine.hidden),
        "told": engine,
    }


def _place(engines: t.Sequence[dict[str, t.Any]], gpus: t.Callable[[], Found]) -> None:
    """Add the GPUs of each; the drivers are asked only where somebody was told which to use."""
    asked = any(engine["told"].visible or engine["told"].devices for engine in engines)
    found = gpus() if asked else Found()
    for engine in engines:
        engine["gpus"], engine["gpus_reason"] = _engine_place.gpus_of(engine["told"], found)


def _ports(pid: int) -> set[int]:
    """The ports that a process listens on; none when that cannot be seen."""
    inodes = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            target = _link(pid, f"fd/{entry.name}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    except OSError:
        return set()
    tables = [_engine_place.listening(_text(f"/proc/{pid}/net/{name}")) for name in ("tcp", "tcp6")]
    return {port for table in tables for inode, port in table.items() if inode in inodes}


def _environ(pid: int) -> dict[str, str]:
    lines = _text(f"/proc/{pid}/environ").split("\0")
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}


def _link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def _text(path: str) -> str:
    """What stands in a file, empty when it is not there or not ours to read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _blind() -> str:
    if not _processes.visible():
        return "processes of other users are hidden from this one (hidepid)"
    if os.geteuid() != 0:
        return "without the rights of root, environment, GPUs and sockets of other users' processes cannot be seen"
    return ""
