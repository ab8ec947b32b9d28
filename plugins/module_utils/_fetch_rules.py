# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a download: which URLs and redirects are followed, what a response means, how long to wait. Pure."""

from __future__ import annotations

import base64
import re
import typing as t
import urllib.parse

from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits, SourceError, human, without_secrets

TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)
_MAX_WAIT = 30.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')


class Headers(t.Protocol):
    """Header fields of a response, by name in any case; ``HTTPMessage`` is one."""

    def get(self, name: str, default: str, /) -> str: ...


class Transient(Exception):
    """A failure that another try may not meet; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, cause: str, wait: float = 0) -> None:
        super().__init__(cause)
        self.wait = wait


class Restart(Transient):
    """A server that cannot continue where the download ended: what is there of it is of no use."""


def check_url(url: str) -> None:
    """Raises SourceError unless the URL is http or https with a host, or a file URL of this host."""
    try:
        parts = urllib.parse.urlsplit(url)
        local = parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/")
        remote = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        local = remote = False
    if not (local or remote) or re.search(r"[\x00-\x20\x7f]", url):
        raise SourceError(f"{without_secrets(url)!r} cannot be fetched: expected an http or https URL, or file:///PATH")


def check_redirect(old: str, new: str) -> None:
    """Raises SourceError for a redirect to anything but http and https, or from https to http."""
    before, after = urllib.parse.urlsplit(old), urllib.parse.urlsplit(new)
    if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme == "http"):
        raise SourceError(f"the server redirects from {before.scheme} to {without_secrets(new)}, which is refused")


def same_server(one: str, other: str) -> bool:
    """Whether credentials for one URL may be shown to the other."""
    left, right = urllib.parse.urlsplit(one), urllib.parse.urlsplit(other)
    return (left.scheme, left.hostname, left.port) == (right.scheme, right.hostname, right.port)


def split_credentials(url: str) -> tuple[str, str]:
    """The URL without user and password, and the value of the Authorization header that carries them (RFC 7617)."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, ""
    token = base64.b64encode(urllib.parse.unquote_to_bytes(userinfo)).decode("ascii")
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), f"Basic {token}"


def range_headers(offset: int, validator: str) -> dict[str, str]:
    """The headers that ask for the bytes from ``offset`` on, if the file is still the same (RFC 9110, 13.1.5, 14.2)."""
    if not offset:
        return {}
    return {"Range": f"bytes={offset}-", **({"If-Range": validator} if validator else {})}


def strong_validator(etag: str) -> str:
    """An ETag that tells whether a file is still the same byte for byte; empty for a weak one."""
    return etag if _STRONG_TAG.fullmatch(etag) else ""


def read_answer(status: int, headers: Headers, offset: int, size: int, limits: Limits) -> tuple[int, int]:
    """From which byte a response goes on, and the file's size in bytes, 0 when nobody says.

    offset: the byte that was asked for. size: expected bytes, 0 for unknown.
    Raises Restart when the server cannot go on from there, SourceError for a file of another size or beyond the limits.
    """
    if status == 416:
        raise Restart("the server cannot continue the download")
    if status == 206:
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if not match or int(match[1]) != offset:
            raise Restart("the server continues the download at the wrong place")
        total = 0 if match[2] == "*" else int(match[2])
    else:
        offset = 0
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else 0
    if size and total and total != size:
        raise SourceError(f"the server offers {total} bytes, expected {size}; correct the size or the URL")
    check_size(total or size, limits)
    return offset, total or size


def check_size(total: int, limits: Limits) -> None:
    """Raises SourceError for more bytes than the limit."""
    if total > limits.max_bytes:
        raise SourceError(f"it has {human(total)}, more than the limit of {human(limits.max_bytes)}")


def retry_after(text: str) -> float:
    """Seconds that a server asks to be left alone, bounded; 0 for a date or nothing."""
    return min(float(text), _MAX_WAIT) if text.isdigit() else 0.0


def pause(failures: int, asked: float, limits: Limits) -> float:
    """Seconds before the next try, after so many failures in a row."""
    return max(asked, min(limits.backoff * 2.0 ** (failures - 1), _MAX_WAIT))
