# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks an archive into a staging folder: within limits, with nothing but plain files, folders and inner links."""

from __future__ import annotations

import os
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._archive import DAMAGED, open_archive
from ansible_collections.rbee.fleet.plugins.module_utils._disk import local_error, need_space
from ansible_collections.rbee.fleet.plugins.module_utils._members import (
    FILE,
    FOLDER,
    HARDLINK,
    SYMLINK,
    Decision,
    Members,
    UnsafeArchive,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import (
    MIB,
    Limits,
    Progress,
    SourceError,
    Stopped,
    quiet,
)

CHUNK = 256 * 1024


def unpack(
    archive: str,
    dest: str,
    strip: int = 0,
    limits: Limits = Limits(),
    progress: Progress = quiet,
    stop: t.Optional[threading.Event] = None,
) -> int:
    """Unpacks into ``dest``, a new folder or one that has none of the archive's files; returns the bytes written.

    Flushing to the disk is the commit's.
    Files become 0644, or 0755 where any execute bit is set; folders 0755; owners and times are not kept.
    Raises UnsafeArchive, NoSpace, Stopped or SourceError; then ``dest`` holds a part, which is the caller's to remove.
    """
    job = _Unpacking(archive, dest, limits, progress, stop or threading.Event())
    try:
        return job.run(Members(strip, limits))
    except SourceError:
        raise
    except FileExistsError as error:
        raise UnsafeArchive(f"{archive} is refused: {error.filename2 or error.filename} is there already") from error
    except (OSError, *DAMAGED) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise local_error(error, dest) from error
        raise SourceError(f"{archive} is damaged or no archive: {error}; make or fetch it again") from error


class _Unpacking:
    """One archive on its way into one folder."""

    def __init__(self, archive: str, dest: str, limits: Limits, progress: Progress, stop: threading.Event) -> None:
        self._archive, self._dest, self._limits = archive, dest, limits
        self._progress, self._stop = progress, stop
        self._deadline = time.monotonic() + limits.seconds
        self._written = 0

    def run(self, rules: Members) -> int:
        if not os.path.isdir(self._dest):
            os.makedirs(self._dest)
            os.chmod(self._dest, 0o755)
        links: list[Decision] = []
        for member, opened in open_archive(self._archive):
            self._still_allowed()
            decision = rules.check(member)
            if decision is None:
                continue
            path = os.path.join(self._dest, decision.path)
            if decision.kind == FOLDER:
                self._make_folder(path)
            elif decision.kind == FILE:
                self._write(decision, path, opened)
            elif not decision.repeated:
                links.append(decision)
        rules.finish()
        self._make_links(links)
        self._check_links()
        return self._written

    def _still_allowed(self) -> None:
        if self._stop.is_set():
            raise Stopped(f"stopped while unpacking {self._archive}")
        if time.monotonic() > self._deadline:
            raise SourceError(f"unpacking {self._archive} took longer than {self._limits.seconds:g} s, the limit")

    def _make_folder(self, path: str) -> None:
        if path == self._dest or (os.path.isdir(path) and not os.path.islink(path)):
            return
        self._make_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)

    def _write(self, decision: Decision, path: str, opened: t.Callable[[], t.IO[bytes]]) -> None:
        if decision.repeated:
            self._compare(decision, path, opened)
            return
        need_space(self._dest, decision.size)
        self._make_folder(os.path.dirname(path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with opened() as source, open(os.open(path, flags, 0o600), "wb") as file:
            size = 0
            for block in iter(lambda: source.read(CHUNK), b""):
                self._still_allowed()
                size += len(block)
                if size > decision.size:
                    raise UnsafeArchive(f"archive member {decision.path!r} is refused: it is longer than it claims")
                file.write(block)
                self._report(len(block))
            if size < decision.size:
                raise SourceError(
                    f"{self._archive} is damaged: {decision.path!r} ends after {size} of {decision.size} bytes"
                )
            os.fchmod(file.fileno(), decision.mode)

    def _compare(self, decision: Decision, path: str, opened: t.Callable[[], t.IO[bytes]]) -> None:
        with opened() as source, open(path, "rb") as file:
            for block in iter(lambda: source.read(CHUNK), b""):
                self._still_allowed()
                if file.read(len(block)) != block:
                    raise UnsafeArchive(
                        f"archive member {decision.path!r} is refused: the archive has it twice, and not alike"
                    )

    def _make_links(self, links: t.Sequence[Decision]) -> None:
        """Hard links before symbolic ones, so that nothing is ever written through a link."""
        for link in sorted(links, key=lambda decision: decision.kind != HARDLINK):
            path = os.path.join(self._dest, link.path)
            self._make_folder(os.path.dirname(path))
            if link.kind == HARDLINK:
                os.link(os.path.join(self._dest, link.target), path, follow_symlinks=False)
            elif link.kind == SYMLINK:
                os.symlink(link.target, path)

    def _check_links(self) -> None:
        """Several archives may share a folder: a link that is harmless in each may not be so in all of them."""
        root = os.path.realpath(self._dest)
        for folder, folders, files in os.walk(root):
            for name in folders + files:
                path = os.path.join(folder, name)
                if os.path.islink(path) and not (os.path.realpath(path) + "/").startswith(root + "/"):
                    raise UnsafeArchive(f"{self._archive} is refused: with it, the link {path} leads outside")

    def _report(self, size: int) -> None:
        before = self._written // (16 * MIB)
        self._written += size
        if self._written // (16 * MIB) != before:
            self._progress("unpacking", self._written, 0)
