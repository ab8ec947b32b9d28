# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback rbee.fleet.report, in real runs of the playbooks."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import pathlib
import pty
import re
import signal
import subprocess
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.tests.integration.pytest.play_machine import NEEDS, SETTINGS, Machine, machine

pytestmark = NEEDS

CHUNK = 256 * 1024
WEIGHTS = os.urandom(CHUNK) * 128  # 32 MiB
ANSI = "\x1b["

ENGINE = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        held = os.path.exists(sys.argv[3])
        self.send_response(503 if held else 200)
        self.end_headers()
        self.wfile.write(b'{"error": "loading the model"}' if held else b"{}")

http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
TYPE = """
    kind = "worker"
    summary = "is ready when a file is gone"
    model = "optional"
    model_format = "gguf"
    port = {port}
    command = ["{{python}}", "{{release}}/engine.py", "{{address}}", "{{port}}", "{held}"]
    model_command = ["{{model_path}}"]
    health.path = "/health"
    health.timeout = 600
    [[release]]
    version = "1"
    [release.source.any]
    kind = "file"
    name = "engine.py"
    path = "{path}"
    sha256 = "{sha256}"
    """
CONFIGURATION = {
    "rbee.conf": """
        fleet = {{ scope = "user", prefix = "{prefix}" }}
        queen = {{ mode = "attached-hive", attached_hive_alias = "desk", port = {queen} }}
        """,
    "hives.conf": """
        [[hive]]
        alias = "desk"
        hostname = "localhost"
        hive_port = {hive}
        workers = [{{ type = "engine", model = "weights" }}]
        """,
    "models.conf": """
        [[model]]
        name = "weights"
        source = "url"
        url = "{url}/weights.gguf"
        sha256 = "{sha256}"
        """,
}
STRANGER = """
    - name: Somebody else's play
      hosts: localhost
      gather_facts: false
      tasks:
        - name: Say
          ansible.builtin.debug:
            msg: "{{ item }}"
          loop: [one, two]

        - name: Fail
          ansible.builtin.fail:
            msg: as it should
          ignore_errors: true

        - name: Change
          ansible.builtin.copy:
            content: text
            dest: "{{ playbook_dir }}/changed-{{ run }}"
            mode: "0600"
    """
OWN = """
    - name: A play of one's own
      hosts: rbee
      gather_facts: false
      strategy: "{{ chosen }}"
      tasks:
        - name: Converge
          rbee.fleet.components:
            components: "{{ rbee_components }}"
            names: [engine]
            tools: "{{ rbee_tools }}"
            scope: user
            prefix: "{{ rbee_fleet.prefix }}"
            force: true
    """
ENABLED = "[defaults]\ncallbacks_enabled = rbee.fleet.report\n[rbee_report]\ninterval = {interval}\n" + SETTINGS
WAITS = r"^desk  engine +waiting for health, \d+ of 600 s: answered 503: loading the model$"
TASK = ("--tags", "workers", "-i", "rbee.yml")


class Drip:
    """A file behind HTTP, which comes in drops until ``opened`` is set."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        drip = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(WEIGHTS)))
                self.end_headers()
                for start in range(0, len(WEIGHTS), CHUNK):
                    drip.opened.wait(1)
                    self.wfile.write(WEIGHTS[start : start + CHUNK])

            def log_message(self, *_arguments: t.Any) -> None:
                """Nobody reads it."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Fleet:
    """A hive with a worker whose model comes in drops, and which is ready when nobody holds it."""

    def __init__(self, machine: Machine, drip: Drip) -> None:
        self.machine, self.drip, self.hold = machine, drip, machine.folder / "held"
        path = machine.folder / "engine.py"
        path.write_text(ENGINE)
        digest = hashlib.sha256(ENGINE.encode()).hexdigest()
        text = TYPE.format(port=machine.ports["engine"], path=path, sha256=digest, held=self.hold)
        machine.write("catalog/engine.toml", text)
        machine.write("rbee.yml", "plugin: rbee.fleet.hives\n")
        values = {"prefix": machine.prefix, "url": drip.url, "sha256": hashlib.sha256(WEIGHTS).hexdigest()}
        for name, text in CONFIGURATION.items():
            machine.write(name, text.format(**machine.ports, **values))
        self.enable()

    def enable(self, interval: float = 0.5) -> None:
        self.machine.write("ansible.cfg", ENABLED.format(interval=interval))

    def disable(self) -> None:
        self.machine.write("ansible.cfg", SETTINGS)

    def again(self, *options: str) -> str:
        """Brings the worker once more, and starts it anew; what was shown."""
        done = self.machine.play("rbee.fleet.install", *TASK, "-e", "rbee_force=true", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(supervisor_environment: pathlib.Path) -> t.Iterator[tuple[Fleet, str]]:
    """A fleet, and what was shown while it was installed for the first time, with everything slow."""
    drip = Drip()
    with machine(supervisor_environment) as found, contextlib.closing(drip.server.socket):
        fleet = Fleet(found, drip)
        fleet.hold.touch()
        running = found.start("rbee.fleet.install", *TASK, stderr=subprocess.STDOUT)
        shown = read_until(running, r"^desk  model-weights +fetching weights\.gguf  .* of 32\.0 MiB \(\d+ %\)")
        drip.opened.set()
        shown += read_until(running, WAITS)
        fleet.hold.unlink()
        shown += running.communicate(timeout=600)[0]
        assert running.returncode == 0, shown
        yield fleet, shown
        drip.server.shutdown()


@pytest.fixture
def fleet(installed: tuple[Fleet, str]) -> Fleet:
    installed[0].enable()
    return installed[0]


def read_until(running: subprocess.Popen[str], pattern: str) -> str:
    """What is shown up to the line that matches."""
    shown = ""
    for line in running.stdout or ():
        shown += line
        if re.search(pattern, line):
            return shown
    raise AssertionError(f"ended without {pattern!r}:\n{shown}")


def test_a_download_and_a_health_gate_are_shown_while_they_last(installed: tuple[Fleet, str]) -> None:
    shown = installed[1]
    assert re.search(r"^desk  model-weights +installed in [\d.]+ s$", shown, re.MULTILINE)
    assert re.search(r"^desk  engine +installed in [\d.]+ s$", shown, re.MULTILINE)
    assert shown.index("fetching weights.gguf") < shown.index("waiting for health") < shown.index("desk  changed\n")
    assert ANSI not in shown


def test_one_who_did_not_ask_for_it_gets_the_summary_alone(fleet: Fleet) -> None:
    fleet.disable()
    shown = fleet.again()
    assert re.findall("^desk  [^ ].*", shown, re.MULTILINE) == ["desk  changed"]


def test_with_v_every_step_is_said_once(fleet: Fleet) -> None:
    shown = fleet.again("-v")
    steps = re.findall(r"^desk  engine +(\S.*)$", shown, re.MULTILINE)
    assert {"restarting service", "waiting for health, up to 600 s", "writing receipt"} <= set(steps)
    assert len(steps) == len(set(steps))
    assert "<desk> engine:" not in shown
    assert shown.index("downtime: model weights has one replica, on desk,") < shown.index("restarting service")


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_a_play_of_ones_own_shows_it_too_whatever_its_strategy(fleet: Fleet, strategy: str) -> None:
    fleet.machine.write("own.yml", OWN)
    done = fleet.machine.play("own.yml", "-i", "rbee.yml", "-e", f"chosen={strategy}", "--forks", "1")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^desk  engine +updated in [\d.]+ s$", done.stdout, re.MULTILINE)
    assert done.stdout.index("desk  engine ") < done.stdout.index("changed: [desk]")


def test_without_it_v_says_the_steps_as_ever(fleet: Fleet) -> None:
    fleet.disable()
    shown = fleet.again("-v")
    assert shown.count("<desk> engine: restart service\n") == 1


def test_the_output_of_others_is_as_it_was(fleet: Fleet) -> None:
    fleet.machine.write("stranger.yml", STRANGER)
    enabled = fleet.machine.play("stranger.yml", "-e", "run=1")
    fleet.disable()
    disabled = fleet.machine.play("stranger.yml", "-e", "run=2")
    assert enabled.stdout == disabled.stdout and "as it should" in enabled.stdout
    assert enabled.stderr == disabled.stderr


def test_a_program_that_reads_the_output_gets_nothing_of_ours(fleet: Fleet) -> None:
    fleet.machine.write("callbacks/quiet_json.py", """
        from ansible.plugins.callback import CallbackBase

        DOCUMENTATION = "name: quiet_json\\ntype: stdout\\nshort_description: s\\ndescription: d\\n"

        class CallbackModule(CallbackBase):
            CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "quiet_json"

            def v2_playbook_on_stats(self, stats):
                self._display.display("{}")
        """)  # fmt: skip
    settings = ENABLED.format(interval=1).replace(
        "[defaults]\n", "[defaults]\nstdout_callback = quiet_json\ncallback_plugins = callbacks\n"
    )
    fleet.machine.write("ansible.cfg", settings)
    done = fleet.machine.play("rbee.fleet.install", *TASK, "-e", "rbee_force=true")
    assert done.stdout == "{}\n"
    assert re.search(r"^desk  engine +updated in", done.stderr, re.MULTILINE)
    assert "desk  changed\n" in done.stderr


@pytest.mark.parametrize(("plain", "coloured"), [("0", True), ("1", False)])
def test_a_terminal_has_colours_unless_it_does_not_want_them(
    fleet: Fleet, plain: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", plain)
    shown = on_a_terminal(fleet.machine, "rbee.fleet.install", *TASK, "-e", "rbee_force=true")
    line = next(line for line in shown.splitlines() if "engine" in line and "updated in" in line)
    assert (ANSI in line) == coloured


def on_a_terminal(machine: Machine, playbook: str, *options: str) -> str:
    leader, follower = pty.openpty()
    running = machine.start(playbook, *options, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while block := os.read(leader, 65536):
            shown += block
    os.close(leader)
    assert running.wait(60) == 0, shown.decode()
    return shown.decode()


def test_an_interrupt_ends_the_run_and_the_next_one_says_what_it_waits_for(fleet: Fleet) -> None:
    fleet.hold.touch()
    options = (*TASK, "-e", "rbee_force=true")
    running = fleet.machine.start(
        "rbee.fleet.install",
        *options,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored when we run in the background
    )
    read_until(running, WAITS)
    for _press in range(
        6
    ):  # ansible-core may end a fork while that holds the queue of results; then it waits for another
        os.killpg(running.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.communicate(timeout=10)
            break
    assert running.returncode not in (None, 0)
    running = fleet.machine.start("rbee.fleet.install", *options, stderr=subprocess.STDOUT)
    read_until(running, r"^desk  host +waiting for process \d+ for .* since ")
    fleet.hold.unlink()
    shown = running.communicate(timeout=600)[0]
    assert running.returncode == 0 and re.search(r"^desk  engine +updated in", shown, re.MULTILINE), shown
