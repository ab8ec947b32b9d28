# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words in which an unhealthy answer is reported."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._health import message_of


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"code": 503, "message": "Loading model"}}', "Loading model"),
        (b'{"error": "busy"}', "busy"),
        (b'{"message": "starting"}', "starting"),
        (b'{"status": "down"}', '{"status": "down"}'),
        (b"[1, 2]", "[1, 2]"),
        (b"\n not ready \n second line", "not ready"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"x" * 1000, "x" * 200),
    ],
)
def test_the_reason_in_an_answer_is_found(body: bytes, expected: str) -> None:
    assert message_of(body) == expected
