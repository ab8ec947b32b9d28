# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine as the only host of a fleet, which playbooks install in a temporary folder, in the scope of the user."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import typing as t
import urllib.error
import urllib.request

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.plays import Plays

ROOT = pathlib.Path(__file__).resolve().parents[3]

NEEDS = [
    pytest.mark.skipif(
        os.path.isdir("/run/systemd/system"), reason="would install services for the user of this machine"
    ),
    pytest.mark.skipif(not shutil.which("haproxy", path=os.defpath + ":/usr/sbin:/sbin"), reason="haproxy is missing"),
]

ENGINE = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(" ".join(sys.argv[3:]).encode())

http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
TYPE = """
    kind = "worker"
    summary = "answers with its arguments"
    port = {port}
    command = ["{{python}}", "{{release}}/engine.py", "{{address}}", "{{port}}"]
    health.path = "/health"
    [[release]]
    version = "1"
    [release.source.any]
    kind = "file"
    name = "engine.py"
    path = "{path}"
    sha256 = "{sha256}"
    """


SETTINGS = "[connection]\npipelining = true\n"  # as init writes it


class Machine:
    """A folder for a project, with a catalog that has the worker type ``engine``, and free ports.

    collections: where the collection is found. environment: variables of a run, beside those of the tests.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.collections, self.environment = ROOT / ".cache" / "collections", dict[str, str]()
        self.folder, self.prefix = folder, folder / "fleet"
        self._plays = Plays(folder)
        self.ports = {name: free_port() for name in ("queen", "hive", "engine")}
        engine = folder / "engine.py"
        engine.write_text(ENGINE)
        digest = hashlib.sha256(ENGINE.encode()).hexdigest()
        self.write("catalog/engine.toml", TYPE.format(port=self.ports["engine"], path=engine, sha256=digest))
        self.write("ansible.cfg", SETTINGS)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def play(self, playbook: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Runs a playbook as a user whose home is the folder."""
        return self._plays.run(self._environment(), playbook, *options)

    def type(self, line: str) -> str:
        """Types a line of a shell in the folder, as that user. Returns what a command that succeeds prints."""
        environment = {**self._environment(), "no_proxy": "*"}
        environment["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), environment["PATH"]])
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, playbook: str, *options: str, **more: t.Any) -> subprocess.Popen[str]:
        """Begins to, as a process of its own. more: of Popen."""
        command = [sys.executable, "-m", "ansible", "playbook", playbook, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=self._environment(), text=True, **{**pipes, **more})

    def close(self) -> None:
        self._plays.close()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
        ours = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "HOME": str(self.folder),
        }
        return {**kept, **ours, **self.environment}

    def changes(self, playbook: str, *options: str) -> int:
        """How many tasks of a run that succeeds change something."""
        done = self.play(playbook, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", done.stdout))

    def get(self, port: str, path: str, key: str = "") -> tuple[int, str]:
        """Status and body; 0 when nothing listens."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[port]}{path}", headers=headers)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except urllib.error.URLError:
            return 0, ""


@contextlib.contextmanager
def machine(supervisor_environment: pathlib.Path) -> t.Iterator[Machine]:
    """A machine that is left without process and file, whatever the tests did."""
    found = Machine(pathlib.Path(tempfile.mkdtemp(prefix="rbee-")))
    try:
        yield found
    finally:
        found.close()
        if (found.prefix / "supervisor").exists():
            SupervisorManager(str(found.prefix), str(supervisor_environment)).shutdown()
        shutil.rmtree(found.folder)
