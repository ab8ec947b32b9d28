# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is killed at a chosen step of what it does to the disk, and a service manager that outlives it."""

from __future__ import annotations

import itertools
import os
import pathlib
import select
import signal
import subprocess
import typing as t
from unittest import mock

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._service import (
    ABSENT,
    RUNNING,
    STOPPED,
    ServiceManager,
    ServiceState,
)
from ansible_collections.rbee.fleet.plugins.module_utils._unit import MARK, ServiceDefinition

# Everything by which the node library changes a disk or starts something, but for writing into an open file.
CALLS = (
    "rename",
    "replace",
    "link",
    "symlink",
    "mkdir",
    "unlink",
    "rmdir",
    "fsync",
    "chmod",
    "fchmod",
    "fork",
    "ftruncate",
)


def killed_at(step: int, work: t.Callable[[], t.Any]) -> bool:
    """Do the work in a process that is killed before its call number *step*, from 1; False when it ends before that."""
    child = os.fork()
    if not child:
        status = 1
        try:
            numbers = itertools.count(1)

            def counted(call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
                def die_or_call(*args: t.Any, **options: t.Any) -> t.Any:
                    if next(numbers) == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*args, **options)

                return die_or_call

            for name in CALLS:
                mock.patch.object(os, name, counted(getattr(os, name))).start()
            mock.patch.object(_store, "_exchange", counted(_store._exchange)).start()
            work()
            status = 0
        finally:
            os._exit(status)
    _pid, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the work failed before it was killed"
    return bool(status)


def killed_after(seconds: float, work: t.Callable[[], t.Any]) -> bool:
    """Do the work in a process that is killed after so many seconds; False when it ends before that."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    ends = os.pidfd_open(child)
    select.select([ends], [], [], seconds)
    os.close(ends)
    os.kill(child, signal.SIGKILL)
    _pid, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the work failed before it was killed"
    return bool(status)


class PaperManager(ServiceManager):
    """Keeps in files what a service manager would do: texts, what is enabled, and the generation that runs."""

    name = "paper"

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def _mark(self, kind: str, component: str) -> pathlib.Path:
        return self._folder / f"{component}.{kind}"

    def running(self, component: str) -> str:
        """The generation that was current when the component was started, or nothing."""
        return _store.read_text(str(self._mark("runs", component))) or ""

    def unit_path(self, component: str) -> str:
        return str(self._mark("unit", component))

    def render(self, defn: ServiceDefinition) -> str:
        return f"{defn.start}\n{defn.stop_timeout}\n{MARK}\n"

    def install(self, component: str, text: str) -> None:
        _store.write_atomic(self.unit_path(component), text.encode())

    def remove(self, component: str) -> None:
        for kind in ("runs", "enabled", "unit"):
            self._mark(kind, component).unlink(missing_ok=True)

    def enable(self, component: str) -> None:
        self._mark("enabled", component).touch()

    def disable(self, component: str) -> None:
        self._mark("enabled", component).unlink(missing_ok=True)

    def start(self, component: str) -> None:
        if not self.running(component):
            self.restart(component)

    def restart(self, component: str) -> None:
        start = self.start_script(component)
        self._mark("runs", component).write_text(os.path.basename(os.path.realpath(os.path.dirname(start))))

    def reload(self, component: str) -> None:
        self.restart(component)

    def stop(self, component: str) -> None:
        self._mark("runs", component).unlink(missing_ok=True)

    def states(self, components: t.Iterable[str]) -> dict[str, ServiceState]:
        found = {}
        for component in components:
            runs = bool(self.running(component))
            known = self._mark("unit", component).exists()
            sub = RUNNING if runs else STOPPED if known else ABSENT
            enabled = self._mark("enabled", component).exists()
            found[component] = ServiceState(active=runs, sub=sub, pid=1 if runs else 0, enabled=enabled)
        return found

    def logs(self, component: str, lines: int = 20) -> list[str]:
        return []

    def start_script(self, component: str) -> str:
        """What this service manager would run."""
        return pathlib.Path(self.unit_path(component)).read_text().splitlines()[0]

    def would_say(self, component: str) -> str:
        """What the component says when it is started now, as after a reboot."""
        done = subprocess.run([self.start_script(component)], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip()
