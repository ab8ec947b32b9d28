# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.module_utils import _events


def test_progress_is_said_at_intervals_and_what_is_new_at_once(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_events.time, "monotonic", lambda: now[0])
    said = []
    report = _events.progress_of(lambda event, **about: said.append((event, about["what"], about["done"])), "w")
    for moment, what, done in [(100, "a", 1), (100.5, "a", 2), (100.6, "b", 0), (101.7, "b", 9)]:
        now[0] = moment
        report(what, done, 10)
    assert said == [("progress", "a", 1), ("progress", "b", 0), ("progress", "b", 9)]


def test_an_answer_is_said_when_it_changes_and_at_intervals():
    said = []
    heard = _events.health_of(lambda event, **about: said.append((event, about["answer"], about["seconds"])), "w", 60)
    for answer, seconds in [("no", 0.1), ("no", 5), ("503", 6), ("503", 15), ("503", 16)]:
        heard(answer, seconds)
    assert said == [("health", "no", 0.1), ("health", "503", 6), ("health", "503", 16)]
