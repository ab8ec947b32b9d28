# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks machines before an install and during upgrades, and checks what the run says of them and what the next does.

Runs beside the machines of the scenario.
"""

from __future__ import annotations

import functools

from fleet import (
    HIVES,
    HOSTS,
    KNOWN_HOSTS,
    begin,
    end,
    expect,
    fault,
    holds,
    on,
    service_start,
    states,
    wait_until,
)  # fmt: skip
from halfway import halfway
from secrecy import keep_secret

GO = "/run/go"  # workers that were told to wait start when it is there; a boot takes it away


def before_an_install() -> None:
    """Each hive is broken in another way; the first has a worker that never becomes healthy, beside one that does."""
    good = KNOWN_HOSTS.read_text()
    keys = dict(line.split(" ", 1) for line in good.splitlines())
    fault("cut", "hive-2")
    KNOWN_HOSTS.write_text(good.replace(keys["10.89.77.13"], keys["10.89.77.11"]))
    on("hive-4", "mv /etc/sudoers.d/ops /root/ops")
    on("hive-5", "mv /usr/bin/python3 /usr/bin/python3.gone")
    for name in ("hive-5", "hive-6"):  # which fill up later
        on(name, "mount -t tmpfs -o mode=755,size=160m tmpfs /opt")
    on("hive-6", "mount -o remount,size=4m /opt")

    run = end(begin("-vvv", "--diff"))
    expect("exit code", run.status, 2)
    keep_secret(run.said)
    wanted = {"queen": "changed", "hive-2": "unreachable", "hive-3": "unreachable"}
    expect("states", states(run), {name: wanted.get(name, "failed") for name in HOSTS})
    reasons = {
        "hive-2": "port 22",
        "hive-3": "Host key verification failed",
        "hive-4": "sudo",
        "hive-5": "python",
        "hive-6": "free",
    }
    for name, word in reasons.items():
        holds(f"reason of {name}", run.hosts[name], word)
    expect(
        "components of hive-1",
        {item["name"]: item["state"] for item in run.hosts["hive-1"]["components"]}["stand-in"],
        "installed",
    )
    expect("to be retried on hive-1", run.failed["hive-1"], ["mute"])

    fault("heal", "hive-2")
    KNOWN_HOSTS.write_text(good)
    on("hive-4", "mv /root/ops /etc/sudoers.d/ops")
    on("hive-5", "mv /usr/bin/python3.gone /usr/bin/python3")
    on("hive-6", "mount -o remount,size=160m /opt")
    HIVES.write_text(HIVES.read_text().replace('args = ["--model", "/gone"]', 'args = ["--until", "/"]'))
    before = service_start("hive-1", "stand-in"), service_start("queen", "queen")
    run = end(begin("-e", "rbee_retry_failed=true"))
    expect("exit code", run.status, 0)
    expect("states", states(run), {name: "skipped" if name == "queen" else "changed" for name in HOSTS})
    expect("what ran already", (service_start("hive-1", "stand-in"), service_start("queen", "queen")), before)

    run = end(begin("-vvv", "--diff"))
    expect("exit code", run.status, 0)
    expect("states", set(states(run).values()), {"ok"})
    keep_secret(run.said)


def is_starting(host: str) -> bool:
    """Whether the worker was started, and waits."""
    return GO in on(host, "ps -eo args")


def during_an_upgrade() -> None:
    """While workers are started again, one hive loses its power, one its cable, and one stands still."""
    HIVES.write_text(HIVES.read_text().replace('"--until", "/"', f'"--until", "{GO}"'))
    run = begin()
    for host, what in (("hive-2", "crash"), ("hive-3", "cut"), ("hive-4", "freeze")):
        wait_until(functools.partial(is_starting, host), f"{host} starts its worker again")
        fault(what, host)
    for host in ("hive-1", "hive-3", "hive-5", "hive-6"):
        on(host, f"touch {GO}")
    broken = end(run)
    expect("exit code", broken.status, 2)
    wanted = {"queen": "ok", "hive-2": "unreachable", "hive-3": "unreachable", "hive-4": "unreachable"}
    expect("states", states(broken), {name: wanted.get(name, "changed") for name in HOSTS})

    fault("boot", "hive-2")
    fault("heal", "hive-3")
    fault("thaw", "hive-4")
    wait_until(lambda: on("hive-2", "systemctl is-system-running || :").strip() == "running", "hive-2 has booted")
    for host in ("hive-2", "hive-4"):
        on(host, f"touch {GO}")
    begun = service_start("hive-3", "stand-in")
    run_2 = end(begin("-e", "rbee_retry_failed=true"))
    expect("exit code", run_2.status, 0)
    for name in ("queen", "hive-1", "hive-5", "hive-6"):
        expect(f"state of {name}", run_2.hosts[name]["state"], "skipped")
    expect("the worker of hive-3, which went on without a connection", service_start("hive-3", "stand-in"), begun)
    run_3 = end(begin())
    expect("exit code", run_3.status, 0)
    expect("states", set(states(run_3).values()), {"ok"})


if __name__ == "__main__":
    before_an_install()
    halfway()
    during_an_upgrade()
