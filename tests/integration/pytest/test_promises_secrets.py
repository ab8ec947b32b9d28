# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets reach the program and nobody else."""

from __future__ import annotations

import json
import os
import pathlib
import stat

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import DYING, Host

SECRET = "s3cr3t with 'quotes' and $HOME"


def worker(host: Host, **options: object) -> Spec:
    files = File("greeting", "1"), File("token", secret="key")
    return host.worker(secret_env={"KEY": "key"}, files=files, mark="1", **options)


def command_lines() -> bytes:
    found = b""
    for entry in os.listdir("/proc"):
        try:
            found += pathlib.Path("/proc", entry, "cmdline").read_bytes() + b"\n"
        except OSError:
            continue
    return found


def test_a_secret_reaches_the_program_as_it_is(host: Host) -> None:
    spec = worker(host)
    host.run(spec, secrets={"key": SECRET})
    assert host.ask(spec)["key"] == SECRET
    assert pathlib.Path(host.layout.current("w"), "files", "token").read_text() == SECRET + "\n"


def test_a_secret_stands_in_no_file_that_others_can_read(host: Host) -> None:
    host.run(worker(host), secrets={"key": SECRET})
    holding = [path for path in host.prefix.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
    assert {path.name for path in holding} == {"secrets.env", "token"}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o007 for path in holding} == {0}


@pytest.mark.parametrize("mode", ["well", DYING])
def test_a_secret_stands_in_no_result_journal_receipt_log_or_command_line(mode: str, host: Host) -> None:
    spec = worker(host, mode=mode)
    process = host.start(spec, secrets={"key": SECRET})
    lines = b""
    while process.poll() is None:
        lines += command_lines()
    assert process.stdout
    said = process.stdout.read()
    assert json.loads(said)["components"]
    assert mode == DYING or b"serve.py" in lines  # one that dies may not be seen at all
    assert b"s3cr3t" not in lines
    assert "s3cr3t" not in said
    for folder in ("journal", "supervisor"):
        for path in (host.prefix / folder).rglob("*"):
            assert not path.is_file() or b"s3cr3t" not in path.read_bytes(), path


def test_a_changed_secret_restarts_and_an_equal_one_does_not(host: Host) -> None:
    spec = worker(host)
    host.run(spec, secrets={"key": "one"})
    assert not host.run(spec, secrets={"key": "one"}).changed
    assert host.run(spec, secrets={"key": "two"}).states == {"w": "updated"}
    assert host.ask(spec)["key"] == "two"


def test_a_secret_that_was_not_given_is_a_fault_before_anything_changes(host: Host) -> None:
    answer = host.check(worker(host))
    assert answer.of("w")["reason"] == "secret 'key' was not given"


def test_a_request_does_not_show_its_secrets(host: Host) -> None:
    request = host.request(worker(host), secrets={"key": SECRET})
    assert "s3cr3t" not in repr(request)
