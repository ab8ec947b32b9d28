# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade that faults meet in the middle of its downloads, what the next run makes of it, and the way back."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import subprocess

from fleet import (
    HIVES,
    HOSTS,
    INSTALL,
    PLACE,
    begin,
    end,
    expect,
    hear,
    holds,
    on,
    service_start,
    states,
    wait_until,
)  # fmt: skip
from gate import Gate

HERE = pathlib.Path(__file__).resolve().parent
ARTEFACTS = HERE.parents[2] / ".cache" / "machines" / "artefacts"
SERVED, CATALOG, MIRROR = PLACE / "served", PLACE / "fleet" / "catalog" / "stand-in.toml", PLACE / "uv.toml"
ADDRESS, PORT = "10.89.77.1", 8001
BALLAST = 8 << 20  # bytes that make a release too large for a pipe or a buffer
OLD, NEW = "1.0", "2.0"
STOPPED = ("hive-1", "hive-2", "hive-3", "hive-5", "hive-6")
ENVIRONMENT = "xllamacpp"


def address(host: str) -> str:
    return f"10.89.77.{10 + int(host.rpartition('-')[2])}"


def publish(catalog: str) -> Gate:
    """Serve the packages of Python that machines install, and a release of the stand-in that is newer than all."""
    SERVED.mkdir()
    for file in ARTEFACTS.iterdir():
        (SERVED / file.name).symlink_to(file)
    content = (HERE.parent / "shared" / "stand_in.py").read_bytes() + b"#" * BALLAST
    (SERVED / f"stand_in-{NEW}.py").write_bytes(content)
    release = f"""
[[release]]
version = "{NEW}"
[release.source.any]
kind = "file"
url = "http://{ADDRESS}:{PORT}/stand_in-{NEW}.py"
name = "stand_in.py"
sha256 = "{hashlib.sha256(content).hexdigest()}"

"""
    head, releases, rest = catalog.partition("[[release]]")
    CATALOG.write_text(head + release + releases + rest)
    MIRROR.write_text(MIRROR.read_text().replace(":8000/", f":{PORT}/"))
    return Gate(SERVED, ADDRESS, PORT)


def installed(host: str) -> str:
    """The version of the stand-in that the host's receipt names."""
    receipt = json.loads(on(host, "cat /opt/rbee/components/stand-in/receipt.json"))
    return str(receipt["version"])


def builds(host: str) -> int:
    """How many runs on a host have begun to build the environment."""
    script = 'grep -l \'"component": "spare".*"step": "fetch"\' /opt/rbee/journal/* || :'
    return len(on(host, script).splitlines())


def second_controller(output: pathlib.Path) -> subprocess.Popen[str]:
    """Somebody else, who installs the third hive anew."""
    options = ["--limit", "hive-3", "-e", "rbee_force=true", "-e", f"rbee_result_file={PLACE}/second.json"]
    with output.open("w") as stream:
        return subprocess.Popen(
            [*INSTALL, *options], stdout=stream, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )


def halfway() -> None:
    catalog, mirror = CATALOG.read_text(), MIRROR.read_text()
    gate = publish(catalog)
    break_an_upgrade(gate)
    carry_on(gate)
    go_back(gate, catalog)
    MIRROR.write_text(mirror)


def break_an_upgrade(gate: Gate) -> None:
    """Five hives have half of the new release when each meets its fault; on the fourth that release does not start."""
    hives = HIVES.read_text().replace(
        'model = "parrot-2", args = ["--until", "/"] }',
        'model = "parrot-2", args = ["--until", "/"] }, { type = "llama-cpp", name = "spare", port = 8081 }',
    )
    sick = hives.replace(
        'model = "parrot-4", args = ["--until", "/"]', 'model = "parrot-4", args = ["--model", "/gone"]'
    )
    HIVES.write_text(sick)
    before = {host: service_start(host, "stand-in") for host in HOSTS[1:]}
    for host in STOPPED:
        gate.hold(address(host))
    run = begin("-v")
    for host in STOPPED:
        wait_until(lambda host=host: gate.waits(address(host), "stand_in"), f"{host} has half of the release")
    wait_until(lambda: gate.waits(address("hive-2"), ENVIRONMENT), "hive-2 builds its environment")

    holder = json.loads(on("hive-1", "cat /opt/rbee/lock"))
    on("hive-1", f"kill -KILL {holder['pid']}")
    on("hive-2", "systemctl stop ssh && pkill -KILL -f '^sshd: ops'")
    output = PLACE / "second"
    second = second_controller(output)
    wait_until(lambda: "hive-3: waiting for process" in output.read_text(), "the second controller waits")
    os.killpg(second.pid, signal.SIGSTOP)  # or it is its turn between the first one's download and switch
    on("hive-5", "dd if=/dev/zero of=/opt/ballast bs=64k 2>/dev/null || :")
    on("hive-6", "mount --bind /opt/rbee /opt/rbee && mount -o remount,bind,ro /opt/rbee")
    gate.release(*map(address, ("hive-1", "hive-3", "hive-5", "hive-6")))

    broken = end(run)
    os.killpg(second.pid, signal.SIGCONT)
    expect("exit code", broken.status, 2)
    wanted = {"queen": "ok", "hive-2": "unreachable", "hive-3": "changed"}
    expect("states", states(broken), {name: wanted.get(name, "failed") for name in HOSTS})
    for host, words in (("hive-1", "was killed"), ("hive-5", "space"), ("hive-6", "Read-only")):
        holds(f"reason of {host}", broken.hosts[host], words)
    component = next(item for item in broken.hosts["hive-4"]["components"] if item["name"] == "stand-in")
    expect("the worker of hive-4 whose new release does not start", component["state"], "rolled-back")
    for host in ("hive-1", "hive-2", "hive-5", "hive-6"):
        expect(f"the old worker of {host}", service_start(host, "stand-in"), before[host])
    expect("version on hive-4", installed("hive-4"), OLD)
    expect(f"exit code of the second controller: {output.read_text()}", second.wait(), 0)
    expect("version on hive-3", installed("hive-3"), NEW)

    on("hive-2", "systemctl start ssh")
    on("hive-5", "rm /opt/ballast")
    on("hive-6", "umount /opt/rbee")
    HIVES.write_text(hives)


def carry_on(gate: Gate) -> None:
    """The next run follows the one that still builds on the second hive, and does the rest."""
    run = begin("-v")
    hear(run, "spare: fetch release")
    gate.release(address("hive-2"))
    mended = end(run)
    expect("exit code", mended.status, 0)
    wanted = {"queen": "ok", "hive-3": "ok"}
    expect("states", states(mended), {name: wanted.get(name, "changed") for name in HOSTS})
    expect("versions", {installed(host) for host in HOSTS[1:]}, {NEW})
    expect("builds of the environment", builds("hive-2"), 1)
    for host in HOSTS[1:]:
        expect(f"leftovers on {host}", on(host, "find /opt/rbee -name '.rbee-*' -o -path '*/staging/*'"), "")


def go_back(gate: Gate, catalog: str) -> None:
    """The release before is still on every hive, so that nothing has to be reached for it."""
    gate.close()
    MIRROR.write_text(MIRROR.read_text().replace(f":{PORT}/", ":9/"))
    CATALOG.write_text(catalog)
    back = end(begin("-v", "-e", "rbee_downgrade=true"))
    expect("exit code", back.status, 0)
    expect("states", states(back), {name: "ok" if name == "queen" else "changed" for name in HOSTS})
    expect("versions", {installed(host) for host in HOSTS[1:]}, {OLD})
    expect("whether anything was fetched or brought", "fetch" in back.said or "obtain" in back.said, False)
