# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches one artefact onto the host, verified: from the cache, a file of the host, or an HTTP server that may fail."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import http.client
import os
import re
import shutil
import tempfile
import threading
import time
import typing as t
import urllib.parse
import urllib.request

from ansible_collections.rbee.fleet.plugins.module_utils._disk import local_error, need_space
from ansible_collections.rbee.fleet.plugins.module_utils._fetch_rules import (
    Restart,
    Transient,
    check_size,
    check_url,
    pause,
    range_headers,
    read_answer,
    strong_validator,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import (
    MIB,
    Limits,
    NoSpace,
    Progress,
    SourceError,
    Stopped,
    quiet,
    without_secrets,
)
from ansible_collections.rbee.fleet.plugins.module_utils._store import sync_folder
from ansible_collections.rbee.fleet.plugins.module_utils._transfer import Watchdog, open_url

CHUNK = 256 * 1024
TEMPORARY = ".rbee-fetch-"  # names of files that a killed process may leave
_REPORT_EVERY = 0.5
_GAIN = MIB


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A verified artefact: where it is, its size in bytes, its digest, and whether the cache had it."""

    path: str
    bytes: int
    sha256: str
    from_cache: bool


def fetch(
    url: str,
    dest: str,
    sha256: str = "",
    size: int = 0,
    limits: Limits = Limits(),
    progress: Progress = quiet,
    stop: t.Optional[threading.Event] = None,
    cache_dir: str = "",
) -> Fetched:
    """Brings the file behind an http, https or file URL to ``dest`` and flushes it to the disk.

    sha256: expected digest; empty accepts any content, which is then never taken from the cache.
    size: expected bytes; 0 for unknown. cache_dir: keeps ``<sha256>``, and ``<sha256>.part`` of an unfinished download,
    which the next call continues; empty means the folder of ``dest``, where nothing but ``dest`` stays after success.
    ``dest`` is a second name (hard link) of the cached file where that is possible: do not write to it.

    Raises SourceError, and Stopped, NoSpace or WrongDigest of it; ``dest`` is then as it was before.
    """
    sha256 = sha256.lower()
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise SourceError(f"{sha256!r} is not a SHA-256 digest: expected 64 hexadecimal digits")
    check_url(url)
    work = _Fetch(url, dest, sha256, size, limits, progress, stop or threading.Event(), cache_dir)
    try:
        return work.run()
    except OSError as error:
        raise local_error(error, dest, size) from error


class WrongDigest(SourceError):
    """A file that is not what was asked for. A download is deleted, a file of this machine stays as it is."""

    def __init__(self, url: str, expected: str, found: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "file":
            shown, remedy = (
                urllib.parse.unquote(parts.path),
                "correct sha256 if it is the right file, else put the right one there",
            )
        else:
            shown = without_secrets(url)
            remedy = "it is deleted. Correct the digest if the file was meant to change, else distrust the server"
        super().__init__(f"{shown} is not the expected file: expected sha256 {expected}, found {found}; {remedy}")


class _Fetch:
    """One artefact on its way to one file."""

    def __init__(
        self, url: str, dest: str, sha256: str, size: int, limits: Limits, progress: Progress,
        stop: threading.Event, cache_dir: str,
    ) -> None:  # fmt: skip
        self._url, self._dest, self._sha256, self._size = url, os.path.abspath(dest), sha256, size
        self._limits, self._progress, self._stop = limits, progress, stop
        self._shown = without_secrets(url)
        self._name = os.path.basename(urllib.parse.urlsplit(url).path) or "file"
        self._deadline = time.monotonic() + limits.seconds
        folder = os.path.abspath(cache_dir or os.path.dirname(self._dest))
        key = sha256 or "url-" + hashlib.sha256(url.encode()).hexdigest()
        self._cached = os.path.join(folder, sha256) if sha256 and cache_dir else ""
        self._part = os.path.join(folder, key + ".part")
        self._mark = self._part + ".etag"
        self._continued = False  # whether the part holds bytes of more than one response
        self._reported = 0.0

    def run(self) -> Fetched:
        os.makedirs(os.path.dirname(self._part), exist_ok=True)
        os.makedirs(os.path.dirname(self._dest), exist_ok=True)
        with self._alone() as part:
            found = self._take_cached()
            if found is None:
                found = self._download(part)
            self._place(found)
        return found

    @contextlib.contextmanager
    def _alone(self) -> t.Iterator[t.BinaryIO]:
        """The part file, held by nobody else: two components of one host may want the same artefact at once."""
        while True:
            self._check_time()
            part = open(self._part, "a+b")  # noqa: SIM115 - it stays open for the caller
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(part.fileno()), os.stat(self._part)):
                    break
                part.close()
            except FileNotFoundError:  # whoever had it has taken it away
                part.close()
            except BlockingIOError:
                part.close()
                self._stop.wait(0.1)
        with part:
            try:
                yield part
            finally:
                if not os.fstat(part.fileno()).st_size:
                    self._forget()

    def _check_time(self) -> None:
        if self._stop.is_set():
            raise Stopped(f"stopped while fetching {self._shown}")
        if time.monotonic() > self._deadline:
            raise SourceError(f"{self._shown}: it took longer than {self._limits.seconds:g} s, the limit")

    def _take_cached(self) -> t.Optional[Fetched]:
        if not self._cached or not os.path.isfile(self._cached):
            return None
        count = os.path.getsize(self._cached)
        self._progress(f"verifying {self._name} in the cache", 0, count)
        with open(self._cached, "rb") as file:
            digest = self._hash(file)
        if digest.hexdigest() == self._sha256:
            return Fetched(self._dest, count, self._sha256, True)
        self._progress(f"{self._name} in the cache is damaged: fetching it again", 0, count)
        os.unlink(self._cached)
        return None

    def _download(self, part: t.BinaryIO) -> Fetched:
        """Fills the part file and checks it; a continued one that is wrong is fetched once more from its start."""
        while True:
            digest = self._copy(part) if self._url.startswith("file:") else self._transfer(part)
            count = os.fstat(part.fileno()).st_size
            found = digest.hexdigest()
            if (self._size and count != self._size) or (self._sha256 and found != self._sha256):
                self._truncate(part)
                if self._continued:
                    self._continued = False
                    continue
                self._forget()
                if self._sha256 and found != self._sha256:
                    raise WrongDigest(self._url, self._sha256, found)
                raise SourceError(f"{self._shown} has {count} bytes, expected {self._size}; it is deleted")
            part.flush()
            os.fsync(part.fileno())
            return Fetched(self._dest, count, found, False)

    def _copy(self, part: t.BinaryIO) -> t.Any:
        path = urllib.request.url2pathname(urllib.parse.urlsplit(self._url).path)
        self._truncate(part)
        digest = hashlib.sha256()
        try:
            source = open(path, "rb")  # noqa: SIM115 - only opening it means that the source is missing
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}; check the source's path") from error
        with source:
            total = os.fstat(source.fileno()).st_size
            self._make_room(total, 0)
            for block in iter(lambda: source.read(CHUNK), b""):
                self._check_time()
                self._keep(part, digest, block, total)
        return digest

    def _transfer(self, part: t.BinaryIO) -> t.Any:
        """Tries until the part is complete; tries that bring it forward do not count against the number of attempts."""
        failures, furthest = 0, os.fstat(part.fileno()).st_size
        while True:
            self._check_time()
            try:
                return self._try(part)
            except Transient as error:
                if isinstance(error, Restart):
                    self._truncate(part)
                count = os.fstat(part.fileno()).st_size
                failures = 1 if count >= furthest + _GAIN else failures + 1
                furthest = max(furthest, count)
                if failures >= self._limits.attempts:
                    raise SourceError(
                        f"{self._shown} cannot be fetched: {without_secrets(str(error))} ({failures} tries); "
                        "check the URL, the network and the proxy settings"
                    ) from error
                self._progress(f"fetching {self._name} again: {without_secrets(str(error))}", count, self._size)
                self._stop.wait(
                    min(pause(failures, error.wait, self._limits), max(0.0, self._deadline - time.monotonic()))
                )
            except (Stopped, NoSpace):
                raise
            except SourceError as error:
                raise SourceError(f"{self._shown} cannot be fetched: {error}") from error

    def _try(self, part: t.BinaryIO) -> t.Any:
        digest, offset = self._resume_point(part)
        self._continued = offset > 0
        if self._size and offset == self._size:
            return digest
        watchdog = Watchdog(self._limits, self._deadline, self._stop)
        headers = range_headers(offset, self._validator())
        with watchdog, open_url(self._url, headers, self._limits, watchdog) as response:
            offset, total = read_answer(response.status, response.headers, offset, self._size, self._limits)
            if not offset:
                self._continued = False
                self._truncate(part)
                digest = hashlib.sha256()
                self._remember(response)
            self._make_room(total, offset)
            count = offset
            while not total or count < total:
                try:
                    block = response.read1(CHUNK)
                except (OSError, http.client.HTTPException, ValueError) as error:
                    watchdog.check()
                    raise Transient(f"the connection broke after {count} bytes: {error}") from error
                if not block:
                    break
                watchdog.received += len(block)
                count += len(block)
                self._keep(part, digest, block, total)
            watchdog.check()
        if total and count < total:
            raise Transient(f"the connection ended after {count} of {total} bytes")
        return digest

    def _resume_point(self, part: t.BinaryIO) -> tuple[t.Any, int]:
        """The digest and number of the bytes that are there; none where nothing would tell whether they still fit."""
        count = os.fstat(part.fileno()).st_size
        if (self._size and count > self._size) or not (self._sha256 or self._validator()):
            self._truncate(part)
        part.seek(0)
        return self._hash(part), part.tell()

    def _hash(self, file: t.BinaryIO) -> t.Any:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(CHUNK), b""):
            self._check_time()
            digest.update(block)
        return digest

    def _make_room(self, total: int, offset: int) -> None:
        check_size(total, self._limits)
        need_space(os.path.dirname(self._part), max(0, total - offset))

    def _keep(self, part: t.BinaryIO, digest: t.Any, block: bytes, total: int) -> None:
        try:
            part.write(block)
            part.flush()
        except OSError as error:
            self._forget()
            raise local_error(error, os.path.dirname(self._part), total) from error
        digest.update(block)
        count = part.tell()
        if count > (self._size or self._limits.max_bytes):
            self._forget()
            raise SourceError(f"it has more than {self._size or self._limits.max_bytes} bytes; it is deleted")
        now = time.monotonic()
        if now - self._reported >= _REPORT_EVERY or count == total:
            self._reported = now
            self._progress(f"fetching {self._name}", count, total)

    def _validator(self) -> str:
        try:
            with open(self._mark, encoding="ascii") as file:
                return file.read()
        except (OSError, ValueError):
            return ""

    def _remember(self, response: http.client.HTTPResponse) -> None:
        """Keeps what tells later whether the server still has the same file: a strong entity tag (RFC 9110, 13.1.5)."""
        validator = strong_validator(response.headers.get("ETag", ""))
        if validator:
            with open(self._mark, "w", encoding="ascii") as file:
                file.write(validator)
        else:
            _remove(self._mark)

    def _truncate(self, part: t.BinaryIO) -> None:
        part.seek(0)
        part.truncate()

    def _forget(self) -> None:
        _remove(self._mark)
        _remove(self._part)

    def _place(self, found: Fetched) -> None:
        """Gives the verified file its names: in the cache, where there is one, and at the destination."""
        source = self._cached or self._part
        if self._cached and not found.from_cache:
            os.replace(self._part, self._cached)
            sync_folder(os.path.dirname(self._cached))
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=os.path.dirname(self._dest))
        os.close(handle)
        try:
            os.unlink(temporary)
            try:
                os.link(source, temporary)
            except OSError:
                need_space(os.path.dirname(self._dest), found.bytes)
                shutil.copyfile(source, temporary)
            os.chmod(temporary, 0o644)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, self._dest)
        finally:
            _remove(temporary)  # renaming a name of a file to another name of the same file leaves both
        sync_folder(os.path.dirname(self._dest))
        self._forget()


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
