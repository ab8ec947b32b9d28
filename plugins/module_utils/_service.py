# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One interface to the host's service managers.

Components are named without the ``rbee-`` that their services carry. Every method may raise ServiceError.
"""

from __future__ import annotations

import abc
import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _store
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition

# Values of ServiceState.sub
RUNNING, STARTING, STOPPING = "running", "starting", "stopping"
RESTARTING = "restarting"  # it failed and is about to be started again
STOPPED, EXITED, FAILED = "stopped", "exited", "failed"
ABSENT = "absent"  # the service manager does not know it


@dataclasses.dataclass(frozen=True)
class ServiceState:
    """What the service manager says about one component.

    active: its process runs (whether or not it is ready), or the timer that starts it again and again; then a ``sub``
    of FAILED is about its last run. sub: one of the constants above.
    pid: of the main process, 0 when there is none. enabled: starts by itself at boot.
    restarts: automatic restarts since the last start; always 0 where the manager does not count them.
    since: start of the current or last process in seconds since the epoch, 0 when it never ran.
    result: why it does not run, in words such as ``exited with 1``; empty when there is nothing to say.
    """

    active: bool = False
    sub: str = ABSENT
    pid: int = 0
    enabled: bool = False
    restarts: int = 0
    since: float = 0.0
    result: str = ""


class ServiceError(Exception):
    """A service manager refused or could not be reached.

    command: what was run or called. status: its exit status, 0 when it has none. stderr: its last lines.
    """

    def __init__(self, message: str, command: t.Sequence[str] = (), status: int = 0, stderr: t.Sequence[str] = ()):
        self.command, self.status, self.stderr = tuple(command), status, tuple(stderr)
        super().__init__(": ".join([message, *self.stderr]))


class ServiceManager(abc.ABC):
    """Runs components. Installing, enabling and starting are separate steps, as in systemd; each may be repeated."""

    name: str

    @abc.abstractmethod
    def unit_path(self, component: str) -> str:
        """The file that holds the component's text."""

    def installed(self, component: str) -> t.Optional[str]:
        """The text last given to ``install``, or what somebody made of it; None when there is none."""
        return _store.read_text(self.unit_path(component))

    @abc.abstractmethod
    def render(self, defn: ServiceDefinition) -> str:
        """The text for ``install``; ValueError for a definition that the manager cannot express."""

    @abc.abstractmethod
    def install(self, component: str, text: str) -> None:
        """Write the text and make the manager read it. What runs keeps running; the next (re)start follows it."""

    @abc.abstractmethod
    def remove(self, component: str) -> None:
        """Stop and disable the component and delete its text; nothing to do when it is absent."""

    @abc.abstractmethod
    def enable(self, component: str) -> None:
        """Start it by itself whenever the host, or the manager, starts."""

    @abc.abstractmethod
    def disable(self, component: str) -> None:
        """Undo ``enable``; what runs keeps running."""

    @abc.abstractmethod
    def start(self, component: str) -> None:
        """Start it, forgetting earlier failures; returns when the program was executed, not when it is ready."""

    @abc.abstractmethod
    def stop(self, component: str) -> None:
        """Stop it and everything it started, within its stop timeout; returns when it is gone."""

    @abc.abstractmethod
    def restart(self, component: str) -> None:
        """Stop it if it runs, then start it with the text last installed."""

    @abc.abstractmethod
    def reload(self, component: str) -> None:
        """Send the running component its reload signal."""

    @abc.abstractmethod
    def states(self, components: t.Iterable[str]) -> dict[str, ServiceState]:
        """The states of several components in one call; changes nothing, not even what runs."""

    @abc.abstractmethod
    def logs(self, component: str, lines: int = 20) -> list[str]:
        """The last lines that the component wrote, oldest first; empty when there are none or they are unreadable."""

    def state(self, component: str) -> ServiceState:
        """The state of one component."""
        return self.states([component])[component]
