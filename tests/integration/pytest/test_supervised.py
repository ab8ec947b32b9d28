# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account that may not ask supervisor still knows: the agent's own account, and any other."""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _bundle, _interpreter
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run things as other accounts")

OWNER, OTHER = "nobody", "daemon"
BOTH = ("runs", "stopped")

LOOK = f"""
import dataclasses, json, sys
from {_bundle.PACKAGE} import _supervised
_supervised.queens_account = lambda _account: "{OWNER}"
states = _supervised.states(sys.argv[1], sys.argv[2:])
json.dump({{name: dataclasses.asdict(state) for name, state in states.items()}}, sys.stdout)
"""


@pytest.fixture
def supervised(host: Host) -> Host:
    """A host on which ``runs`` and ``queen`` run and ``stopped`` does not, all as OWNER."""
    folder = host.prefix.parent
    folder.chmod(0o755)
    host.prefix.mkdir()
    start = folder / "start"
    start.write_text("#!/bin/sh\nexec sleep 1000\n")
    start.chmod(0o755)
    for name in ("queen", *BOTH):
        data = folder / name
        data.mkdir()
        definition = ServiceDefinition(
            name=name, start=str(start), data_dir=str(data), user=OWNER, prefix=str(host.prefix)
        )
        host.manager.install(name, host.manager.render(definition))
    host.manager.start("runs")
    host.manager.start("queen")
    return host


def seen_by(account: str, host: Host, *names: str) -> dict[str, dict[str, t.Any]]:
    """The states of components that an account sees. OWNER counts as the queen's account, too."""
    agent = host.prefix.parent / "rbee-hive"
    agent.write_bytes(_bundle.build("rbee-hive"))
    python = _interpreter.find_interpreter(">=3.9", for_service=True).path
    done = subprocess.run(
        [python, "-c", LOOK, str(host.prefix), *names],
        env={"PYTHONPATH": str(agent)},
        cwd="/",
        user=account,
        group=pwd.getpwnam(account).pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, dict[str, t.Any]] = json.loads(done.stdout)
    return found


def test_the_account_of_a_worker_sees_whether_it_runs(supervised: Host) -> None:
    asked = supervised.manager.states(["runs", "stopped"])
    seen = seen_by(OWNER, supervised, *BOTH)
    for name, state in asked.items():
        assert [seen[name][key] for key in ("active", "sub", "pid", "enabled")] == [
            state.active, state.sub, state.pid, state.enabled,
        ]  # fmt: skip
    assert seen["runs"]["since"] == pytest.approx(asked["runs"].since, abs=2)


def test_the_account_of_a_worker_sees_that_supervisor_is_gone(supervised: Host) -> None:
    supervised.manager.shutdown()
    seen = seen_by(OWNER, supervised, *BOTH)
    assert {name: (state["sub"], state["result"]) for name, state in seen.items()} == {
        "runs": ("stopped", "supervisord is not running"),
        "stopped": ("stopped", "supervisord is not running"),
    }


def test_another_account_claims_nothing_that_it_cannot_see_and_knows_the_queen_by_hers(supervised: Host) -> None:
    asked = supervised.manager.state("queen")
    seen = seen_by(OTHER, supervised, *BOTH, "queen")
    assert {name: (state["sub"], state["pid"]) for name, state in seen.items()} == {"queen": (asked.sub, asked.pid)}


def test_another_process_with_the_old_number_is_not_taken_for_supervisor(supervised: Host) -> None:
    supervised.manager.shutdown()
    pathlib.Path(supervised.prefix, "supervisor", "supervisord.pid").write_text(f"{os.getpid()}\n")
    account = pwd.getpwnam(OWNER)
    alike = subprocess.Popen(
        ["sleep", "1000"], env={"SUPERVISOR_PROCESS_NAME": "rbee-runs"}, user=account.pw_uid, group=account.pw_gid
    )
    try:
        assert seen_by(OWNER, supervised, *BOTH)["runs"]["sub"] == "stopped"
    finally:
        alike.kill()
        alike.wait()
