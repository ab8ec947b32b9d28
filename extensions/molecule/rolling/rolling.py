# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades a fleet while clients stream answers through its queen, and counts those that failed.

Runs beside the machines of the scenario. RBEE_UPGRADES: how many upgrades, 1 unless it says otherwise.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request

from load import Load

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
HIVES = PLACE / "fleet" / "hives.conf"
INSTALL = ["ansible-playbook", "-i", str(PLACE / "inventory"), "rbee.fleet.install", "-v"]
NAMES = ("hive-1", "hive-2", "hive-3")
QUEEN = ("10.89.77.10", 8500)
KEY = os.environ["RBEE_API_KEY"]
UPGRADES = int(os.environ.get("RBEE_UPGRADES", "1"))
MOMENT = 600.0  # seconds that anything may take
BETWEEN = 12  # answers before, between and after upgrades


def wait_until(condition: t.Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + MOMENT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {MOMENT:.0f} s: {what}")
        time.sleep(0.1)


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}")


def get(hive: str, path: str) -> str:
    """What a worker answers through the queen; nothing while it does not."""
    address = f"http://{QUEEN[0]}:{QUEEN[1]}/workers/{hive}/llama-cpp/{path}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {KEY}"})
    try:
        with urllib.request.urlopen(request, timeout=MOMENT) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError:
        return ""


def context(hive: str) -> int:
    """The tokens that the worker was started for."""
    wait_until(lambda: bool(get(hive, "props")), f"the queen sees {hive}")
    found: int = json.loads(get(hive, "props"))["default_generation_settings"]["n_ctx"]
    return found


def answered(hive: str) -> bool:
    """Whether the worker has written anything since it was started."""
    counters = dict(line.rsplit(" ", 1) for line in get(hive, "metrics").splitlines() if not line.startswith("#"))
    return float(counters.get("llamacpp:tokens_predicted_total", 0)) > 0


def go_on(load: Load) -> None:
    """Let some more requests pass, until each worker has answered."""
    enough = load.count + BETWEEN
    wait_until(lambda: load.count >= enough and all(map(answered, NAMES)), "every worker answers")


def upgrade(size: int) -> int:
    """Start every worker again with a context of so many tokens. Returns the number of waves."""
    HIVES.write_text(HIVES.read_text().replace(f'"{context("hive-1")}"', f'"{size}"'))
    done = subprocess.run(INSTALL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    line = next((line for line in done.stdout.splitlines() if line.startswith("switching in ")), "not in waves")
    sys.stdout.write(f"upgrade to {size}: {line}\n")
    expect("waves", line.partition(":")[0], f"switching in {len(NAMES)} waves")
    expect("contexts", [context(hive) for hive in NAMES], [size] * len(NAMES))
    return len(NAMES)


def main() -> None:
    load = Load(*QUEEN, "smollm2", KEY)
    wait_until(lambda: all(get(hive, "health") for hive in NAMES) and not load.ask(), "all workers are up")
    waves, during = 0, 0
    with load:
        for number in range(UPGRADES):
            go_on(load)
            before = load.count
            waves += upgrade((2048, 1024)[number % 2])
            during += load.count - before
        go_on(load)
    for failure in load.failures[:20]:
        sys.stdout.write(f"  {failure}\n")
    sys.stdout.write(
        f"{load.count} streamed requests, {during} of them while {waves} waves went through, "
        f"{len(load.failures)} failed or were cut off\n"
    )
    expect("failures", len(load.failures), 0)
    if during < BETWEEN:
        raise SystemExit(f"only {during} requests during the upgrades")


if __name__ == "__main__":
    main()
