# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components as programs of supervisor (https://supervisord.org, 4.3), for hosts without systemd.

Everything is below ``<prefix>/supervisor``: ``supervisord.conf``, ``conf.d/`` (one program a file), ``enabled/`` (what
starts by itself), ``log/``, ``sock`` and ``supervisord.pid``. A program is loaded into supervisord when it is started
and unloaded when it is stopped, so that every start follows the text on disk.
"""

from __future__ import annotations

import collections
import configparser
import http.client
import os
import resource
import signal
import socket
import threading
import typing as t
import xmlrpc.client

from ansible_collections.rbee.fleet.plugins.module_utils import _processes as processes
from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    RUNNING,
    STARTING,
    STOPPED,
    ServiceError,
    ServiceManager,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._state import from_supervisor
from ansible_collections.rbee.fleet.plugins.module_utils._unit import (
    ServiceDefinition,
    supervisor_config,
    supervisor_enabled,
    supervisor_program,
    unit_name,
)

# Seconds
_CALL_TIMEOUT = 30
_START_TIMEOUT = 60
# Nothing of the caller's environment goes along.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_GRACE = 10  # for programs that lost their supervisord
_STOP_TIMEOUT = 3600  # supervisor kills a program after its stopwaitsecs; then only the kernel can hold it

_NOFILE = 65536
_LOG_TAIL = 256 * 1024  # bytes
# Bytes: 107 of a unix socket's address, unix(7), less the process id that supervisord appends while it binds.
_SOCKET_PATH = 107 - len(".4194304")

# https://supervisord.org/api.html, faults of supervisor.xmlrpc
_BAD_NAME, _SPAWN_ERROR, _ALREADY_STARTED, _NOT_RUNNING, _STILL_RUNNING = 10, 50, 60, 70, 91


class SupervisorManager(ServiceManager):
    """supervisor over XML-RPC on its socket.

    prefix: of the installation. environment: virtual environment that holds supervisor. As root it starts each program
    as its own user, else everything as the caller.
    """

    name = "supervisor"

    def __init__(self, prefix: str, environment: str) -> None:
        self._root = os.path.join(prefix, "supervisor")
        self._data = os.path.join(os.path.realpath(prefix), "data")
        self._environment = environment
        self._config = os.path.join(self._root, "supervisord.conf")
        self._socket = os.path.join(self._root, "sock")
        self._logs = os.path.join(self._root, "log")
        self._starting, self._enabling = threading.Lock(), threading.Lock()
        if len(os.fsencode(self._socket)) > _SOCKET_PATH:
            raise ServiceError(
                f"prefix {prefix} is too long: {self._socket} may have {_SOCKET_PATH} bytes as the address of a socket"
            )

    # The daemon

    def running(self) -> bool:
        """Whether supervisord runs; ServiceError when it does but does not answer."""
        return self._pid() > 0

    def ensure_running(self) -> None:
        """Start supervisord when it does not run, after ending what a killed one left running."""
        with self._starting:
            if not self.running():
                self._write_config()
                self._drop_stray()
                self._end_orphans()
                self._spawn()

    def _spawn(self) -> None:
        command = [os.path.join(self._environment, "bin/supervisord"), "-c", self._config]
        try:
            # It becomes a daemon once its socket listens; nothing of the caller's session goes along.
            done = run_program(command, _START_TIMEOUT, env=_ENVIRONMENT, cwd="/")
        except SourceError as error:
            raise ServiceError(f"cannot start supervisord: {error}", command) from error
        if done.status:
            raise ServiceError("cannot start supervisord", command, done.status, done.last_lines().splitlines())
        if not processes.wait_until(self.running, _START_TIMEOUT):
            raise ServiceError("supervisord ended at once", command, 0, _tail(f"{self._logs}/supervisord.log", 5))

    def shutdown(self) -> None:
        """Stop every program, then supervisord; nothing to do when it does not run."""
        pid = self._pid()
        if not pid:
            return
        # By itself it would stop one program after the other.
        processes.wait_until(lambda: not any(map(self._forked_only, self._call("getAllProcessInfo"))), _START_TIMEOUT)
        self._call("stopAllProcesses", False)
        processes.wait_until(lambda: not any(info["pid"] for info in self._call("getAllProcessInfo")), _STOP_TIMEOUT)
        self._call("shutdown")
        if not processes.wait_until(lambda: not processes.exists(pid), _STOP_TIMEOUT):
            raise ServiceError(f"supervisord (pid {pid}) did not end within {_STOP_TIMEOUT} s")
        processes.send(self._left_by(pid), signal.SIGKILL)

    def _pid(self) -> int:
        """Process id of the supervisord that listens on the socket, or 0."""
        try:
            return int(self._call("getPID"))
        except ServiceError as error:
            if isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError)):
                return 0
            raise

    def _write_config(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        nofile = _NOFILE if hard == resource.RLIM_INFINITY else min(_NOFILE, hard)
        for folder in ("conf.d", "enabled"):
            os.makedirs(os.path.join(self._root, folder), exist_ok=True)
        # Engines log what people ask them.
        _store.make_folder(self._logs, 0o750)
        text = supervisor_config(self._root, nofile, "root" if os.geteuid() == 0 else "")
        self._write(self._config, text)

    def _end_orphans(self) -> None:
        """End the programs of a supervisord that was killed: they hold the ports and GPU memory of their successors."""
        try:
            with open(os.path.join(self._root, "supervisord.pid"), encoding="ascii") as file:
                gone = int(file.read())
        except (OSError, ValueError):
            return
        processes.send(self._left_by(gone), signal.SIGTERM)
        processes.wait_until(lambda: not self._left_by(gone), _GRACE)
        processes.send(self._left_by(gone), signal.SIGKILL)

    def _left_by(self, supervisord: int, component: str = "") -> list[int]:
        """Processes started by the supervisord with that process id. component: only those of one program."""
        marks, folder = {f"SUPERVISOR_SERVER_URL=unix://{self._socket}"}, self._data
        if component:
            marks.add(f"SUPERVISOR_PROCESS_NAME={unit_name(component)}")
            folder = os.path.join(folder, component)
        # It opens a session of its own when it becomes a daemon, and its programs stay in it.
        return [pid for pid in processes.of_session(supervisord, marks, folder) if pid != os.getpid()]

    # Programs

    def unit_path(self, component: str) -> str:
        return os.path.join(self._root, "conf.d", unit_name(component) + ".conf")

    def _enabled_path(self, component: str) -> str:
        return os.path.join(self._root, "enabled", unit_name(component) + ".conf")

    def render(self, defn: ServiceDefinition) -> str:
        return supervisor_program(defn, self._logs)

    def install(self, component: str, text: str) -> None:
        self._write(self.unit_path(component), text)
        if self.running():
            self._reread()

    def remove(self, component: str) -> None:
        self.stop(component)
        self.disable(component)
        self._delete(self.unit_path(component))
        if self.running():
            self._reread()

    def _reread(self) -> None:
        self._drop_stray()
        self._call("reloadConfig")

    def _drop_stray(self) -> None:
        """An enabled program whose text is gone would keep supervisord from reading those of all others."""
        with self._enabling:
            for name in _store.list_folder(os.path.join(self._root, "enabled")):
                if not os.path.exists(os.path.join(self._root, "conf.d", name)):
                    self._delete(os.path.join(self._root, "enabled", name))

    def enable(self, component: str) -> None:
        if not os.path.exists(self.unit_path(component)):
            raise ServiceError(f"{self.unit_path(component)} is missing: install {component} first")
        with self._enabling:
            self._write(self._enabled_path(component), supervisor_enabled(component))

    def disable(self, component: str) -> None:
        self._delete(self._enabled_path(component))

    def start(self, component: str) -> None:
        self.ensure_running()
        if self.state(component).sub in (RUNNING, STARTING):
            return
        self.restart(component)

    def restart(self, component: str) -> None:
        self.ensure_running()
        self._reread()  # refuses a text it cannot read while the old program still runs
        self.stop(component)
        name = unit_name(component)
        self._call("addProcessGroup", name)
        # An enabled program may have been started by being added.
        self._call("startProcess", name, False, accept=(_ALREADY_STARTED,))
        processes.wait_until(lambda: not self._forked_only(self._call("getProcessInfo", name)), _START_TIMEOUT)

    def stop(self, component: str) -> None:
        supervisord = self._pid()
        if not supervisord:
            return
        name = unit_name(component)
        if not processes.wait_until(lambda: self._unload(name), _STOP_TIMEOUT):
            raise ServiceError(f"{name} is still there {_STOP_TIMEOUT} s after SIGKILL was due", ("stopProcess", name))
        # Supervisor kills a process group only when its leader does not end in time.
        processes.send(self._left_by(supervisord, component), signal.SIGKILL)

    def _unload(self, name: str) -> bool:
        """One step towards a program that is stopped and not loaded; repeated, as it may be restarting right now."""
        loaded = [info for info in self._call("getAllProcessInfo") if info["name"] == name]
        if loaded and not self._forked_only(loaded[0]):
            self._call("stopProcess", name, False, accept=(_NOT_RUNNING, _BAD_NAME))
            self._call("removeProcessGroup", name, accept=(_STILL_RUNNING, _BAD_NAME))
        return not loaded

    def _forked_only(self, info: t.Mapping[str, t.Any]) -> bool:
        """Whether the process is still a copy of supervisord, which ignores signals, and not yet the program."""
        pid = int(info["pid"])
        return pid > 0 and processes.command_line(pid) == processes.command_line(self._pid())

    def reload(self, component: str) -> None:
        program = configparser.RawConfigParser()
        program.read(self.unit_path(component), encoding="utf-8")
        section = f"program:{unit_name(component)}"
        if not program.has_option(section, "reload_signal"):
            raise ServiceError(f"{component} has no reload signal: restart it")
        if not self.state(component).active:
            raise ServiceError(f"{component} does not run, so it cannot reload")
        self._call("signalProcess", unit_name(component), program.get(section, "reload_signal"))

    def states(self, components: t.Iterable[str]) -> dict[str, ServiceState]:
        up = self.running()
        loaded = {info["name"]: info for info in self._call("getAllProcessInfo")} if up else {}
        # It forgets how a program ended that ended early, but has written it down.
        failing = any(info["statename"] in ("BACKOFF", "FATAL") for info in loaded.values())
        history = _tail(f"{self._logs}/supervisord.log", 1000) if failing else []
        states = {}
        for component in components:
            paths = self.unit_path(component), self._enabled_path(component)
            enabled = all(map(os.path.exists, paths))
            info = loaded.get(unit_name(component))
            if info:
                states[component] = from_supervisor(info, enabled, history)
            elif not os.path.exists(self.unit_path(component)):
                states[component] = ServiceState()
            else:
                result = "" if up else "supervisord is not running"
                states[component] = ServiceState(sub=STOPPED, enabled=enabled, result=result)
        return states

    def logs(self, component: str, lines: int = 20) -> list[str]:
        return _tail(f"{self._logs}/{unit_name(component)}.log", lines)

    # Plumbing

    def _call(self, method: str, *args: t.Any, accept: tuple[int, ...] = ()) -> t.Any:
        """The answer of one call; None for a fault in ``accept``."""
        command = (method, *map(str, args))
        try:
            with xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=_Transport(self._socket)) as proxy:
                return getattr(proxy.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in accept:
                return None
            said = [fault.faultString]
            if fault.faultCode == _SPAWN_ERROR:
                said += _tail(f"{self._logs}/{args[0]}.log", 5)
            raise ServiceError(f"supervisor refused {' '.join(command)}", command, fault.faultCode, said) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise ServiceError(f"cannot reach supervisord on {self._socket}: {error}", command) from error

    def _write(self, path: str, text: str) -> None:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _store.write_atomic(path, text.encode())
        except OSError as error:
            raise ServiceError(f"cannot write {path}: {error.strerror}") from error

    def _delete(self, path: str) -> None:
        try:
            os.unlink(path)
            _store.sync_folder(os.path.dirname(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ServiceError(f"cannot delete {path}: {error.strerror}") from error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=_CALL_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.sock.close()
            raise


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: t.Any) -> http.client.HTTPConnection:
        return _Connection(self._path)


def _tail(path: str, lines: int) -> list[str]:
    """The last lines of a file, of its last 256 KiB; empty when it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
            text = file.read(_LOG_TAIL).decode("utf-8", "replace")
    except OSError:
        return []
    return list(collections.deque(text.splitlines(), lines))
