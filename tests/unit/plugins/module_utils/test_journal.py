# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an apply says while it works, and what a reader makes of it."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._journal import KEPT, RESULT, Journal, busy, read, tidy

LONG = 60.0  # seconds, far more than any of these waits takes


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "j.jsonl")


@pytest.fixture
def journal(path: str) -> t.Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def events(lines: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    return [line["event"] for line in lines]


def test_only_its_owner_reads_a_journal(journal: Journal) -> None:
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600


def test_a_reader_goes_on_where_it_was(journal: Journal) -> None:
    journal.write("step", component="a")
    lines, offset, working = read(journal.path, 0, 0)
    assert (events(lines), working) == (["step"], True)
    journal.write("done")
    assert events(read(journal.path, offset, 0)[0]) == ["done"]


def test_half_a_line_is_left_for_the_next_look(journal: Journal) -> None:
    journal.write("step")
    whole = os.stat(journal.path).st_size
    os.write(journal.descriptor, b'{"event": "do')
    lines, offset, _working = read(journal.path, 0, 0)
    assert (events(lines), offset) == (["step"], whole)
    os.write(journal.descriptor, b'ne"}\n')
    assert events(read(journal.path, offset, 0)[0]) == ["done"]


def test_a_result_ends_the_wait_at_once(journal: Journal) -> None:
    threading.Timer(0.01, journal.end, [{"changed": True}]).start()
    lines, _offset, working = read(journal.path, 0, LONG)
    assert (lines[-1]["result"], working) == ({"changed": True}, False)


def test_the_death_of_the_writer_ends_the_wait_at_once(path: str) -> None:
    journal = Journal(path)
    journal.write("step")
    threading.Timer(0.01, journal.close).start()
    lines, _offset, working = read(path, 0, LONG)
    assert (events(lines), working) == (["step"], False)


def test_who_goes_on_with_something_waits_until_it_is_there(journal: Journal) -> None:
    ready = [False, False, True]
    lines, _offset, working = read(journal.path, 0, 0, lambda: ready.pop(0))
    assert (lines, working, ready) == ([], True, [])


def test_several_threads_write_whole_lines(journal: Journal) -> None:
    threads = [threading.Thread(target=journal.write, args=("step",), kwargs={"what": "x" * 5000}) for _i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(journal.path, 0, 0)[0]) == 20


@pytest.fixture
def full(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has no more room than the journal has taken, and writes what still fits."""
    write, room = os.write, os.stat(journal.path).st_size or 300

    def some(descriptor: int, data: bytes) -> int:
        left = room - os.fstat(descriptor).st_size
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:left])

    monkeypatch.setattr(os, "write", some)


def test_on_a_full_disk_steps_are_lost_and_nothing_else(journal: Journal, full: None) -> None:
    for _i in range(9):
        journal.write("step", what="x" * 50)
    lines, offset, _working = read(journal.path, 0, 0)
    assert 0 < len(lines) < 9
    said = {"msg": "no space " * 12}  # more than is left, less than there was
    journal.end(said)
    journal.close()
    journal.descriptor = os.open(os.devnull, os.O_RDONLY)
    for start in (0, offset):
        again, _offset, working = read(journal.path, start, 0)
        assert (again[-1]["event"], again[-1]["result"], working) == (RESULT, said, False)


def test_only_the_newest_journals_are_kept(tmp_path: pathlib.Path) -> None:
    for number in range(KEPT + 3):
        (tmp_path / f"{number:03}.jsonl").touch()
    (tmp_path / "other").touch()
    tidy(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [f"{number:03}.jsonl" for number in range(3, KEPT + 3)] + ["other"]


def test_a_journal_that_is_written_is_kept_whatever_the_clock_says(tmp_path: pathlib.Path) -> None:
    journal = Journal(str(tmp_path / "19700101T000000Z-a.jsonl"))
    for number in range(KEPT + 3):
        (tmp_path / f"2026{number:03}.jsonl").touch()
    tidy(str(tmp_path))
    assert os.path.exists(journal.path)
    journal.close()
    tidy(str(tmp_path))
    assert not os.path.exists(journal.path)


def test_a_folder_is_busy_while_one_of_its_journals_has_a_writer(tmp_path: pathlib.Path) -> None:
    (tmp_path / "old.jsonl").touch()
    journal = Journal(str(tmp_path / "new.jsonl"))
    assert busy(str(tmp_path))
    assert not busy(str(tmp_path), but=journal.path)
    journal.close()
    assert not busy(str(tmp_path))


def test_the_first_look_may_come_before_the_first_line(journal: Journal) -> None:
    assert read(journal.path, 0, 0) == ([], 0, True)
