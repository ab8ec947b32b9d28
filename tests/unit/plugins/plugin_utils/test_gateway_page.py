# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen's page and what the browser is told of it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import pathlib
import re

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway import render
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import headers, policy

PAGE = (pathlib.Path(__file__).resolve().parents[4] / "catalog" / "queen.html").read_text("utf-8")
SMALL = "<style>a{}</style><p onclick=x()></p><script>\nb()</script>"


def digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_only_the_page_s_own_style_and_script_are_allowed() -> None:
    rules = dict(rule.split(" ", 1) for rule in policy(SMALL).split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == digest("a{}")
    assert rules["script-src"] == digest("\nb()")
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(policy(SMALL).split())


def test_a_page_without_a_script_may_run_none() -> None:
    assert "script-src 'none'; " in policy("<p>")


def test_each_header_is_one_word_of_the_configuration() -> None:
    assert re.fullmatch(r"( hdr [A-Za-z-]+ ('[^']*'(\\')?)+)+", headers(SMALL))


def test_the_page_is_rendered_and_its_headers_follow_its_text() -> None:
    one, other = (
        {file.path: file.content for file in render(Gateway("f", page=page))} for page in (SMALL, SMALL + "<p>")
    )
    assert one["page.html"] == SMALL
    assert one["haproxy.cfg"] == other["haproxy.cfg"]
    changed = dataclasses.replace(Gateway("f"), page=SMALL.replace("b()", "c()"))
    assert {file.path: file.content for file in render(changed)}["haproxy.cfg"] != one["haproxy.cfg"]


# The page that the collection ships.


def test_the_page_is_small_and_in_one_piece() -> None:
    assert len(PAGE.encode()) < 40_000
    assert PAGE.count("<script>") == PAGE.count("<style>") == 1
    assert len(re.findall("<script", PAGE)) == len(re.findall("<style", PAGE)) == 1


@pytest.mark.parametrize(
    "pattern",
    [r"""(src|href)=(?!"data:)""", r"url\(", "@import", r"\bimport\b", r"https?://(?!www\.(w3|gnu)\.org)"],
)
def test_the_page_loads_nothing(pattern: str) -> None:
    assert not re.search(pattern, PAGE)


@pytest.mark.parametrize(
    "pattern",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", r"document\.write", r"\beval\b", "localStorage", "cookie"],
)
def test_the_script_makes_no_markup_of_data_and_keeps_no_key(pattern: str) -> None:
    assert not re.search(pattern, PAGE)


def test_no_event_handler_or_style_stands_in_the_markup() -> None:
    assert not re.search(r"<[a-z][^>]*\s(on[a-z]+|style)=", PAGE.split("<script>", maxsplit=1)[0])


def test_nothing_in_the_page_is_taken_for_a_template() -> None:
    assert not re.search(r"\{\{|\{%|\{#", PAGE)
