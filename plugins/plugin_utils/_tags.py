# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tags of the playbooks select. Pure."""

from __future__ import annotations

import typing as t

KINDS_OF_TAG = {"queen": {"queen"}, "hives": {"hive", "pull"}, "workers": {"worker", "model"}}


def kinds_of(tags: t.Iterable[str]) -> set[str] | None:
    """The kinds of components that a run's tags select; None for all of them."""
    chosen = [KINDS_OF_TAG[tag] for tag in tags if tag in KINDS_OF_TAG]
    return set().union(*chosen) if chosen else None
