# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a worker out of the queen's rotation before it is touched, and puts it back when it is well again.

The queen asks the agent about every worker (``agent-check``), so her questions tell how far she has come: at the second
one after a change she has read what was answered to the first. Where nobody asks, there is nothing to wait for.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _drain
from ansible_collections.rbee.fleet.plugins.module_utils._connections import established
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Observed, Plan, serves
from ansible_collections.rbee.fleet.plugins.module_utils._receipts import receipts_on
from ansible_collections.rbee.fleet.plugins.module_utils._request import BROKEN, Outcome
from ansible_collections.rbee.fleet.plugins.module_utils._spec import BUNDLED, HIVE, QUEEN

_SILENCE = 5.0  # seconds without a question after which there is no queen that asks
_POLL = 0.1
_TRY = 5.0  # seconds for an answer of the agent
TOLD = 2  # questions after which the queen knows
# After this many she has also asked the worker itself again: the gateway asks agents every 0.5 s, and every second a
# worker that was down.
SETTLED = 5


class RotationError(Exception):
    """A worker that is left as it is; the message says why."""


class Rotation:
    """The workers of one apply that leave the rotation, of the components that it has to do with."""

    def __init__(
        self,
        layout: Layout,
        fleet: str,
        plans: t.Mapping[str, Plan],
        seen: t.Mapping[str, Observed],
        outcomes: t.Mapping[str, Outcome],
    ):
        self._layout, self._fleet = layout, fleet
        self._models = {name: serves(found) for name, found in seen.items()}
        self._turns = {model: threading.Lock() for models in self._models.values() for model in models}
        self._fallen: dict[str, str] = {}  # the first worker of a model that broke
        # She forgets what she was told when she is reloaded, as the agent does what it was asked.
        self._first = {
            name: threading.Event()
            for name, plan in plans.items()
            if plan.steps and outcomes[name].kind in (QUEEN, HIVE)
        }

    def finished(self, name: str) -> None:
        """Nothing more is done to a component."""
        if name in self._first:
            self._first[name].set()

    @contextlib.contextmanager
    def left(self, outcome: Outcome, port: int, timeout: float, returns: bool = True) -> t.Iterator[None]:
        """Keep a worker out of the rotation while the block runs; one of a model at a time.

        outcome: what becomes of the worker. port: where it listens now. timeout: seconds for the requests it works on.
        returns: whether it comes back, so that the queen is given the time to see it again.
        """
        for event in self._first.values():
            event.wait()
        models = sorted(self._models[outcome.name])  # one order for all, so that no two wait for each other
        with contextlib.ExitStack() as turns:
            for model in models:
                turns.enter_context(self._turns[model])
            fallen = next((model for model in models if model in self._fallen), None)
            if fallen:
                raise RotationError(f"kept as it is, because {self._fallen[fallen]}, which serves {fallen} too, broke")
            try:
                with self._out(outcome.name, port, timeout, returns):
                    yield
            except BaseException:
                self._fallen.update(dict.fromkeys(models, outcome.name))
                raise
            if outcome.state in BROKEN:
                self._fallen.update(dict.fromkeys(models, outcome.name))

    @contextlib.contextmanager
    def _out(self, name: str, port: int, timeout: float, returns: bool) -> t.Iterator[None]:
        where = self._agent()
        if where is None:
            yield
            return
        with _drain.mark(self._layout, name):
            told = heard(lambda: _answered(where, name), TOLD)
            if told:
                _await_end(port, timeout)
            yield
        if told and returns:
            heard(lambda: _answered(where, name), SETTLED)

    def entered(self, name: str) -> None:
        """A worker is well that was down: wait until a queen that asks about it has seen that."""
        where = self._agent()
        found = _answered(where, name) if where else None
        if where and found and found[0] and found[1] < _SILENCE:
            heard(lambda: _answered(where, name), SETTLED)

    def _agent(self) -> t.Optional[tuple[str, int]]:
        """Where the fleet's agent on this host listens, None when the queen asks none here."""
        receipts = receipts_on(self._layout).values()
        agent = next((item for item in receipts if (item.get("kind"), item.get("fleet")) == (HIVE, self._fleet)), None)
        if agent is None or agent.get("source", {}).get("kind", BUNDLED) != BUNDLED:  # the queen asks no other program
            return None
        return str(agent.get("address", "")), int(agent.get("port", 0))


def heard(asked: t.Callable[[], t.Optional[tuple[int, float]]], times: int) -> bool:
    """Wait until the queen was answered that many times more. False when nobody asks.

    asked: how often she was answered and how many seconds ago, None when that cannot be known now.
    """
    first = -1
    heard_at = time.monotonic()
    while True:
        found = asked()
        if found:
            count, silent = found
            first = count if first < 0 or count < first else first  # fewer: the agent was started anew
            if count - first >= times:
                return True
            heard_at = max(heard_at, time.monotonic() - silent) if count else heard_at
            if silent >= _SILENCE:
                return False
        if time.monotonic() - heard_at >= _SILENCE:
            return False
        time.sleep(_POLL)


def _answered(where: tuple[str, int], name: str) -> t.Optional[tuple[int, float]]:
    connection = http.client.HTTPConnection(*where, timeout=_TRY)
    try:
        connection.request("GET", "/v1/drain", headers={"Connection": "close"})
        state = json.loads(connection.getresponse().read())
        asked = state["components"].get(name) or {"answered": 0, "silent": state["silent"]}
        return int(asked["answered"]), float(asked["silent"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None  # an agent that is down or older than this
    finally:
        connection.close()


def _await_end(port: int, timeout: float) -> None:
    """Wait for the end of the connections that are open now: the gateway has one for each request."""
    deadline = time.monotonic() + timeout
    left = _open_at(port)
    while left and time.monotonic() < deadline:
        time.sleep(_POLL)
        left &= _open_at(port)


def _open_at(port: int) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as table:
            found |= established(table.read(), port)
    return found
