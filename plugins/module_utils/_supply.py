# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's side of what the controller brings: what is lacking, taking it in, and handing it out.

What was taken in lies in ``<prefix>/cache/brought``, each file under its SHA-256, until a run that used it succeeds; so
a run that ends early leaves to the next one what had arrived.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tarfile
import tempfile
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import _interpreter, _store
from ansible_collections.rbee.fleet.plugins.module_utils._disk import local_error, need_space
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import (
    ARTEFACT,
    ENVIRONMENT,
    Item,
    Need,
    is_brought,
    parts,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

CHUNK = 1 << 20
KEPT = 24 * 3600  # seconds that files stay which a run brought and did not come to use


class Supply:
    """What the controller brings to one host. fetch: who fetches. supplies: what it has brought, by id of the need.

    python: an interpreter that may not be here yet.
    """

    def __init__(
        self,
        layout: Layout,
        fetch: str,
        platform: str,
        supplies: t.Mapping[str, t.Sequence[Item]],
        python: t.Optional[_interpreter.Interpreter] = None,
    ) -> None:
        self._folder, self._fetch, self._platform, self._supplies = layout.brought, fetch, platform, supplies
        self._python = python

    def lacking(self, source: Source, interpreter: str) -> list[Need]:
        """What a source needs from the controller and what is not here. interpreter: path, for an environment."""
        needs = [self._need(part, interpreter) for part in parts(source) if self._is_brought(part)]
        return [need for need in needs if not self._is_here(need)]

    def files(self, part: Source, interpreter: str = "") -> t.Optional[dict[str, str]]:
        """The path of each file of a part of a source, by its name, verified; None where the host fetches it itself.

        Raises SourceError when the controller should have brought it and it is not here, or no longer what it was.
        """
        if not self._is_brought(part):
            return None
        items = self._supplies.get(self._need(part, interpreter).id)
        if items is None:
            raise SourceError(f"the controller has not brought {describe(part)}; run again")
        return {item.name: self._verified(item) for item in items}

    def _is_brought(self, part: Source) -> bool:
        if part.path:
            return not os.path.isfile(part.path)  # where the controller is this host, it is here
        return is_brought(part, self._fetch) and not part.url.startswith("file:")

    def _need(self, part: Source, interpreter: str) -> Need:
        if part.kind != ENVIRONMENT:
            return Need(part)
        coming = self._python is not None and interpreter == self._python.path
        found = self._python if coming else _interpreter.ask_interpreter(interpreter)
        if found is None:
            raise SourceError(f"{interpreter} does not run any more; run again")
        return Need(part, self._platform, found.version, glibc_version())

    def _is_here(self, need: Need) -> bool:
        items = self._supplies.get(need.id)
        return items is not None and all(os.path.isfile(self._path(item.sha256)) for item in items)

    def _path(self, sha256: str) -> str:
        return os.path.join(self._folder, sha256)

    def _verified(self, item: Item) -> str:
        path = self._path(item.sha256)
        if not os.path.isfile(path) or _store.hash_file(path) != item.sha256:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise SourceError(f"{item.name}, which the controller has brought, is gone or damaged; run again")
        return path


def describe(part: Source) -> str:
    """A part of a source, for people."""
    if part.kind == ARTEFACT:
        return os.path.basename(part.path or part.url)
    return "the Python packages" if part.kind == ENVIRONMENT else part.repository


def glibc_version() -> str:
    """Of this host, for example ``2.36``; empty where the C library is another one."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (ValueError, OSError):
        return ""


def held(layout: Layout) -> list[str]:
    """The digests of what is here already."""
    return [name for name in _store.list_folder(layout.brought) if _is_digest(name)]


def take(prefix: str, files: t.Mapping[str, str]) -> None:
    """Takes in what was copied to this host, verified, and removes the copies.

    files: digest by path; an empty one for a tar archive whose members are named by their digests.
    Raises SourceError; what was taken in before that stays.
    """
    layout = Layout(prefix)
    try:
        os.makedirs(os.path.dirname(prefix), exist_ok=True)
        for folder in (prefix, layout.cache, layout.brought):
            _store.make_folder(folder)
        for path, sha256 in files.items():
            with open(path, "rb") as stream:
                if sha256:
                    _keep(layout.brought, stream, os.fstat(stream.fileno()).st_size, sha256)
                else:
                    _keep_members(layout.brought, stream)
            with contextlib.suppress(PermissionError):  # another user's folder; that one removes it
                os.unlink(path)
    except (tarfile.TarError, EOFError) as error:
        raise SourceError(f"what the controller sent did not arrive whole: {error}; run again") from error
    except OSError as error:
        raise local_error(error, layout.brought) from error


def prune(layout: Layout, used: t.Iterable[t.Sequence[Item]]) -> None:
    """Removes what a run has used, and what was brought long ago; others may be about to use the rest."""
    done = {item.sha256 for items in used for item in items}
    for name in _store.list_folder(layout.brought):
        path = os.path.join(layout.brought, name)
        with contextlib.suppress(FileNotFoundError):
            if name in done or os.lstat(path).st_mtime < time.time() - KEPT:
                os.unlink(path)


def _keep_members(folder: str, stream: t.BinaryIO) -> None:
    with tarfile.open(fileobj=stream, mode="r:") as parcel:
        for member in parcel:
            content = parcel.extractfile(member)
            if content is not None:
                _keep(folder, content, member.size, member.name)


def _keep(folder: str, stream: t.IO[bytes], size: int, sha256: str) -> None:
    if not _is_digest(sha256):
        raise SourceError(f"{sha256!r} is not a SHA-256 digest: expected 64 hexadecimal digits")
    need_space(folder, size)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            for block in iter(lambda: stream.read(CHUNK), b""):
                digest.update(block)
                file.write(block)
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise SourceError(
                f"a file arrived damaged: expected sha256 {sha256}, found {digest.hexdigest()}; run again"
            )
        os.rename(temporary, os.path.join(folder, sha256))
    except BaseException:
        os.unlink(temporary)
        raise
    _store.sync_folder(folder)


def _is_digest(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", name) is not None
