# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One apply at a time on a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _lock
from ansible_collections.rbee.fleet.plugins.module_utils._lock import Busy, describe, held, holder

ABOUT = {"pid": 1, "controller": "me@laptop", "since": "2026-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "POLL", 0.001)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "lock")


def unexpected(_holder: t.Mapping[str, t.Any]) -> None:
    pytest.fail("there was nobody to wait for")


def test_the_holder_is_known_while_it_holds_and_not_after(path: str) -> None:
    assert holder(path) is None
    with held(path, ABOUT, 0, unexpected):
        assert holder(path) == ABOUT
    assert holder(path) is None


def test_an_error_releases_the_lock(path: str) -> None:
    with pytest.raises(KeyError), held(path, ABOUT, 0, unexpected):
        raise KeyError
    with held(path, ABOUT, 0, unexpected):
        pass


def test_the_loser_names_the_holder(path: str) -> None:
    waits: list[t.Any] = []
    with held(path, ABOUT, 0, unexpected), pytest.raises(Busy) as caught, held(path, {}, 0.01, waits.append):
        pytest.fail("two hold it at once")
    assert str(caught.value) == f"another run has this host: {describe(ABOUT)}; try again when it is done"
    assert "process 1 for me@laptop since 2026-01-01T00:00:00Z" in str(caught.value)
    assert waits == [ABOUT]


def test_the_next_in_line_gets_it_when_the_holder_is_done(path: str) -> None:
    first = contextlib.ExitStack()
    first.enter_context(held(path, ABOUT, 0, unexpected))
    with held(path, {"pid": 2}, 60, lambda _holder: first.close()):
        assert holder(path) == {"pid": 2}


def test_the_death_of_the_holder_releases_it(path: str) -> None:
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        with held(path, {"pid": os.getpid()}, 0, unexpected):
            os.write(tell, b".")
            signal.pause()
    os.read(ready, 1)
    assert holder(path) == {"pid": child}
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert holder(path) is None
    with held(path, ABOUT, 0, unexpected):
        pass


def test_a_lock_that_was_taken_away_while_one_waited_for_it_is_none(path: str) -> None:
    with open(path, "w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)

        def uninstall(_holder: t.Mapping[str, t.Any]) -> None:
            os.unlink(path)
            fcntl.flock(first, fcntl.LOCK_UN)

        with held(path, ABOUT, 60, uninstall):
            assert holder(path) == ABOUT


def test_a_full_disk_does_not_keep_anyone_from_the_lock(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with held(path, ABOUT, 0, unexpected):
        assert holder(path) == {}


def test_a_holder_that_has_not_said_who_it_is_is_told_as_such() -> None:
    assert describe({}) == "a process that has not said who it is"
