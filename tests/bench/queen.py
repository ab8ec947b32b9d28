# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the queen costs against a worker that answers at once, which is another HAProxy: medians and ratios.

    "$(script/bootstrap test)"/bin/python tests/bench/queen.py

Everything is on loopback of this machine: clients, queen and worker share its cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import (  # noqa: E402  # after the path is set
    Gateway,
    GatewayHive,
    GatewayWorker,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_queen import (  # noqa: E402
    Queen,
    free_port,
    wait_until,
)

ROUNDS, SECONDS, CLIENTS, SEQUENTIAL = 5, 2.0, 32, 2000
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 200}]}).encode()
HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)
REQUEST = HEAD.format(len(BODY)).encode() + BODY
WORKER = """
defaults
    mode http
    timeout client 60s
    timeout http-keep-alive 60s
frontend worker
    bind 127.0.0.1:{port}
    http-request return status 200 content-type application/json string '{{"choices":[]}}'
"""


async def ask(port: int, latencies: list[float], go_on: asyncio.Event, most: int = sys.maxsize) -> None:
    """One client that asks again and again on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while go_on.is_set() and len(latencies) < most:
        start = time.perf_counter()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"port {port} answered {head!r}")
        length = next(
            int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - start)
    writer.close()


async def latency(port: int) -> float:
    """Median seconds of a request, one after the other."""
    go_on, latencies = asyncio.Event(), list[float]()
    go_on.set()
    await ask(port, latencies, go_on, SEQUENTIAL)
    return statistics.median(latencies)


async def throughput(port: int) -> float:
    """Answers a second for many clients at once."""
    go_on, latencies = asyncio.Event(), list[float]()
    go_on.set()
    start = time.perf_counter()
    clients = [asyncio.create_task(ask(port, latencies, go_on)) for _number in range(CLIENTS)]
    await asyncio.sleep(SECONDS)
    go_on.clear()
    await asyncio.gather(*clients)
    return len(latencies) / (time.perf_counter() - start)


def say(what: str, value: str) -> None:
    sys.stdout.write(f"{what:<64} {value}\n")


def measure(worker: int, queen: int) -> None:
    waits = [(asyncio.run(latency(worker)), asyncio.run(latency(queen))) for _round in range(ROUNDS)]
    rates = [(asyncio.run(throughput(worker)), asyncio.run(throughput(queen))) for _round in range(ROUNDS)]
    say("cores", str(os.cpu_count()))
    for index, name in enumerate(("worker asked directly", "through the queen")):
        say(f"{name}, one client, median", f"{statistics.median(pair[index] for pair in waits) * 1e6:.0f} us")
        say(f"{name}, {CLIENTS} clients", f"{statistics.median(pair[index] for pair in rates):.0f} requests/s")
    added = statistics.median(through - direct for direct, through in waits)
    say("added by the queen, one client, median of pairs", f"{added * 1e6:.0f} us")
    say("requests/s, queen to worker, median of pairs", f"{statistics.median(b / a for a, b in rates):.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, port = pathlib.Path(name), free_port()
        config = folder / "worker.cfg"
        config.write_text(WORKER.format(port=port))
        worker = subprocess.Popen(["haproxy", "-db", "-f", str(config)])
        served = GatewayWorker("h", "w", "bench", "127.0.0.1", port, ("m",))
        queen = Queen(folder, Gateway("bench", hives=(GatewayHive("h", "127.0.0.1", 1),), workers=(served,)))
        try:
            queen.wait()
            wait_until(lambda: queen.get("/workers/h/w/").status == 200, "the worker to answer")
            measure(port, queen.gateway.port)
        finally:
            queen.close()
            worker.terminate()
            worker.wait()


if __name__ == "__main__":
    main()
