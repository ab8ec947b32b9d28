# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a model repository of Hugging Face, or one file of it, onto the host, with the ``hf`` program and verified."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._digest import blob_hash
from ansible_collections.rbee.fleet.plugins.module_utils._disk import free_space, need_space
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import (
    RemoteFile,
    choose_files,
    environment,
    explain,
    read_listing,
)
from ansible_collections.rbee.fleet.plugins.module_utils._layout import slug
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._sources import NoSpace, Progress, SourceError, Stopped, quiet
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

_CHUNK = 1 << 20
_LIST_TIMEOUT = 300.0
_REPORT_EVERY = 1.0


def work_folder(cache: str, source: Source) -> str:
    """Where the download of a revision is kept until it is installed: the next run goes on with it."""
    return os.path.join(cache, f"hub-{slug(source.repository)}@{slug(source.revision)}")


def fetch_model(
    hf: str,
    source: Source,
    dest: str,
    work: str,
    token: str = "",
    progress: Progress = quiet,
    stop: t.Optional[threading.Event] = None,
    timeout: float = 24 * 3600,
    find: t.Callable[[str], str] = lambda _sha256: "",
) -> None:
    """Puts the files into ``dest``, a new folder; in ``work``, the caller's to remove, they keep a second name.

    hf: path of the program. token: for gated and private repositories; empty leaves it to the host's environment
    (``HF_TOKEN``), whose other settings (``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, proxies) apply too. timeout: seconds.
    find: the path of a file with this SHA-256 that is here already, or an empty string.
    Raises SourceError, and Stopped or NoSpace of it; ``work`` then holds what a next call goes on with.
    """
    job = _Download(hf, source, work, token, progress, stop or threading.Event(), timeout, find)
    for file in job.run():
        path = os.path.join(dest, file.path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _place(os.path.join(job.files, file.path), path)


class _Download:
    """One revision on its way; ``files`` is where the client puts them, with what it knows of them in ``.cache``."""

    def __init__(
        self,
        hf: str,
        source: Source,
        work: str,
        token: str,
        progress: Progress,
        stop: threading.Event,
        timeout: float,
        find: t.Callable[[str], str] = lambda _sha256: "",
    ) -> None:
        self._hf, self._source, self._work, self._token = hf, source, work, token
        self._progress, self._stop, self._timeout, self._find = progress, stop, timeout, find
        self._repository = [source.repository, "--revision", source.revision]
        self.files = os.path.join(work, "files")
        self._reported = 0.0

    def listing(self) -> t.Sequence[RemoteFile]:
        self._progress(f"asking for the files of {self._source.repository}", 0, 0)
        call = ["models", "ls", *self._repository, "--recursive", "--format", "json"]
        return read_listing(self._call(call, _LIST_TIMEOUT))

    def run(self) -> t.Sequence[RemoteFile]:
        """Returns the files, complete and verified."""
        source = self._source
        files = choose_files(source, self.listing())
        total = sum(file.size for file in files)
        missing = [file for file in files if not self._take(file)]
        need_space(self._work, max(0, total - self._present()))
        names = [file.path for file in missing] if source.name or len(missing) < len(files) else []
        if missing:
            self._call(
                ["download", *self._repository, "--local-dir", self.files, "--format", "quiet", "--", *names],
                self._timeout,
                files,
            )
        done = total - sum(file.size for file in missing)
        for file in missing:
            self._progress(f"verifying {source.repository}", done, total)
            self._verify(file)
            done += file.size
        return files

    def _take(self, file: RemoteFile) -> bool:
        """Whether the file is here now, from an earlier revision that has the same."""
        path, known = os.path.join(self.files, file.path), self._find(file.sha256) if file.sha256 else ""
        if not known or os.path.lexists(path) or self._digest(known, "sha256") != file.sha256:
            return False
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.link(known, path)
        except OSError:  # a file system without hard links
            return False
        return True

    def _call(self, arguments: t.Sequence[str], timeout: float, files: t.Sequence[RemoteFile] = ()) -> str:
        """What the program says on its standard output. Credentials go through its environment alone."""
        total = sum(file.size for file in files)
        largest = max((file.size for file in files), default=0)
        env = environment(os.environ, os.path.join(self._work, "home"), self._token, largest)

        def watch() -> None:
            now = time.monotonic()
            if total and now - self._reported >= _REPORT_EVERY:
                self._reported = now
                self._progress(f"fetching {self._source.repository}", min(self._present(), total), total)

        done = run_program([self._hf, *arguments], timeout, self._stop, env, cwd="/", watch=watch)
        if not done.status:
            return done.stdout
        if "No space left on device" in done.stderr:
            missing = max(0, total - self._present())
            free = free_space(self._work)
            shutil.rmtree(self._work, ignore_errors=True)  # others on this host need the room
            raise NoSpace(os.path.dirname(self._work), missing, free)
        raise SourceError(explain(self._source, done.stderr, env))

    def _present(self) -> int:
        """Bytes that are here already, also of unfinished files."""
        count = 0
        for folder, _folders, names in os.walk(self.files):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # the client renames what is complete
                    count += os.lstat(os.path.join(folder, name)).st_size
        return count

    def _verify(self, file: RemoteFile) -> None:
        """The client compares sizes only. Large files have a SHA-256, the others what git names them by."""
        path = os.path.join(self.files, file.path)
        if not os.path.isfile(path):  # the client makes do with what is there when the hub fails
            raise SourceError(f"{file.path} of {self._source.repository} has not arrived; run again")
        sha256 = (self._source.sha256 if file.path == self._source.name else "") or file.sha256
        found = self._digest(path, "sha256" if sha256 else "blob")
        if found != (sha256 or file.blob):
            os.unlink(path)
            raise SourceError(
                f"{file.path} of {self._source.repository} is not the expected file: expected digest "
                f"{sha256 or file.blob}, found {found}; it is deleted. Run again, in case the revision has changed"
            )

    def _digest(self, path: str, kind: str) -> str:
        digest = hashlib.sha256() if kind == "sha256" else blob_hash(os.path.getsize(path))
        with open(path, "rb") as stream:
            for block in iter(lambda: stream.read(_CHUNK), b""):
                if self._stop.is_set():
                    raise Stopped(f"stopped while verifying {self._source.repository}")
                digest.update(block)
        return digest.hexdigest()


def _place(source: str, dest: str) -> None:
    """A second name, so that a model is never stored twice; the first one lets a killed run go on."""
    try:
        os.link(source, dest)
    except OSError:  # a file system without hard links
        shutil.move(source, dest)
