# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An uninstall removes what the receipts list, and names what stays."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import (
    _converge,
    _journal,
    _lock,
    _manager,
    _packages,
    _remove,
    _work,
)
from ansible_collections.rbee.fleet.plugins.module_utils._processes import exists
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host, finish, wait_until
from ansible_collections.rbee.fleet.tests.integration.pytest.node_kill import PaperManager


def files_below(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_an_uninstall_leaves_nothing_of_ours(host: Host) -> None:
    worker = host.worker("a")
    host.run(worker, host.worker("b"))
    host.run(host.worker("a", version="2", port=worker.port), host.worker("b"))
    supervisor = int((host.prefix / "supervisor" / "supervisord.pid").read_text())
    answer = host.converge(state="absent")
    assert answer.states == {"a": "removed", "b": "removed"}
    assert answer.result["host"]["kept"] == []
    assert not host.prefix.exists()
    assert not exists(supervisor)
    with pytest.raises(ConnectionError):
        host.ask(worker)


def test_what_is_no_longer_declared_runs_on_until_it_is_removed(host: Host) -> None:
    extra, kept = host.worker("extra"), host.worker("kept")
    host.run(extra, kept)
    assert not host.run(kept).changed
    assert host.answers(extra)
    assert host.uninstall(names=("extra",)).states == {"extra": "removed"}
    assert host.answers(kept)
    with pytest.raises(ConnectionError):
        host.ask(extra)


def test_why_a_worker_was_idle_is_no_reason_once_it_is_removed(host: Host) -> None:
    assert host.run(host.worker(idle="no model")).of("w")["reason"] == "idle: no model"
    removed = host.uninstall().of("w")
    assert (removed["state"], removed["reason"]) == ("removed", "")


def test_an_uninstall_of_nothing_changes_nothing(host: Host) -> None:
    assert not host.converge(state="absent").changed
    assert not host.prefix.exists()


def test_what_a_person_added_or_changed_stays_and_is_named(host: Host) -> None:
    release = host.run(host.worker()).of("w")["release"]
    added = host.prefix / "releases" / "stand-in" / release / "notes.txt"
    added.write_text("mine")
    changed = pathlib.Path(host.layout.current("w")).resolve() / "files" / "greeting"
    changed.write_text("my own greeting")
    written = pathlib.Path(host.layout.data("w")) / "output.png"
    written.write_text("a picture")
    answer = host.uninstall()
    assert sorted(answer.of("w")["kept"]) == sorted([str(added), str(changed), str(written.parent)])
    assert sorted(host.prefix / name for name in files_below(host.prefix)) == sorted([added, changed, written])


def test_models_stay_unless_they_are_purged(host: Host) -> None:
    specs = host.model(), host.worker(model="m")
    host.run(*specs)
    assert host.uninstall().states == {"w": "removed"}
    kept = files_below(host.prefix)
    assert any(name.endswith("model.gguf") for name in kept)
    assert {name.split("/")[0] for name in kept} == {"components", "models"}
    assert not host.check(state="absent").changed
    assert host.uninstall(purge=True).states == {"m": "removed"}
    assert not host.prefix.exists()


def test_a_model_that_stayed_is_not_fetched_again(host: Host) -> None:
    specs = host.model(), host.worker(model="m")
    host.run(*specs)
    host.uninstall()
    assert host.run(*specs).states == {"m": "ok", "w": "installed"}


def test_data_goes_with_a_purge(host: Host) -> None:
    host.run(host.worker())
    pathlib.Path(host.layout.data("w"), "output.png").write_text("a picture")
    host.uninstall(purge=True)
    assert not host.prefix.exists()


def test_what_another_fleet_has_on_the_prefix_is_left_alone(host: Host) -> None:
    ours, theirs = host.worker("ours"), dataclasses.replace(host.worker("theirs"), fleet="theirs")
    host.run(ours)
    host.run(theirs, fleet="theirs")
    pid = host.ask(theirs)["pid"]
    assert host.uninstall().states == {"ours": "removed"}
    assert host.ask(theirs)["pid"] == pid
    assert not host.run(theirs, fleet="theirs").changed
    assert host.uninstall(fleet="theirs").states == {"theirs": "removed"}
    assert not host.prefix.exists()


def test_models_of_another_fleet_stay_on_a_purge(host: Host) -> None:
    model = dataclasses.replace(host.model(), fleet="theirs")
    host.run(model, fleet="theirs")
    host.uninstall(fleet="theirs")
    host.run(host.worker())
    host.uninstall(purge=True)
    assert not host.run(model, fleet="theirs").changed


def test_a_service_of_another_prefix_is_left_alone(
    host: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The service manager knows one service of a name, whatever prefix it runs from.
    manager = PaperManager(tmp_path / "services")
    monkeypatch.setattr(_manager, "detect", lambda *_host: manager)
    other = Host(host.prefix.with_name("q"), tmp_path, tmp_path)
    refused = host.worker(check=("/bin/false",), health=Health())
    assert host.run(refused).states == {"w": "failed"}
    installed = other.run(host.worker(health=Health())).of("w")["generation"]
    assert host.uninstall().states == {"w": "removed"}
    assert not host.prefix.exists()
    assert manager.running("w") == installed
    assert os.path.exists(manager.unit_path("w"))
    assert other.uninstall().states == {"w": "removed"}
    assert not manager.running("w")


def test_what_the_host_itself_got_is_tried_again_when_it_could_not_be_removed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run(host.worker())
    _remove.remember(host.layout, packages=["haproxy"])
    asked: list[t.Any] = []

    def refuse(packages: t.Sequence[str]) -> None:
        asked.append(packages)
        raise SourceError("something else needs haproxy")

    with monkeypatch.context() as patch:
        patch.setattr(_packages, "remove", refuse)
        assert "needs haproxy" in host.uninstall(purge=True).result["msg"]
    monkeypatch.setattr(_packages, "remove", asked.append)
    assert not host.uninstall(purge=True).result.get("failed")
    assert asked == [["haproxy"], ["haproxy"]]
    assert not host.prefix.exists()


def test_a_link_that_takes_the_place_of_a_folder_leads_to_no_removal(
    host: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run(host.worker())
    compiled = pathlib.Path(host.layout.data("w"), "__pycache__")
    compiled.mkdir()
    (compiled / "passwd").touch()
    outside = tmp_path / "etc"
    outside.mkdir()
    (outside / "passwd").touch()
    unlink = os.unlink

    def swap_and_unlink(path: t.Any, **options: t.Any) -> None:
        if compiled.is_dir() and os.path.basename(path) == "passwd":
            compiled.rename(compiled.with_name("moved"))
            compiled.symlink_to(outside)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", swap_and_unlink)
    host.uninstall()
    assert compiled.is_symlink()
    assert (outside / "passwd").exists()


def test_only_the_kinds_that_were_named_are_removed(host: Host) -> None:
    hive = dataclasses.replace(host.worker("hive"), kind="hive")
    host.run(host.worker(), hive)
    assert host.uninstall(kinds=("worker",)).states == {"w": "removed"}
    assert host.answers(hive)


def test_what_an_install_that_was_killed_left_is_removed_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = host.worker()
    with monkeypatch.context() as patch:
        # As after a kill right before the receipt is written: it runs and starts at boot.
        patch.setattr(_work.Apply, "_record", lambda *_arguments: None)
        host.run(worker)
    assert host.answers(worker)
    assert host.receipt() is None
    assert host.uninstall().states == {"w": "removed"}
    assert not host.prefix.exists()
    with pytest.raises(ConnectionError):
        host.ask(worker)


def test_an_uninstall_that_nobody_followed_to_its_end_is_finished_by_the_next(host: Host) -> None:
    host.run(host.worker())
    host.start(state="absent", command="begin").kill()
    wait_until(lambda: not _lock.holder(host.layout.lock))
    host.converge(state="absent")
    assert not host.prefix.exists()


def test_an_install_and_an_uninstall_at_once_end_as_one_after_the_other(host: Host) -> None:
    host.run(host.worker())
    fresh = host.worker("fresh")
    runs = host.start(state="absent"), host.start(fresh)
    removed, installed = map(finish, runs)
    assert removed.of("w")["state"] == "removed"
    assert installed.of("fresh")["state"] == "installed"
    assert not host.run(fresh).result.get("failed")
    assert host.answers(fresh)


def test_an_install_whose_folder_an_uninstall_takes_away_makes_it_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    grab, asked = _lock.grab, list[str]()

    def grab_late(path: str) -> int | None:
        if not asked:
            host.prefix.rmdir()
        asked.append(path)
        return grab(path)

    monkeypatch.setattr(_lock, "grab", grab_late)
    answer = _converge.converge(host.request(host.worker()), False, 60)
    assert [found["state"] for found in answer["components"]] == ["installed"]
    assert len(asked) == 2


def test_nothing_is_swept_away_from_an_install_that_has_begun(host: Host) -> None:
    layout = host.layout
    os.makedirs(layout.journals)
    journal = _journal.Journal(os.path.join(layout.journals, "fresh.jsonl"))
    _converge._sweep(layout, "")
    assert os.path.exists(journal.path)
    with _lock.held(layout.lock, {}, 0, lambda _holder: None):
        journal.close()
        _converge._sweep(layout, "")
        assert os.path.exists(journal.path)
    os.mkdir(layout.staging)
    _converge._sweep(layout, "")
    assert os.path.exists(layout.lock)
    os.rmdir(layout.staging)
    _converge._sweep(layout, "")
    assert not host.prefix.exists()
