# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/promises.md names a proof for each promise, and proofs that exist."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACES = ROOT / "tests", ROOT / "extensions" / "molecule"
PROMISES = 20

if not (ROOT / "docs" / "promises.md").exists():
    pytest.skip("the documentation is not part of this copy", allow_module_level=True)

SECTIONS = re.split(r"^## ", (ROOT / "docs" / "promises.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
PROOF = re.compile(r"`([\w/]+\.(?:py|yml))(?:::(\w+))?`")


def proofs(section: str) -> list[tuple[str, str]]:
    """File and function of each proof; a file alone for one of Ansible."""
    return PROOF.findall(section)


def test_each_promise_has_its_number_and_a_proof() -> None:
    assert [int(section.partition(".")[0]) for section in SECTIONS] == list(range(1, PROMISES + 1))
    assert [section.splitlines()[0] for section in SECTIONS if not proofs(section)] == []


@pytest.mark.parametrize(("file", "function"), sorted({proof for section in SECTIONS for proof in proofs(section)}))
def test_a_proof_exists(file: str, function: str) -> None:
    found = [place / file for place in PLACES if (place / file).exists()]
    assert found, "no such file in tests or extensions/molecule"
    assert re.search(rf"^ *def {function}\(", found[0].read_text("utf-8"), re.MULTILINE) or not function
