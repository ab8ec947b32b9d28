# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fails leaves the old release running, says why, and stops nobody else."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import socket
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _disk, _health
from ansible_collections.rbee.fleet.plugins.module_utils._converge import ConvergeError
from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Source
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import (
    DYING,
    QUICK,
    SICK,
    WAKING,
    Host,
    wait_until,
)

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("mode", "options", "reason", "log"),
    [
        (SICK, {"health": QUICK}, "not ready within 3 s: answered 503: the model does not load", "2 is sick"),
        (DYING, {}, "process exited with 1", "out of memory"),
    ],
    ids=[SICK, DYING],
)
def test_an_upgrade_that_does_not_become_healthy_is_rolled_back_and_says_so(
    mode: str, options: dict[str, Health], reason: str, log: str, host: Host
) -> None:
    old, other = host.worker(), host.worker("other")
    first = host.run(old, other)
    newer = host.worker("other", version="2", port=other.port)
    answer = host.run(host.worker(version="2", mode=mode, port=old.port, **options), newer)
    outcome = answer.of("w")
    assert answer.states == {"w": "rolled-back", "other": "updated"}
    assert outcome["reason"] == f"did not become healthy: {reason}"
    assert log in "\n".join(outcome["logs"])
    assert (outcome["version"], outcome["generation"]) == ("1", first.of("w")["generation"])
    assert answer.result["failed"] and reason in answer.result["msg"]
    assert host.answers(old) and host.answers(newer)
    assert not host.run(old, newer).changed


def test_what_is_put_back_has_the_time_it_was_installed_with(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    wait = _health.wait_healthy

    def note(url: str, timeout: float, *rest: t.Any) -> _health.HealthResult:
        given.append(timeout)
        return wait(url, timeout, *rest)

    monkeypatch.setattr(_health, "wait_healthy", note)
    old = host.worker(health=Health("/health", 100))
    host.run(old)
    assert host.run(host.worker(version="2", mode=DYING, port=old.port)).states == {"w": "rolled-back"}
    assert given == [100, 60, 100]


def test_an_upgrade_that_was_rolled_back_is_tried_again(host: Host) -> None:
    old = host.worker()
    sick = host.worker(version="2", mode=SICK, port=old.port, health=QUICK)
    host.run(old)
    assert [host.run(sick).states["w"] for _i in range(2)] == ["rolled-back", "rolled-back"]
    assert host.run(host.worker(version="3", port=old.port)).states == {"w": "updated"}


def test_a_worker_that_takes_a_while_is_waited_for(host: Host) -> None:
    assert host.run(host.worker(mode=WAKING)).states == {"w": "installed"}


def test_a_first_install_that_fails_leaves_nothing_that_starts_by_itself(host: Host) -> None:
    worker, other = host.worker(mode=SICK, health=QUICK), host.worker("other")
    answer = host.run(worker, other)
    assert answer.states == {"w": "failed", "other": "installed"}
    assert "the model does not load" in answer.of("w")["reason"]
    assert answer.of("w")["logs"] == ["version 1 is sick"]
    assert not os.path.exists(host.manager.unit_path("w"))
    host.manager.shutdown()
    host.manager.ensure_running()
    with pytest.raises(ConnectionError):
        host.ask(worker)
    host.uninstall()
    assert not host.prefix.exists()


def test_an_upgrade_that_the_service_manager_refuses_is_rolled_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = host.worker()
    host.run(old)
    restart = SupervisorManager.restart
    refusals = iter([ServiceError("supervisor refused it")])

    def refuse_once(self: SupervisorManager, name: str) -> None:
        for error in refusals:
            raise error
        restart(self, name)

    monkeypatch.setattr(SupervisorManager, "restart", refuse_once)
    answer = host.run(host.worker(version="2", port=old.port))
    assert answer.states == {"w": "rolled-back"}
    assert answer.of("w")["reason"] == "supervisor refused it"
    assert host.answers(old)


def test_a_rollback_that_fails_as_well_tells_both_reasons(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old = host.worker()
    host.run(old)

    def refuse(_self: SupervisorManager, _name: str) -> None:
        raise ServiceError("supervisor refused it")

    with monkeypatch.context() as patch:
        patch.setattr(SupervisorManager, "restart", refuse)
        answer = host.run(host.worker(version="2", port=old.port))
    assert answer.states == {"w": "failed"}
    assert answer.of("w")["reason"] == "supervisor refused it; going back failed too: supervisor refused it"
    host.run(old)
    assert host.answers(old)


def test_an_error_that_nobody_foresaw_is_rolled_back_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    old = host.worker()
    host.run(old)
    failures = iter([KeyError("pid")])
    restart = SupervisorManager.restart

    def fail_once(self: SupervisorManager, name: str) -> None:
        for error in failures:
            raise error
        restart(self, name)

    monkeypatch.setattr(SupervisorManager, "restart", fail_once)
    answer = host.run(host.worker(version="2", port=old.port))
    assert answer.states == {"w": "rolled-back"}
    assert "unexpected KeyError" in answer.of("w")["reason"]
    assert host.answers(old)


def test_a_configuration_that_the_program_refuses_disturbs_nothing(host: Host) -> None:
    old = host.worker()
    host.run(old)
    before = host.ask(old)["pid"], os.readlink(host.layout.current("w"))
    refuse = ("sh", "-c", "echo line 3: no such backend >&2; exit 1")
    bad = dataclasses.replace(old, env={"GREETING": "2"}, check=refuse)
    answer = host.run(bad)
    assert answer.states == {"w": "failed"}
    assert "line 3: no such backend" in answer.of("w")["reason"]
    assert (host.ask(old)["pid"], os.readlink(host.layout.current("w"))) == before


def test_a_model_that_cannot_be_fetched_fails_what_serves_it_and_nothing_else(host: Host) -> None:
    lost = Source("file", url=f"file://{host.artefacts}/gone.gguf", sha256="0" * 64, name="gone.gguf")
    answer = host.run(host.model(source=lost), host.worker("a", model="m"), host.worker("b"))
    assert answer.states == {"m": "failed", "a": "failed", "b": "installed"}
    assert "gone.gguf cannot be read" in answer.of("m")["reason"]
    assert answer.of("a")["reason"].startswith("needs m, which failed: ")
    assert not os.path.lexists(host.layout.current("a"))


def test_a_wrong_digest_changes_nothing_and_names_both(host: Host) -> None:
    old = host.worker()
    host.run(old)
    found = host.server("2")
    wrong = dataclasses.replace(found, sha256="0" * 64, size=0)
    before = host.snapshot("journal", "lock", "cache")
    answer = host.run(host.worker(version="2", port=old.port, source=wrong))
    assert answer.states == {"w": "failed"}
    assert "0" * 64 in answer.of("w")["reason"] and found.sha256 in answer.of("w")["reason"]
    assert {path: found[1:3] for path, found in host.snapshot("journal", "lock", "cache").items()} == {
        path: found[1:3] for path, found in before.items()
    }
    assert not any("0" * 64 in name for name in os.listdir(host.layout.cache))
    assert host.answers(old)


def test_a_cached_file_is_verified_on_every_use(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    cached = host.prefix / "cache" / worker.variants[0].sources["any"].sha256
    release = host.prefix / "releases" / "stand-in" / host.run(worker).of("w")["release"] / "serve.py"
    text = cached.read_text()
    for path in (cached, release):
        path.unlink()
    cached.write_text(text.replace("does not load", "does not lead"))
    host.run(worker)
    assert cached.read_text() == release.read_text() == text


def artefacts(host: Host) -> list[str]:
    return [name for name in os.listdir(host.layout.cache) if len(name) == 64]


def test_a_model_is_on_the_disk_once(host: Host) -> None:
    release = host.run(host.model()).of("m")["release"]
    (cached,) = artefacts(host)
    assert pathlib.Path(host.layout.cache, cached).samefile(host.prefix / "models" / "m" / release / "model.gguf")


def test_a_model_is_on_the_disk_once_where_files_have_one_name_only(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: str) -> t.NoReturn:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert host.run(host.model()).states == {"m": "installed"}
    assert artefacts(host) == []


def test_a_model_that_is_replaced_or_purged_takes_no_room(host: Host) -> None:
    other = host.worker("other")
    host.run(host.model(text="old"), other)
    host.run(host.model(text="new"), other)
    assert len(artefacts(host)) == 2
    host.uninstall(names=("m",), purge=True)
    assert len(artefacts(host)) == 1
    assert host.answers(other)


def test_a_port_of_another_program_is_a_fault_before_anything_changes(host: Host) -> None:
    old = host.worker()
    host.run(old)
    before = host.snapshot("journal", "lock")
    with socket.create_server((old.address, 0)) as stranger:
        moved = dataclasses.replace(old, port=stranger.getsockname()[1])
        answer = host.run(moved)
    assert answer.states == {"w": "failed"}
    assert answer.of("w")["reason"] == (
        f"port {moved.port} on 127.0.0.1 is taken by another program; stop it or declare another port"
    )
    assert host.snapshot("journal", "lock") == before
    assert host.answers(old)


def test_a_port_of_our_own_is_told_with_its_name_and_the_remedy(host: Host) -> None:
    old = host.worker("before")
    host.run(old)
    renamed = dataclasses.replace(old, name="after")
    answer = host.run(renamed)
    assert answer.of("after")["reason"] == (
        f"port {old.port} on 127.0.0.1 is taken by worker before, which is not declared any more; "
        "remove it with 'sync -e rbee_extra=remove', which brings this one, too, "
        "or on this host with 'rbee-hive remove-worker before', or declare another port"
    )
    assert host.answers(old)
    host.run(old, state="stopped")
    assert host.run(renamed).states == {"after": "installed"}


def test_two_workers_may_pass_on_a_port_in_two_runs(host: Host) -> None:
    old = host.worker("old")
    host.run(old)
    moved, new = dataclasses.replace(old, port=host.worker().port), host.worker("new", port=old.port)
    answer = host.run(moved, new)
    assert answer.states == {"old": "updated", "new": "failed"}
    assert f"is taken by worker old, which moves to port {moved.port}; run again when" in answer.of("new")["reason"]
    assert host.run(moved, new).states == {"old": "ok", "new": "installed"}


def test_what_was_not_asked_for_cannot_fail_a_run(host: Host) -> None:
    old = host.worker("w")
    taken = host.worker("other")
    host.run(old, taken)
    moved = dataclasses.replace(old, port=taken.port)
    answer = host.run(moved, taken, names=("other",))
    assert answer.states == {"other": "ok"}
    assert not answer.result.get("failed")


def test_a_component_of_another_fleet_is_not_touched(host: Host) -> None:
    theirs = dataclasses.replace(host.worker(), fleet="theirs")
    host.run(theirs, fleet="theirs")
    before = host.snapshot("journal", "lock")
    answer = host.run(dataclasses.replace(theirs, fleet="tests", version="2"))
    assert answer.states == {"w": "failed"}
    assert "of fleet 'theirs'" in answer.of("w")["reason"]
    assert host.snapshot("journal", "lock") == before


def test_a_model_of_another_fleet_fails_what_would_serve_it(host: Host) -> None:
    host.run(dataclasses.replace(host.model(), fleet="theirs"), fleet="theirs")
    answer = host.run(host.model(), host.worker(model="m"))
    assert answer.states == {"m": "failed", "w": "failed"}
    assert answer.of("w")["reason"].startswith("its model m: there is a component 'm' of fleet 'theirs'")


@pytest.fixture
def disk(host: Host) -> t.Iterator[None]:
    """Puts the host's prefix on a file system of its own of 80 MiB."""
    host.prefix.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80m", "rbee-test", str(host.prefix)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    yield
    host.close()
    unmount = ["umount", str(host.prefix)]
    wait_until(lambda: not subprocess.run(unmount, capture_output=True, check=False).returncode)  # a run may still end


@contextlib.contextmanager
def read_only(folder: pathlib.Path) -> t.Iterator[None]:
    """Lets nobody write below a folder, but through files that are open."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: pathlib.Path, leave: int) -> pathlib.Path:
    """Take all the space of a file system but so many bytes."""
    ballast = folder / "ballast"
    with open(ballast, "wb") as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(MIB))
    with open(ballast, "ab") as stream:
        stream.truncate(max(0, ballast.stat().st_size - leave))
    return ballast


def test_a_disk_without_room_is_told_before_anything_is_done(host: Host, disk: None) -> None:
    old = host.worker()
    host.run(old)
    fill(host.prefix, 20 * MIB)
    before = host.snapshot()
    answer = host.converge(host.worker(version="2", port=old.port))
    assert answer.result["failed"]
    assert f"not enough space in {host.prefix}" in answer.result["msg"]
    assert host.snapshot() == before
    assert host.answers(old)


@pytest.mark.parametrize("left", [0, 64 * 1024], ids=["at once", "halfway"])
def test_a_disk_that_fills_up_leaves_the_old_release_running(
    left: int, host: Host, disk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = host.worker()
    host.run(old)
    ballast = fill(host.prefix, left)
    monkeypatch.setattr(_disk, "RESERVE", -1 << 40)  # someone else took the reserve meanwhile
    big = host.file("serve.py", "x" * MIB)
    answer = host.run(host.worker(version="2", port=old.port, source=big))
    assert answer.states == {"w": "failed"}
    assert "space" in answer.of("w")["reason"]
    assert host.answers(old)
    ballast.unlink()
    assert not host.run(old).changed
    assert host.leftovers() == []


def test_an_uninstall_works_on_a_full_disk(host: Host, disk: None) -> None:
    host.run(host.worker())
    ballast = fill(host.prefix, 0)
    answer = host.converge(state="absent")
    assert answer.states == {"w": "removed"}, answer
    assert list(host.prefix.iterdir()) == [ballast]


def test_a_read_only_file_system_is_told_and_the_old_release_keeps_running(host: Host, disk: None) -> None:
    old = host.worker()
    host.run(old)
    with read_only(host.prefix):
        assert not host.converge(old).changed
        answer = host.converge(host.worker(version="2", port=old.port))
        assert host.answers(old)
    assert answer.result["failed"]
    assert "Read-only file system" in answer.result["msg"]


def test_a_prefix_that_may_not_be_read_is_a_clear_reason(host: Host) -> None:
    if os.geteuid():
        pytest.skip("becoming someone else needs root")
    worker = host.worker()
    host.run(worker)
    host.prefix.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(ConvergeError, match=f"{host.prefix}.*Permission denied"):
            host.check(worker)
    finally:
        os.seteuid(0)
