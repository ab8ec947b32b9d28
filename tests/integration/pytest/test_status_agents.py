# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status on a fleet of many agents: who answers takes no process, who does not is looked at over ssh.

The agents are real servers of the node library on addresses of this machine; what they say is made up.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._agent_http import AgentServer, Cached
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import TREE, free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.plays import Plays
from ansible_collections.rbee.fleet.tests.unit.plugins.plugin_utils.status_states import agent, state

ADDRESSES = {f"hive-{number}": f"127.0.2.{number}" for number in range(1, 13)}
SILENT, ODD, DRIFTED = "hive-3", "hive-5", "hive-7"
PREFIX = "/nowhere/rbee"
SSH = """#!/bin/sh
echo "ssh: no way to that host" >&2
exit 255
"""
HIVE = """
[[hive]]
alias = "{0}"
hostname = "{1}"
ssh_user = "{0}"
hive_port = {2}
"""


class Fleet(t.NamedTuple):
    """A folder with a configuration and an ssh that reaches nobody; and what the agents say, by hive."""

    folder: pathlib.Path
    says: dict[str, dict[str, t.Any]]
    plays: Plays

    def status(self, *options: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
        ours = {"ANSIBLE_COLLECTIONS_PATH": str(TREE), "ANSIBLE_SSH_EXECUTABLE": str(self.folder / "ssh")}
        return self.plays.run({**kept, **ours}, "rbee.fleet.status", "-i", "rbee.yml", *options)

    def document(self, *options: str) -> tuple[dict[str, t.Any], int]:
        """What the playbook found, and its exit status."""
        path = self.folder / "made" / "status.json"
        path.unlink(missing_ok=True)
        done = self.status("-e", f"rbee_status_json={path}", *options)
        assert path.exists(), done.stdout + done.stderr
        return json.loads(path.read_text()), done.returncode


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    folder, port = tmp_path_factory.mktemp("fleet"), free_port()
    (folder / "ansible.cfg").write_text("")
    (folder / "rbee.yml").write_text("plugin: rbee.fleet.hives\n")
    (folder / "rbee.conf").write_text(f'[fleet]\nname = "demo"\nscope = "user"\nprefix = "{PREFIX}"\n')
    (folder / "hives.conf").write_text("".join(HIVE.format(*item, port) for item in ADDRESSES.items()))
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)
    says: dict[str, dict[str, t.Any]] = {}
    servers = []
    for name, address in ADDRESSES.items():
        says[name] = state(agent(address=address, port=port, version="bundled"), prefix=PREFIX)
        if name != SILENT:
            servers.append(AgentServer(address, port, Cached(lambda name=name: says[name], fresh=0.0)))
    says[ODD] = {"host": {}, "components": []}
    says[DRIFTED]["components"][0]["version"] = "0.1"
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers]
    for thread in threads:
        thread.start()
    with contextlib.closing(Plays(folder)) as plays:
        yield Fleet(folder, says, plays)
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def hosts_with_tasks(output: str) -> set[str]:
    """From Ansible's recap, which leaves out hosts that no process worked for."""
    return set(re.findall(r"^([\w-]+) +: ok=", output.split("PLAY RECAP")[1], re.MULTILINE))


def test_only_hosts_whose_agent_gave_no_answer_take_a_process(fleet: Fleet) -> None:
    done = fleet.status("--limit", "rbee_hives")
    assert hosts_with_tasks(done.stdout) == {"hive-1", SILENT, ODD}
    assert "\n12 hives: 9 ok, 1 drift, 2 unreachable\n" in done.stdout
    assert re.findall(r"^(hive-\d+) \(", done.stdout, re.MULTILINE) == list(ADDRESSES)
    assert done.returncode != 0


def test_every_hive_has_its_state_its_source_and_its_reason(fleet: Fleet) -> None:
    found, status = fleet.document("--limit", "rbee_hives")
    assert (found["schema"], found["fleet"], found["queen"]) == (1, "demo", None)
    assert status != 0
    told = {name: (host["state"], host["source"]) for name, host in found["hosts"].items()}
    lost = dict.fromkeys((SILENT, ODD), ("unreachable", ""))
    assert told == {**dict.fromkeys(ADDRESSES, ("ok", "http")), DRIFTED: ("drift", "http"), **lost}
    assert found["hosts"][SILENT]["agent"].startswith("connection refused on 127.0.2.3:")
    assert "no way to that host" in found["hosts"][SILENT]["reason"]
    assert found["hosts"][ODD]["agent"] == "its answer is not of the expected shape"
    assert found["hosts"][DRIFTED]["drift"] == ["hive has version 0.1, declared is bundled"]


def test_a_limit_chooses_hives_and_success_needs_no_more_than_a_look(fleet: Fleet) -> None:
    found, status = fleet.document("--limit", f"hive-2,{DRIFTED}")
    assert list(found["hosts"]) == ["hive-2", DRIFTED]
    assert status == 0


def test_one_process_does_for_all_that_answer(fleet: Fleet) -> None:
    done = fleet.status("--limit", "hive-1,hive-2,hive-4,hive-6")
    assert done.returncode == 0
    assert hosts_with_tasks(done.stdout) == {"hive-1"}
    assert "\n4 hives: 4 ok\n" in done.stdout


def test_tags_choose_components(fleet: Fleet) -> None:
    found, status = fleet.document("--limit", f"hive-1,{DRIFTED}", "--tags", "workers")
    assert (found["hosts"], status) == ({}, 0)
    assert list(fleet.document("--limit", "hive-1", "--tags", "hives")[0]["hosts"]) == ["hive-1"]


def test_a_deep_look_asks_no_agent(fleet: Fleet) -> None:
    found, status = fleet.document("--limit", "hive-1", "-e", "rbee_verify=deep")
    assert (found["hosts"]["hive-1"]["state"], status != 0) == ("unreachable", True)
    assert "no digests" in found["hosts"]["hive-1"]["agent"]


def test_a_file_that_cannot_be_written_is_an_error_after_the_status(fleet: Fleet) -> None:
    done = fleet.status("--limit", "hive-1", "-e", "rbee_status_json=/dev/null/status.json")
    assert "1 hive: 1 ok" in done.stdout
    assert "/dev/null/status.json cannot be written" in " ".join(done.stdout.split() + done.stderr.split())
    assert done.returncode != 0
