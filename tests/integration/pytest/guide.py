# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a page of the documentation shows: what is tested is what people copy."""

from __future__ import annotations

import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs"


def files(page: str) -> dict[str, str]:
    """By name, the TOML of a page that begins with its name as a comment, such as ``# catalog/queen.toml``."""
    blocks = re.findall(r"^```toml\n# (\S+)\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A text in which each of these stood once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in:\n{text}"
        text = text.replace(old, new)
    return text
