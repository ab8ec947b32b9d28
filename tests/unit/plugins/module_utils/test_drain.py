# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _drain
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout


@pytest.fixture
def layout(tmp_path):
    layout = Layout(str(tmp_path))
    os.makedirs(layout.component("w"))
    return layout


def test_a_worker_is_drained_while_the_mark_is_set(layout):
    questions = _drain.Questions(layout.prefix)
    assert questions.answer(b"w\n") == b"ready\n"
    with _drain.mark(layout, "w"):
        assert questions.answer(b"w\r\n") == b"drain\n"
    assert questions.answer(b"w\n") == b"ready\n"
    assert not os.path.exists(layout.draining("w"))


def test_the_death_of_who_set_the_mark_takes_it_back(layout):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        with _drain.mark(layout, "w"):
            os.write(write, b"set")
            signal.pause()
    os.read(read, 3)
    questions = _drain.Questions(layout.prefix)
    assert questions.answer(b"w\n") == b"drain\n"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.path.exists(layout.draining("w")) and questions.answer(b"w\n") == b"ready\n"


@pytest.mark.parametrize("line", [b"other\n", b"..\n", b"../w\n", b"\xff\n", b"\n", b".\n"])
def test_what_is_no_component_here_gets_no_answer(layout, line):
    assert _drain.Questions(layout.prefix).answer(line) is None


def test_it_is_counted_how_often_she_was_answered(layout):
    questions = _drain.Questions(layout.prefix)
    assert questions.state()["components"] == {}
    questions.answered(b"w\n")
    questions.answered(b"w\n")
    assert questions.state()["components"]["w"]["answered"] == 2
