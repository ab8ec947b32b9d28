# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _rotation
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Observed
from ansible_collections.rbee.fleet.plugins.module_utils._request import Outcome


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that only sleeping moves."""

    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(_rotation, "time", clock)
    return clock


def asking(clock, every, began=0.0):
    """The counts of a queen who asks every so many seconds from then on."""

    def asked():
        since = clock.now - began
        count = int(since // every) if since > 0 else 0
        return count, since - count * every if count else max(0.0, since)

    return asked


def test_the_queen_knows_when_she_has_asked_again(clock):
    assert _rotation.heard(asking(clock, 0.5, began=-10), 2)
    assert 0.5 < clock.now < 1.2


def test_where_nobody_has_asked_for_long_nothing_is_waited_for(clock):
    assert not _rotation.heard(lambda: (7, 60.0), 2)
    assert clock.now == 0


def test_an_agent_that_has_just_started_is_given_time_to_be_asked(clock):
    assert _rotation.heard(asking(clock, 0.5), 2)
    clock.now = 0
    assert not _rotation.heard(lambda: (0, clock.now), 2)
    assert clock.now == pytest.approx(5, abs=0.2)


def test_an_agent_that_is_down_is_given_up(clock):
    assert not _rotation.heard(lambda: None, 2)
    assert clock.now == pytest.approx(5, abs=0.2)


def test_an_agent_that_starts_anew_counts_anew(clock):
    counts = iter([(100, 0.1), (0, 0.1), (1, 0.1), (2, 0.1)])
    assert _rotation.heard(lambda: next(counts), 2)


def test_another_program_in_the_place_of_the_agent_is_not_waited_for(clock, tmp_path, monkeypatch):
    layout = Layout(str(tmp_path))
    about = {"name": "hive", "kind": "hive", "fleet": "f", "address": "127.0.0.1", "port": 9}
    folder = tmp_path / "components" / "hive"
    folder.mkdir(parents=True)
    asked = []
    monkeypatch.setattr(_rotation, "heard", lambda *_arguments: bool(asked.append(clock.now)))
    for kind, times in (("archive", 0), ("bundled", 1)):
        (folder / "receipt.json").write_text(json.dumps({**about, "source": {"kind": kind}}))
        (tmp_path / "components" / "w").mkdir(exist_ok=True)
        rotation = _rotation.Rotation(layout, "f", {}, {"w": Observed()}, {})
        with rotation.left(Outcome("w", "worker"), 8080, 60):
            pass
        assert len(asked) == times


@pytest.mark.parametrize(
    ("asked", "waited"),
    [((7, 0.2), 2.5), ((7, 60.0), 0), ((0, 0.2), 0), (None, 0)],
    ids=["a queen asks", "she has gone", "nobody asked yet", "no agent"],
)
def test_a_worker_that_is_well_again_waits_for_a_queen_that_asks(clock, tmp_path, monkeypatch, asked, waited):
    folder = tmp_path / "components" / "hive"
    folder.mkdir(parents=True)
    about = {"name": "hive", "kind": "hive", "fleet": "f", "address": "127.0.0.1", "port": 9}
    (folder / "receipt.json").write_text(json.dumps(about))
    since = clock.now
    monkeypatch.setattr(
        _rotation, "_answered", lambda *_where: asked and (asked[0] + int((clock.now - since) / 0.5), asked[1])
    )
    _rotation.Rotation(Layout(str(tmp_path)), "f", {}, {}, {}).entered("w")
    assert clock.now == pytest.approx(waited, abs=0.2)
