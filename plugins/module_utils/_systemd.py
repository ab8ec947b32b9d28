# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components as systemd services, of the system or of one user; works with systemd 240 and newer."""

from __future__ import annotations

import os
import pwd
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._program import Finished, run_program
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ServiceError,
    ServiceManager,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._state import from_systemd, from_timer
from ansible_collections.rbee.fleet.plugins.module_utils._unit import (
    ServiceDefinition,
    systemd_unit,
    unit_name,
    units_of,
    with_timer,
)

# Seconds for calls that do not wait for a service; the others are bounded by its TimeoutStopSec.
_CALL_TIMEOUT = 60
_STOP_TIMEOUT = 7200  # a stop takes as long as the unit allows

# systemctl(1), Exit Status: stopping a unit that systemd does not know
_NOT_LOADED = 5

# Of org.freedesktop.systemd1(5). All are in systemd 235 and newer. Timestamps that people read depend on locale and
# time zone, so the monotonic one is taken.
_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "MainPID",
    "UnitFileState",
    "NRestarts",
    "Result",
    "ExecMainStartTimestampMonotonic",
    "ExecMainCode",
    "ExecMainStatus",
    "ActiveEnterTimestampMonotonic",
)


class SystemdManager(ServiceManager):
    """systemd over systemctl. scope: ``system`` (needs root) or ``user`` (the manager of the calling user).

    A component with a schedule has a timer beside its service. The timer is then what is enabled, started, stopped and
    restarted; a run of the service that is at work ends by itself, unless the component is stopped.
    """

    name = "systemd"

    def __init__(self, scope: str) -> None:
        self._user = scope == "user"
        self._account = pwd.getpwuid(os.getuid())
        self._runtime = f"/run/user/{self._account.pw_uid}"
        self._folder = "/etc/systemd/system"
        if self._user:
            self._folder = os.path.join(self._account.pw_dir, ".config/systemd/user")
        self._environ = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        if self._user:
            # Absent after su, sudo and cron, which open no session.
            self._environ["XDG_RUNTIME_DIR"] = self._runtime

    def check(self) -> None:
        """ServiceError when the user has no manager that outlives the session."""
        if not self._user:
            return
        user = self._account.pw_name
        lingers = os.path.exists(f"/var/lib/systemd/linger/{user}")
        if not lingers:
            raise ServiceError(
                f"services of {user} would end with the session: as root, run: loginctl enable-linger {user}"
            )
        if not os.path.exists(f"{self._runtime}/systemd/private"):
            raise ServiceError(
                f"systemd runs no user manager for {user} (no {self._runtime}/systemd/private):"
                f" as root, run: systemctl start user@{self._account.pw_uid}.service"
            )

    def unit_path(self, component: str) -> str:
        return os.path.join(self._folder, _service(component))

    def _timer_path(self, component: str) -> str:
        return os.path.join(self._folder, _timer(component))

    def installed(self, component: str) -> t.Optional[str]:
        service = super().installed(component)
        timer = _store.read_text(self._timer_path(component))
        return service if service is None else with_timer(service, timer or "")

    def render(self, defn: ServiceDefinition) -> str:
        return systemd_unit(defn)

    def install(self, component: str, text: str) -> None:
        if self._user:
            os.makedirs(self._folder, exist_ok=True)
        service, timer = units_of(text)
        try:
            _store.write_atomic(self.unit_path(component), service.encode())
            if timer:
                _store.write_atomic(self._timer_path(component), timer.encode())
        except OSError as error:
            raise ServiceError(f"cannot write {self.unit_path(component)}: {error.strerror}") from error
        if not timer and self._has_timer(component):
            self._systemctl("disable", "--now", _timer(component))
            os.unlink(self._timer_path(component))
        self._systemctl("daemon-reload")

    def remove(self, component: str) -> None:
        self.stop(component)
        units = {self.unit_path(component): _service(component), self._timer_path(component): _timer(component)}
        there = [path for path in units if os.path.exists(path)]
        if there:
            self._systemctl("disable", *(units[path] for path in there))
            for path in there:
                os.unlink(path)
            _store.sync_folder(self._folder)
            self._systemctl("daemon-reload")
        # A failed unit stays in memory, and its name with it, until it is forgotten.
        self._call("reset-failed", _service(component))

    def _has_timer(self, component: str) -> bool:
        return os.path.exists(self._timer_path(component))

    def _driver(self, component: str) -> str:
        """The unit that makes a component run."""
        return _timer(component) if self._has_timer(component) else _service(component)

    def enable(self, component: str) -> None:
        self._systemctl("enable", self._driver(component))

    def disable(self, component: str) -> None:
        self._systemctl("disable", self._driver(component))

    def start(self, component: str) -> None:
        self._begin("start", component)

    def restart(self, component: str) -> None:
        self._begin("restart", component)

    def _begin(self, verb: str, component: str) -> None:
        # Clears the start limit, which counts our own starts too; it may fail: a unit not yet loaded has none.
        self._call("reset-failed", _service(component))
        self._systemctl(verb, self._driver(component), wait=True)

    def stop(self, component: str) -> None:
        timer = [_timer(component)] if self._has_timer(component) else []
        self._systemctl("stop", *timer, _service(component), wait=True, accept=_NOT_LOADED)

    def reload(self, component: str) -> None:
        self._systemctl("reload", _service(component))

    def states(self, components: t.Iterable[str]) -> dict[str, ServiceState]:
        names = list(components)
        if not names:
            return {}
        timers = {name: _timer(name) for name in names if self._has_timer(name)}
        command = ["show", "--property=" + ",".join(_PROPERTIES), "--", *map(_service, names), *timers.values()]
        out = self._systemctl(*command)
        offset = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
        shown = {block.get("Id", ""): block for block in blocks}
        states = {name: from_systemd(shown.get(_service(name), {}), offset) for name in names}
        return states | {name: from_timer(shown.get(timer, {}), states[name], offset) for name, timer in timers.items()}

    def logs(self, component: str, lines: int = 20) -> list[str]:
        scope = "--user-unit" if self._user else "--unit"
        command = ["journalctl", f"{scope}={_service(component)}", f"--lines={lines}", "--no-pager", "--output=cat"]
        done = self._run(command, _CALL_TIMEOUT)
        return done.stdout.splitlines() if done.status == 0 else []

    def _systemctl(self, *args: str, wait: bool = False, accept: int = 0) -> str:
        """Standard output of a systemctl call; ServiceError unless it exits with 0 or ``accept``."""
        done = self._call(*args, wait=wait)
        if done.status not in (0, accept):
            stderr = [line for line in done.stderr.splitlines() if line.strip()]
            raise ServiceError(f"systemctl {' '.join(args)} exited with {done.status}", args, done.status, stderr[-5:])
        return done.stdout

    def _call(self, *args: str, wait: bool = False) -> Finished:
        scope = ["--user"] if self._user else []
        return self._run(["systemctl", *scope, "--no-pager", *args], _STOP_TIMEOUT if wait else _CALL_TIMEOUT)

    def _run(self, command: list[str], timeout: float) -> Finished:
        try:
            return run_program(command, timeout, env=self._environ)
        except SourceError as error:
            raise ServiceError(str(error), command) from error


def _service(component: str) -> str:
    return unit_name(component) + ".service"


def _timer(component: str) -> str:
    return unit_name(component) + ".timer"
