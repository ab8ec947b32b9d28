# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run changes what differs and nothing else, and says beforehand what that is."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Health, Service, Spec
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host, free_port, snapshot, wait_until

CACHE = "cache"


def change(spec: Spec, **options: t.Any) -> Spec:
    return dataclasses.replace(spec, **options)


def test_a_second_run_touches_nothing(host: Host) -> None:
    specs = host.model(), host.worker("a", model="m"), host.worker("b"), host.worker("c", auto_start=False)
    host.run(*specs)
    before = host.snapshot(), host.ask(specs[1])["pid"]
    # A directory's time is its content's, so a file that came and went would show.
    again = host.converge(*specs)
    assert not again.changed
    assert again.taken == {}
    assert (host.snapshot(), host.ask(specs[1])["pid"]) == before


def test_a_second_run_asks_no_server_and_builds_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = host.worker()
    host.run(worker)
    shutil.rmtree(host.artefacts)
    started: list[t.Any] = []
    popen = subprocess.Popen

    def record(command: t.Any, *args: t.Any, **options: t.Any) -> t.Any:
        started.append(command)
        return popen(command, *args, **options)

    monkeypatch.setattr(subprocess, "Popen", record)
    assert not host.run(worker).changed
    assert all("-c" in command for command in started), "something else than asking a Python for its version"


def test_a_changed_port_fetches_nothing_and_moves_the_service(host: Host) -> None:
    worker = host.worker()
    first = host.run(worker)
    shutil.rmtree(host.artefacts)
    moved = change(worker, port=free_port())
    second = host.run(moved)
    assert second.states == {"w": "updated"}
    assert second.of("w")["release"] == first.of("w")["release"]
    assert host.answers(moved)
    with pytest.raises(ConnectionError):
        host.ask(worker)


def test_changed_files_reload_what_can_reload(host: Host) -> None:
    worker = host.worker(service=Service(reload_signal="USR2", stop_timeout=5))
    host.run(worker)
    before = host.ask(worker)
    answer = host.run(change(worker, files=(change(worker.files[0], content="new"),)))
    assert "reload service" in answer.taken["w"]
    after = host.ask(worker)
    assert (after["pid"], after["file"]) == (before["pid"], "new")


def test_going_back_needs_no_network(host: Host) -> None:
    old = host.worker(version="1")
    new = host.worker(version="2", port=old.port)
    host.run(old)
    host.run(new)
    assert host.answers(new)
    shutil.rmtree(host.artefacts)
    shutil.rmtree(host.prefix / CACHE)
    (host.prefix / CACHE).mkdir()
    assert host.run(old, downgrade=True).states == {"w": "updated"}
    assert host.answers(old)


def test_an_older_version_is_refused_unless_it_is_asked_for(host: Host) -> None:
    new = host.worker(version="2")
    host.run(new)
    answer = host.run(host.worker(version="1", port=new.port))
    assert (answer.states, answer.changed) == ({"w": "failed"}, False)
    assert answer.of("w")["reason"].startswith("version 2 is installed, and 1 is older")
    assert host.answers(new)


def test_only_the_current_and_the_previous_release_are_kept(host: Host) -> None:
    port = free_port()
    releases = [host.run(host.worker(version=version, port=port)).of("w")["release"] for version in "123"]
    assert sorted(os.listdir(host.prefix / "releases" / "stand-in")) == sorted(releases[1:])
    assert len(os.listdir(host.layout.generations("w"))) == 2


def test_a_release_that_two_workers_share_is_fetched_once_and_kept_while_one_uses_it(host: Host) -> None:
    a, b = host.worker("a"), host.worker("b")
    first = host.run(a, b)
    assert [sum("fetch" in step for step in first.taken[name]) for name in "ab"] == [1, 0]
    assert host.answers(a) and host.answers(b)
    for version in "23":
        host.run(host.worker("a", version=version, port=a.port), b)
    assert not host.run(host.worker("a", version="3", port=a.port), b).changed
    assert host.answers(b)


def test_a_release_that_a_person_damaged_is_made_anew_and_all_that_run_from_it_restart(host: Host) -> None:
    a, b = host.worker("a"), host.worker("b")
    release = host.run(a, b).of("a")["release"]
    pids = [host.ask(worker)["pid"] for worker in (a, b)]
    (host.prefix / "releases" / "stand-in" / release / "serve.py").unlink()
    again = host.run(a, b)
    assert again.states == {"a": "updated", "b": "updated"}
    assert not set(pids) & {host.ask(worker)["pid"] for worker in (a, b)}
    assert not host.run(a, b).changed


def test_a_release_that_the_chosen_worker_shares_with_another_is_fetched_for_it(host: Host) -> None:
    a, b = host.worker("a"), host.worker("b")
    answer = host.run(a, b, names=("b",))
    assert answer.states == {"b": "installed"}
    assert host.answers(b)


def test_a_deep_look_finds_what_sizes_and_times_do_not_show(host: Host) -> None:
    worker = host.worker()
    release = host.run(worker).of("w")["release"]
    path = host.prefix / "releases" / "stand-in" / release / "serve.py"
    status = path.stat()
    path.write_text(path.read_text().replace("out of memory", "out of memorx"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not host.check(worker).changed
    assert host.run(worker, deep=True).changed
    assert "out of memory" in path.read_text()


def test_a_component_that_is_stopped_stays_so_until_it_is_started(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    stopped = host.run(worker, state="stopped")
    assert stopped.changed
    assert not host.answers(worker)
    assert not host.run(worker).changed
    newer = host.worker(version="2", port=worker.port)
    assert host.run(newer).states == {"w": "updated"}
    assert not host.run(newer).changed
    assert not host.answers(newer)
    started = host.run(newer, state="started")
    assert started.changed
    assert host.answers(newer)
    assert not host.run(newer).changed


def test_a_start_runs_what_is_installed_and_not_what_is_declared_since(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    host.run(worker, state="stopped")
    newer = host.worker(version="2")
    assert not host.run(newer, state="started").result.get("failed")
    assert host.answers(worker)
    assert host.run(newer).states == {"w": "updated"}
    assert host.answers(newer)


def test_a_stop_of_everything_is_of_one_fleet(host: Host) -> None:
    ours, theirs = host.worker("ours"), change(host.worker("theirs"), fleet="theirs")
    host.run(ours)
    host.run(theirs, fleet="theirs")
    answer = host.run(state="stopped")
    assert answer.states == {"ours": "stopped"}
    assert (host.answers(ours), host.answers(theirs)) == (False, True)


def test_what_is_not_installed_cannot_be_started(host: Host) -> None:
    host.run(host.worker("other"))
    answer = host.run(host.worker(), state="started")
    assert answer.of("w")["reason"] == "is not installed; install it first"


def test_after_a_reboot_the_same_set_is_up(host: Host) -> None:
    up, down, held = host.worker("up"), host.worker("down", auto_start=False), host.worker("held")
    host.run(up, down, held)
    host.run(up, down, held, state="stopped", names=("held",))
    host.manager.shutdown()
    host.manager.ensure_running()
    again = host.run(up, down, held)
    assert [host.answers(worker) for worker in (up, down, held)] == [True, False, False]
    assert not again.changed


def test_programs_that_lost_their_supervisor_are_taken_over(host: Host) -> None:
    worker = host.worker()
    host.run(worker)
    lost = host.ask(worker)["pid"]
    host.kill_supervisor()
    assert host.run(worker).states == {"w": "updated"}
    assert host.answers(worker)
    assert host.ask(worker)["pid"] != lost


Case = t.Callable[[Host], tuple[t.Sequence[Spec], t.Sequence[Spec], dict[str, t.Any]]]


def case_first(host: Host) -> t.Any:
    return (), (host.model(), host.worker("a", model="m"), host.worker("b", idle="no model")), {}


def case_upgrade(host: Host) -> t.Any:
    a, b = host.worker("a"), host.worker("b")
    return (a, b), (host.worker("a", version="2", port=a.port), b, host.worker("c")), {}


def case_arguments(host: Host) -> t.Any:
    a = host.worker("a", service=Service(reload_signal="USR2"))
    b = host.worker("b")
    return (
        (a, b),
        (
            change(a, files=(*a.files, File("more", "x"))),
            change(b, env={"GREETING": "x"}, service=Service(stop_timeout=3)),
        ),
        {},
    )


def case_without_start(host: Host) -> t.Any:
    a, b = host.worker("a"), host.worker("b")
    return (a, b), (change(a, auto_start=False), change(b, idle="no model")), {}


def case_model(host: Host) -> t.Any:
    a = host.worker("a", model="m")
    return (host.model(), a), (host.model(text="other"), a), {}


def case_force(host: Host) -> t.Any:
    specs = host.worker("a"), host.worker("b")
    return specs, specs, {"force": True}


def case_stop(host: Host) -> t.Any:
    specs = host.worker("a"), host.worker("b", auto_start=False)
    return specs, specs, {"state": "stopped"}


def case_remove_one(host: Host) -> t.Any:
    return (host.worker("a"), host.worker("b")), (), {"state": "absent", "names": ("a",)}


def case_remove_all(host: Host) -> t.Any:
    return (host.model(), host.worker("a"), host.worker("b")), (), {"state": "absent", "purge": True}


@pytest.mark.parametrize(
    "case",
    [
        case_first, case_upgrade, case_arguments, case_without_start, case_model, case_force, case_stop,
        case_remove_one, case_remove_all,
    ],
    ids=lambda case: case.__name__[5:],
)  # fmt: skip
def test_a_dry_run_names_what_the_run_then_does_and_writes_nothing(case: Case, host: Host) -> None:
    before, after, options = case(host)
    if before:
        host.run(*before)
    untouched = snapshot(host.prefix.parent)
    announced = host.check(*after, **options)
    assert snapshot(host.prefix.parent) == untouched
    assert announced.changed
    assert host.run(*after, **options).taken == announced.steps
    assert not host.check(*after, **{**options, "force": False}).changed


def test_the_difference_shows_what_is_written_and_hides_secrets(host: Host) -> None:
    worker = host.worker(secret_env={"KEY": "key"})
    host.run(worker, secrets={"key": "old-secret"})
    new = change(worker, files=(change(worker.files[0], content="new"),))
    shown = host.check(new, secrets={"key": "new-secret"}).result["diff"]
    by_name = {entry["after_header"]: entry for entry in shown}
    assert (by_name["w/files/greeting"]["before"], by_name["w/files/greeting"]["after"]) == ("1", "new")
    assert "secret" in by_name["w/secrets.env"]["after"]
    assert "-secret" not in str(shown)


def test_a_worker_serves_the_file_of_its_model(host: Host) -> None:
    source = host.archive("cat", {"bin/cat": '#!/bin/sh\ncat "$1" > said\nexec sleep 1000\n'})
    command = ("{release}/bin/cat", "{model_path}")
    worker = host.worker(source=source, command=command, model="m", health=Health())
    host.run(host.model(text="one"), worker)
    said = pathlib.Path(host.layout.data("w"), "said")
    wait_until(lambda: said.exists() and said.read_text() == "one")
    host.run(host.model(text="two"), worker)
    wait_until(lambda: said.read_text() == "two")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_data_of_a_service_user_that_has_another_id_by_now_is_handed_over(host: Host, tmp_path: pathlib.Path) -> None:
    worker, former = host.worker(), 54321
    host.run(worker)
    data, outside = pathlib.Path(host.layout.data("w")), tmp_path / "outside"
    for path in (data / "picture.png", data / "foreign", outside):
        path.touch()
    (data / "link").symlink_to(outside)
    for path in (data, data / "picture.png", data / "link", outside):
        os.chown(path, former, former, follow_symlinks=False)
    os.chown(data / "foreign", 7, 7)
    answer = host.run(worker)
    assert any("data folder of another user" in step for step in answer.of("w")["steps"])
    owners = {path.name: path.lstat().st_uid for path in (data, *data.iterdir(), outside)}
    assert owners == {"w": 0, "picture.png": 0, "link": 0, "foreign": 7, "outside": former}
    assert not host.run(worker).changed
