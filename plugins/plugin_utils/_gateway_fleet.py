# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the queen has to know of a fleet, and what its parts are called in HAProxy's configuration, logs and metrics."""

from __future__ import annotations

import dataclasses

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import slug

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class GatewayHive:
    """A hive as clients see it: its name, which stands in URL paths, and where its agent listens."""

    alias: str
    address: str
    port: int

    @property
    def path(self) -> str:
        """The path under which the queen reaches the agent."""
        return f"/hives/{self.alias}/"

    @property
    def backend(self) -> str:
        """Name of the HAProxy backend that reaches the agent, as logs and metrics show it."""
        return f"hive:{slug(self.alias)}"


@dataclasses.dataclass(frozen=True)
class GatewayWorker:
    """A worker that the queen can reach.

    name: unique on its hive; like the hive's it stands in URL paths, so it has only letters that are not escaped there.
    models: names that clients may ask for; none for a worker that is reached by its own name only.
    health_path: answers 200 when the worker is ready; empty means that an accepted connection is enough.
    agent_port: where the hive's agent tells, at the same address, whether the worker is to get requests; 0 for nowhere.
    perhaps: whether it serves them only where its hive takes a build that can serve several.
    """

    hive: str
    name: str
    type: str
    address: str
    port: int
    models: tuple[str, ...] = ()
    health_path: str = ""
    agent_port: int = 0
    perhaps: bool = False

    @property
    def path(self) -> str:
        """``<hive>/<name>``, as it stands in URLs."""
        return f"{self.hive}/{self.name}"

    @property
    def backend(self) -> str:
        """Name of the HAProxy backend that reaches this worker alone, as logs and metrics show it."""
        return f"worker:{slug(self.hive)}:{slug(self.name)}"


@dataclasses.dataclass(frozen=True)
class Gateway:
    """What the queen needs to know of a fleet.

    api_key_secret: name of the secret with the accepted keys, one a line; empty means that no key is asked for.
    max_request_bytes: largest body that is read to find its model.
    memory_bytes: what HAProxy may hold in buffers; bounds the number of connections.
    page: the HTML that is answered to people at ``/``; empty for none.
    """

    fleet: str
    bind: str = "127.0.0.1"
    port: int = 8500
    api_key_secret: str = ""
    max_request_bytes: int = 8 * MIB
    memory_bytes: int = 4096 * MIB
    hives: tuple[GatewayHive, ...] = ()
    workers: tuple[GatewayWorker, ...] = ()
    page: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a worker serves, sorted."""
        return tuple(sorted({model for worker in self.workers for model in worker.models}))


def model_backend(model: str) -> str:
    """Name of the HAProxy backend that serves a model, as logs and metrics show it."""
    return f"model:{slug(model)}"
