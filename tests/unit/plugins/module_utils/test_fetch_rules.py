# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a download may follow, and what a server's answer means for it."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._fetch_rules import (
    Restart,
    check_redirect,
    check_url,
    pause,
    range_headers,
    read_answer,
    retry_after,
    same_server,
    split_credentials,
    strong_validator,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits, SourceError, human, without_secrets


@pytest.mark.parametrize("url", ["http://host/a", "https://u:p@host:8443/a?b=c", "file:///srv/a", "file://localhost/a"])
def test_http_https_and_local_file_urls_are_fetched(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/a", "file://other/a", "file:relative", "http:///a", "/srv/a", "", "http://h:99999/", "http://h/a\nb"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SourceError, match="expected an http or https URL"):
        check_url(url)


@pytest.mark.parametrize(
    ("old", "new"),
    [("http://h/", "file:///etc/passwd"), ("https://h/", "http://h/"), ("http://h/", "ftp://h/"), ("http://h/", "//x")],
)
def test_redirects_to_other_schemes_and_to_less_safety_are_refused(old: str, new: str) -> None:
    with pytest.raises(SourceError, match="refused"):
        check_redirect(old, new)


@pytest.mark.parametrize(("old", "new"), [("http://h/", "https://h/"), ("https://h/", "https://other/")])
def test_other_redirects_are_followed(old: str, new: str) -> None:
    check_redirect(old, new)


def test_credentials_leave_the_url_for_a_header() -> None:
    assert split_credentials("https://user:p%40ss@host/a") == ("https://host/a", "Basic dXNlcjpwQHNz")
    assert split_credentials("https://host/a") == ("https://host/a", "")


@pytest.mark.parametrize("other", ["https://h2/", "http://h/", "https://h:444/"])
def test_credentials_are_for_one_server_only(other: str) -> None:
    assert same_server("https://h/a", "https://h/b")
    assert not same_server("https://h/a", other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("get https://user:secret@host/a failed", "get https://***@host/a failed"),
        ("get https://host/a?X-Signature=secret&b=1 failed", "get https://host/a?*** failed"),
        ("index 'http://secret@host/simple/?t=secret', too", "index 'http://***@host/simple/?***', too"),
        ("(https://u:se@cret@host/a)", "(https://***@host/a)"),
    ],
)
def test_no_credential_of_a_url_is_shown(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_download_goes_on_only_where_the_server_says_so() -> None:
    limits = Limits()
    assert read_answer(206, {"Content-Range": "bytes 10-99/100"}, 10, 0, limits) == (10, 100)
    assert read_answer(206, {"Content-Range": "bytes 10-99/*"}, 10, 100, limits) == (10, 100)
    assert read_answer(200, {"Content-Length": "100"}, 10, 0, limits) == (0, 100)
    assert read_answer(200, {}, 0, 0, limits) == (0, 0)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(416, {}), (206, {}), (206, {"Content-Range": "bytes 0-99/100"}), (206, {"Content-Range": "pages 1-2/3"})],
)
def test_a_server_that_cannot_go_on_makes_the_download_start_again(status: int, headers: dict[str, str]) -> None:
    with pytest.raises(Restart):
        read_answer(status, headers, 10, 0, Limits())


def test_another_size_than_expected_is_refused_at_once_and_names_both() -> None:
    with pytest.raises(SourceError, match="offers 100 bytes, expected 50"):
        read_answer(200, {"Content-Length": "100"}, 0, 50, Limits())


def test_a_size_beyond_the_limit_is_refused_at_once() -> None:
    with pytest.raises(SourceError, match="more than the limit"):
        read_answer(200, {"Content-Length": "100"}, 0, 0, Limits(max_bytes=99))


def test_only_strong_entity_tags_tell_that_a_file_is_the_same() -> None:
    assert strong_validator('"abc"') == '"abc"'
    assert strong_validator('W/"abc"') == ""
    assert strong_validator('"a"\r\nX: "b"') == ""


def test_the_rest_is_asked_for_with_the_validator_there_is() -> None:
    assert range_headers(0, '"a"') == {}
    assert range_headers(5, "") == {"Range": "bytes=5-"}
    assert range_headers(5, '"a"') == {"Range": "bytes=5-", "If-Range": '"a"'}


def test_the_pause_grows_is_bounded_and_heeds_the_server() -> None:
    limits = Limits(backoff=1)
    assert [pause(failures, 0, limits) for failures in (1, 2, 3, 10)] == [1, 2, 4, 30]
    assert pause(1, retry_after("7"), limits) == 7
    assert retry_after("999999") == 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert human(count) == text
