# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets a hive that pulls up as docs/pulling.md says, changes the repository, and checks what the hive makes of itself.

Runs beside the machine of the scenario and serves the repository to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from pages import ELSEWHERE, File, steps  # noqa: E402  # it lies beside the tests that it is for

PAGE = "docs/pulling.md"
PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SERVED, WORK = PLACE / "git", PLACE / "work"
SITE = WORK / "sites" / "one"
HERE, THERE = "10.89.77.1", "10.89.77.11"  # this machine, and the hive, as they see each other
REPOSITORY = f"git://{HERE}/fleet"
DATA = "/opt/rbee/data/pull"
KEY = pathlib.Path("/etc/rbee-api-key")
OTHER_TIMES = "/run/systemd/system/rbee-pull.timer.d"
SSH = f"-o UserKnownHostsFile={PLACE}/known_hosts -o StrictHostKeyChecking=yes -o ConnectTimeout=60"
KEY_OF_OPS = PLACE / "id_ed25519"
MOMENT = 600.0  # seconds that anything may take


class Pull(t.NamedTuple):
    """A pull that has ended: whether its service succeeded, what it recorded, and what the playbook did here."""

    succeeded: bool
    recorded: dict[str, t.Any]
    host: dict[str, t.Any]


def play(playbook: str, *options: str) -> str:
    return typed(shlex.join(["ansible-playbook", f"rbee.fleet.{playbook}", *options]))


def typed(command: str, shown: str = "") -> str:
    """Type a line in the folder of the configuration. Returns what it prints. shown: what to say that it was."""
    environment = {**os.environ, "ANSIBLE_PRIVATE_KEY_FILE": str(KEY_OF_OPS), "ANSIBLE_SSH_COMMON_ARGS": SSH}
    environment.pop("ANSIBLE_CONFIG", None)  # molecule's
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=SITE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"$ {shown or command}", done.returncode, flush=True)  # noqa: T201  # for whoever watches the scenario
    if done.returncode:
        raise SystemExit(done.stdout)
    return done.stdout


def typed_there(command: str) -> str:
    """Type a line on the hive, as who has logged in."""
    return typed(f"ssh {SSH} -i {KEY_OF_OPS} ops@{THERE} {shlex.quote(command)}", f"ssh ops@{THERE} {command}")


def on(script: str) -> str:
    """Run a script of sh on the machine, as root. Returns what it prints."""
    done = subprocess.run(["podman", "exec", "hive-1", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script}: {done.stdout}{done.stderr or done.returncode}")
    return done.stdout.strip()


def commit(name: str, text: str) -> str:
    """Change a file in the repository. Returns the commit."""
    (SITE / name).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Change {name}")
    git("push", "--quiet", str(SERVED / "fleet"), "HEAD:main")
    return git("rev-parse", "HEAD")


def git(*words: str) -> str:
    who = ("-c", "user.name=ops", "-c", "user.email=ops@example.com")
    return subprocess.run(["git", *who, *words], cwd=WORK, capture_output=True, text=True, check=True).stdout.strip()


def pull() -> Pull:
    """Start the service, as its timer does, and wait for its end."""
    on("systemctl start rbee-pull.service || true")  # it fails where a pull does, which is what its record is read for
    return last()


def last() -> Pull:
    recorded = json.loads(on(f"cat {DATA}/last-pull.json"))
    report = json.loads(on(f"cat {DATA}/last-run.json 2>/dev/null || echo null"))
    about = {key: recorded[key] for key in ("rc", "seconds", "commit", "reason")}
    print("pull", json.dumps(about), flush=True)  # noqa: T201  # for whoever watches the scenario
    if "Traceback" in on("journalctl --unit=rbee-pull.service --output=cat"):
        raise SystemExit(on("journalctl --unit=rbee-pull.service --output=cat"))
    return Pull(recorded["rc"] == 0, recorded, report["hosts"]["hive-1"] if report else {})


def expect(what: str, found: t.Any, wanted: t.Any) -> None:
    if found != wanted:
        log = on("journalctl --unit=rbee-pull.service --output=cat --lines=80")
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}\n{log}")


def wait_until(condition: t.Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + MOMENT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {MOMENT:.0f} s: {what}")
        time.sleep(0.2)


def starts(*names: str) -> str:
    """Which processes these services have."""
    return on("systemctl show --property=MainPID,ExecMainStartTimestampMonotonic " + " ".join(names))


SERVICES = ("rbee-queen", "rbee-hive", "rbee-stand-in")


def as_the_page_says() -> None:
    """Installed once over ssh, a timer waits, and a pull finds nothing to change in what was pushed."""
    said = {}
    for step in steps((ROOT / PAGE).read_text(), {"https://git.example.com/fleet.git": REPOSITORY}):
        if isinstance(step, File):
            there = (SITE / step.name).read_text()
            commit(step.name, f'{there}\n{step.content}folder = "{SITE.relative_to(WORK)}"\n')
        elif step.text not in ELSEWHERE:
            type_it = typed if step.text.startswith("ansible-playbook ") else typed_there
            said[step.text] = type_it(step.text)
    expect("the list of timers", "rbee-pull.service" in said["systemctl list-timers rbee-pull.timer"], True)
    expect("the journal", "rbee-pull" in said["sudo journalctl -u rbee-pull.service"], True)
    expect("the record", json.loads(said[f"cat {DATA}/last-pull.json"])["rc"], 0)


def nothing_to_do() -> None:
    shown = on("systemctl show --property=ActiveState,UnitFileState,NextElapseUSecMonotonic rbee-pull.timer")
    expect("the timer", re.findall("ActiveState=active|UnitFileState=enabled|Monotonic=[1-9]", shown).__len__(), 3)
    before = starts(*SERVICES)
    found = pull()
    owners = on(f"stat --format=%U:%a {DATA} {DATA}/checkout {DATA}/last-pull.json {DATA}/last-run.json").split()
    expect("who may read and write what", owners, ["root:755", "root:700", "root:644", "root:600"])
    expect("another pull", (found.succeeded, found.host["state"]), (True, "ok"))
    expect("the services after it", starts(*SERVICES), before)
    said = play("install")
    expect("an install after it", re.findall(r"changed=(\d+)", said), ["0"] * said.count("changed="))


def a_commit() -> None:
    """The hive makes it so, once."""
    text = (SITE / "hives.conf").read_text()
    one = '{ type = "stand-in", model = "parrot" },'
    more = one + '\n  { type = "stand-in", model = "parrot", name = "spare", port = 9001 },'
    made = commit("hives.conf", text.replace(one, more))
    found = pull()
    expect("a pull of it", (found.succeeded, found.recorded["commit"], found.host["state"]), (True, made, "changed"))
    changed = {item["name"]: item["state"] for item in found.host["components"] if item["changed"]}
    expect("what it changed", changed, {"queen": "updated", "spare": "installed"})
    expect(
        "the new worker",
        on("python3 -c \"import urllib.request as r; print(r.urlopen('http://10.89.77.11:9001/health').status)\""),
        "200",
    )
    before = starts(*SERVICES, "rbee-spare")
    found = pull()
    expect("the next pull", (found.succeeded, found.recorded["commit"], found.host["state"]), (True, made, "ok"))
    expect("the services after it", starts(*SERVICES, "rbee-spare"), before)


def starts_after(delay: str) -> None:
    """Let the timer start a pull so long after itself, and a day after the pull before."""
    timer = f"[Timer]\\nOnActiveSec=\\nOnActiveSec={delay}\\nOnUnitInactiveSec=1d\\nRandomizedDelaySec=0\\n"
    on(f"mkdir -p {OTHER_TIMES} && printf '{timer}' >{OTHER_TIMES}/times.conf && systemctl daemon-reload")


def the_timer() -> None:
    """It starts a pull, which repairs what somebody did by hand, though the repository is as it was."""
    on("systemctl stop rbee-spare")
    starts_after("1s")
    on("systemctl restart rbee-pull.timer")
    wait_until(lambda: on("systemctl is-active rbee-spare || true") == "active", "the pull of the timer")
    wait_until(lambda: on("systemctl is-active rbee-pull.service || true") == "inactive", "its end")
    expect("what it did", last().host["state"], "changed")
    starts_after("1d")


def a_broken_commit() -> None:
    """Everything stays as it is; the record, the journal, the agent and the status say why."""
    text, before = (SITE / "hives.conf").read_text(), starts(*SERVICES, "rbee-spare")
    commit("hives.conf", text.replace("ssh_user", "ssh_usr"))
    found = pull()
    expect("a pull of a mistake", found.succeeded, False)
    mistake = "hives.conf:4: hive[0].ssh_usr: unknown key; did you mean 'ssh_user'?"
    expect("its record", mistake in "\n".join(found.recorded["log"]), True)
    expect("its journal", mistake in on("journalctl --unit=rbee-pull.service --output=cat"), True)
    expect("the services after it", starts(*SERVICES, "rbee-spare"), before)
    metrics = on(
        "python3 -c \"import urllib.request as r; print(r.urlopen('http://10.89.77.11:8600/metrics').read().decode())\""
    )
    expect("the agent", re.findall(r"^rbee_pull_last_run_success\{.*\} (\d)$", metrics, re.MULTILINE), ["0"])
    git("reset", "--quiet", "--hard", "HEAD~1")
    said = play("status")
    expect("the reason", found.recorded["reason"].endswith(mistake), True)
    expect("the status", f"pull is failed: {found.recorded['reason']}" in " ".join(said.split()), True)
    git("push", "--quiet", "--force", str(SERVED / "fleet"), "HEAD:main")
    found = pull()
    expect("a pull of what was before", (found.succeeded, found.host["state"]), (True, "ok"))


def itself() -> None:
    """A pull that changes how it pulls goes on to its end."""
    commit("rbee.conf", (SITE / "rbee.conf").read_text().replace("interval = 30", "interval = 90"))
    found = pull()
    changed = [item["name"] for item in found.host["components"] if item["changed"]]
    expect("a pull that changes itself", (found.succeeded, set(changed)), (True, {"pull", "queen"}))  # her receipt too
    on(f"rm -r {OTHER_TIMES} && systemctl daemon-reload")
    expect("the new interval", "1h 30min" in on("systemctl show --property=TimersMonotonic rbee-pull.timer"), True)


@contextlib.contextmanager
def served() -> t.Iterator[None]:
    daemon = ["git", "daemon", "--export-all", f"--base-path={SERVED}", f"--listen={HERE}", "--reuseaddr"]
    with subprocess.Popen(daemon) as running:
        try:
            yield
        finally:
            running.terminate()


def main() -> None:
    shutil.copytree(PLACE / "fleet", SITE)
    SERVED.mkdir()
    git("init", "--quiet", "--bare", "--initial-branch=main", str(SERVED / "fleet"))
    git("init", "--quiet", "--initial-branch=main")
    typed("ansible-playbook rbee.fleet.init -e config=.")
    key = shlex.quote(os.environ["RBEE_API_KEY"])
    on(f"umask 077; echo {key} >{KEY}")
    KEY.write_text(os.environ["RBEE_API_KEY"])
    starts_after("1d")  # of itself it would pull at a random moment of the next minutes
    with served():
        as_the_page_says()
        nothing_to_do()
        a_commit()
        the_timer()
        a_broken_commit()
        itself()
    play("uninstall", "-e", "rbee_purge=true")
    on(f"rm {KEY}")


if __name__ == "__main__":
    main()
