# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook for many runs: a process that has imported it forks for each, which saves more than half of a run.

A fork goes on as the program ansible-playbook does after its imports. Ansible reads its settings while it is imported,
so a server is good for one folder, one environment and one text of ansible.cfg.
"""

from __future__ import annotations

import collections
import gc
import importlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import typing as t
import warnings

LIMIT = 600  # seconds of a run
ALL = ("callback", "connection", "shell", "filter", "test", "inventory")  # kinds of plugins
USED = {
    "action": ("rbee.fleet.components", "rbee.fleet.summary"),
    "become": ("sudo",),
    "cache": ("memory",),
    "callback": ("default",),
    "connection": ("local",),
    "lookup": ("rbee.fleet.mistakes",),
    "shell": ("sh",),
    "strategy": ("linear",),
}


class Plays:
    """The runs that begin in ``folder``."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._servers = dict[t.Any, _Server]()

    def run(self, environment: t.Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs ansible-playbook with ``arguments``. Raises TimeoutError after ``LIMIT``."""
        settings = self.folder / "ansible.cfg"
        key = (settings.read_text() if settings.exists() else None, *sorted(environment.items()))
        if key not in self._servers:
            self._servers[key] = _Server(self.folder, environment)
        return self._servers[key].run(*arguments)

    def empty(self) -> pathlib.Path:
        """The folder, with nothing in it."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return self.folder

    def close(self) -> None:
        """Ends the servers, and a run that has not ended."""
        for server in self._servers.values():
            server.close()


class _Server:
    def __init__(self, folder: pathlib.Path, environment: t.Mapping[str, str]) -> None:
        self._connection, its = socket.socketpair()
        self._connection.settimeout(LIMIT)
        with its:
            command = [sys.executable, __file__, str(its.fileno())]
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, pass_fds=[its.fileno()], process_group=0
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self._connection, [json.dumps(arguments).encode()], [out.fileno(), err.fileno()])
            code = int(self._connection.recv(16))
            texts = []
            for file in out, err:
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(["ansible-playbook", *arguments], code, *texts)

    def close(self) -> None:
        self._connection.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def load_plugins() -> None:
    """What every run loads: the plugins, and the documentation of them from which Ansible takes their options."""
    from ansible.plugins import loader

    for kind in ALL:
        collections.deque(getattr(loader, f"{kind}_loader").all(class_only=True), maxlen=0)
    for kind, names in USED.items():
        for name in names:
            getattr(loader, f"{kind}_loader").get(name, class_only=True)
    for name in ("executor.process.worker", "executor.task_executor", "playbook.handler", "playbook.included_file"):
        importlib.import_module(f"ansible.{name}")


def serve(connection: socket.socket) -> None:
    """Forks for every run that is asked for, until nobody can ask any more."""
    from ansible import constants
    from ansible.cli.playbook import main
    from ansible.plugins.loader import init_plugin_loader

    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")  # of ``main``, by this
    init_plugin_loader()
    importlib.import_module("ansible_collections.rbee.fleet.plugins.inventory.hives")  # which imports most of it
    load_plugins()
    gc.freeze()  # no fork has to look through what is here already
    while True:
        asked, descriptors, _flags, _address = socket.recv_fds(connection, 1 << 16, 2)
        if not asked:
            return
        os.makedirs(constants.DEFAULT_LOCAL_TMP, 0o700, exist_ok=True)  # made by the import, removed by the last run
        pid = os.fork()
        if not pid:
            for number, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            sys.argv = ["ansible-playbook", *json.loads(asked)]
            main()  # it exits
        for descriptor in descriptors:
            os.close(descriptor)
        _pid, status = os.waitpid(pid, 0)
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
