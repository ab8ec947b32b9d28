# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a download from Hugging Face: which files, in what environment, what a failure means. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import json
import posixpath
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, without_secrets
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

HUGGINGFACE = "huggingface"  # the kind of source, and the tool that fetches it
HUB_TOKEN = "hf_token"  # the name of the secret

_ENDPOINT = "https://huggingface.co"
_LARGEST_PLAIN = 50 * 1000**3  # bytes; the client refuses plain HTTP beyond (MAX_HTTP_DOWNLOAD_SIZE)
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5}\.gguf)")  # as gguf-split of llama.cpp names them

# What the client says on its standard error (huggingface_hub.cli._errors), and what that means for its user.
_CAUSES = (
    (
        r"Access denied\.|403 Forbidden",
        "{repository} is gated: accept its licence on {endpoint}/{repository}, and set hf_token in rbee.conf to a "
        "token of that account",
    ),
    (
        r"Invalid credentials|Invalid username or password",
        "{endpoint} does not accept the token: correct hf_token in rbee.conf, or HF_TOKEN on the host",
    ),
    (
        r"^Error: (Model|Repository)( '[^']*')? not found",
        "{endpoint} has no model {repository} that is open to you: correct the name, or set hf_token in rbee.conf "
        "if it is private",
    ),
    (
        r"Revision not found",
        "{repository} has no revision {revision}: correct 'revision' in models.conf",
    ),
    (
        r"offline mode is enabled",
        'HF_HUB_OFFLINE is set on this host, which forbids the download: unset it, or use source = "url" or "file"',
    ),
    (
        r"(Connect|Read|Proxy|RemoteProtocol)(Error|Timeout)|check your connection",
        "{endpoint} cannot be reached: check the network and the proxy settings of the host, or its HF_ENDPOINT",
    ),
)


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file of a repository. size: bytes. sha256: of large files, empty for others. blob: its SHA-1 in git."""

    path: str
    size: int
    sha256: str
    blob: str

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}" if self.sha256 else f"git:{self.blob}"


def read_listing(text: str) -> tuple[RemoteFile, ...]:
    """The files that ``hf models ls REPOSITORY --recursive --format json`` lists. Raises SourceError."""
    try:
        found = tuple(_file(item) for item in json.loads(text) if "size" in item)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"the list of files is not understood: {error!r}") from error
    return _inside(found)


def read_info(text: str) -> tuple[str, tuple[RemoteFile, ...]]:
    """The commit and the files in the answer to ``GET /api/models/REPOSITORY/revision/REVISION?blobs=true``.

    Raises SourceError.
    """
    try:
        return info_from(json.loads(text))
    except ValueError as error:
        raise SourceError(f"the answer of the hub is not understood: {error!r}") from error


def info_from(data: t.Any) -> tuple[str, tuple[RemoteFile, ...]]:
    """The same of the data in it."""
    try:
        files = tuple(
            RemoteFile(
                str(item["rfilename"]),
                int(item["size"]),
                str((item.get("lfs") or {}).get("sha256", "")),
                str(item["blobId"]),
            )
            for item in data["siblings"]
        )
        commit = str(data["sha"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"the answer of the hub is not understood: {error!r}") from error
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        raise SourceError(f"the hub names no commit, but {commit[:80]!r}")
    return commit, _inside(files)


def info_of(commit: str, files: t.Sequence[RemoteFile]) -> dict[str, t.Any]:
    """The inverse of :func:`info_from`."""
    siblings = [
        {"rfilename": file.path, "size": file.size, "blobId": file.blob}
        | ({"lfs": {"sha256": file.sha256}} if file.sha256 else {})
        for file in files
    ]
    return {"sha": commit, "siblings": siblings}


def _inside(files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
    for file in files:
        if posixpath.isabs(file.path) or ".." in file.path.split("/") or "\x00" in file.path:
            raise SourceError(f"the repository has a file {file.path!r}, which would lie outside its folder")
    return files


def _file(item: t.Mapping[str, t.Any]) -> RemoteFile:
    large = item.get("lfs") or {}
    return RemoteFile(str(item["path"]), int(item["size"]), str(large.get("sha256", "")), str(item["blob_id"]))


def choose_files(source: Source, files: t.Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The files to fetch: all of them, or the one that is named, with its other parts when it is a split GGUF.

    Raises SourceError when there is no such file, or when they are not those of the expected digests.
    """
    chosen = _chosen(source, files)
    listed = {file.path: file.digest for file in chosen}
    other = sorted(path for path in {*listed, *source.files} if listed.get(path) != source.files.get(path))
    if source.files and other:
        raise SourceError(
            f"{other[0]} of {source.repository} is not what the lock names at revision {source.revision}: expected "
            f"{source.files.get(other[0], 'no such file')}, the hub has {listed.get(other[0], 'none')}; distrust the "
            f"repository, or renew the lock with -e rbee_update=true"
        )
    return chosen


def _chosen(source: Source, files: t.Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    if not files:
        raise SourceError(f"{source.repository} is empty at revision {source.revision}")
    if not source.name:
        return tuple(files)
    named = next((file for file in files if file.path == source.name), None)
    if named is None:
        near = difflib.get_close_matches(source.name, [file.path for file in files], n=3, cutoff=0.3)
        hint = f"; near: {', '.join(near)}" if near else ""
        raise SourceError(f"{source.repository} has no file {source.name} at revision {source.revision}{hint}")
    if source.sha256 and named.sha256 and named.sha256 != source.sha256:
        raise SourceError(
            f"{source.name} of {source.repository} is not the expected file: expected sha256 {source.sha256}, the hub "
            f"has {named.sha256}; correct the digest if the file was meant to change, else distrust the repository"
        )
    part = _PART.fullmatch(source.name)
    if not part:
        return (named,)
    others = (file for file in files if (match := _PART.fullmatch(file.path)) and match.groups() == part.groups())
    return tuple(others)


def environment(given: t.Mapping[str, str], home: str, token: str, largest: int) -> dict[str, str]:
    """What the client runs with: the host's own settings, quietly, and nothing written outside ``home``.

    token: overrides the host's own, empty for none. largest: bytes of the largest file.
    """
    env = {key: value for key, value in given.items() if key != "HF_DEBUG"}  # that logs requests
    env.setdefault("HF_HOME", home)
    if largest <= _LARGEST_PLAIN:
        # Plain HTTP goes on where it ended; the Xet protocol begins a file anew, but is the only way for larger ones.
        env.setdefault("HF_HUB_DISABLE_XET", "1")
    env.update(
        HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_UPDATE_CHECK="1", NO_COLOR="1"
    )
    return {**env, "HF_TOKEN": token} if token else env


def explain(source: Source, said: str, given: t.Mapping[str, str]) -> str:
    """Why the client failed, in one line. said: its standard error. given: the environment of the host."""
    endpoint = without_secrets(given.get("HF_ENDPOINT", "") or _ENDPOINT).rstrip("/")
    if source.files and "Revision not found" in said:
        return (
            f"{source.repository} does not have the commit {source.revision} that rbee.lock names; to take what is "
            f"there instead, run install with -e rbee_update=true"
        )
    for pattern, cause in _CAUSES:
        if re.search(pattern, said, re.MULTILINE):
            return cause.format(repository=source.repository, revision=source.revision, endpoint=endpoint)
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
    return f"{source.repository} cannot be fetched from {endpoint}: {without_secrets(lines[-1])}"
