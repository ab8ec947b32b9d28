# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for huggingface.co: answers what its client asks for when it fetches a model, on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import re
import threading
import typing as t
import urllib.parse

COMMIT = "c0ffee" + "0" * 34
PAGE = 2  # files in one page of a listing

_TREE = re.compile(r"/api/models/(?P<repository>.+)/tree/(?P<revision>[^/]+)")
_INFO = re.compile(r"/api/models/(?P<repository>.+?)(/revision/(?P<revision>[^/]+))?")
_FILE = re.compile(r"/(?P<repository>[^/]+(/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_LARGE = re.compile(r"/cdn/(?P<repository>[^/]+/[^/]+)/(?P<sha256>[^/]+)/(?P<path>.+)")


@dataclasses.dataclass
class Repository:
    """files: content by path. large: paths that the hub keeps apart. token: what is needed to get them.

    commit: what ``main`` is. past: the files of earlier commits.
    """

    files: dict[str, bytes]
    large: frozenset[str] = frozenset()
    token: str = ""
    commit: str = COMMIT
    past: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)

    def move(self, commit: str, files: dict[str, bytes]) -> None:
        """A new commit on ``main``, in which these files are others."""
        self.past[self.commit] = self.files
        self.commit, self.files = commit, {**self.files, **files}

    def at(self, revision: str | None) -> dict[str, bytes] | None:
        """The files of a revision, None where there is none such."""
        return self.files if revision in (None, "main", self.commit) else self.past.get(revision or "")


@dataclasses.dataclass
class Asked:
    """One request for the content of a file."""

    path: str
    range: str
    authorized: bool


class Hub:
    """The server; ``damaged`` holds paths whose content it delivers wrong, ``stall`` how far it goes with a file."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.told: list[str] = []  # repositories whose commit was asked for, with all files
        self.secretive = False  # does not tell
        self.renamed: dict[str, str] = {}  # where a repository is by now, a URL by its name
        self.damaged: set[str] = set()
        self.stall: dict[str, int] = {}
        self.stalled, self.closing = threading.Event(), threading.Event()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self.url = f"http://{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server_hub: t.ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        for pattern, action in ((_TREE, self._tree), (_INFO, self._info), (_LARGE, self._large), (_FILE, self._file)):
            match = pattern.fullmatch(path)
            if match:
                if match["repository"] in self.server_hub.renamed:
                    where = self.server_hub.renamed[match["repository"]]
                    return self._send(307, {"Location": where + self.path.replace(match["repository"], "org/model")})
                repository = self.server_hub.repositories.get(match["repository"])
                if repository is None:
                    return self._fail(401, "RepoNotFound", "Repository not found")
                if pattern is not _LARGE and repository.at(match["revision"]) is None:
                    return self._fail(404, "RevisionNotFound", "Invalid rev id")
                return action(repository, match, urllib.parse.parse_qs(url.query))
        return self._fail(404, "", "Not found")

    def _tree(self, repository: Repository, match: re.Match[str], query: dict[str, list[str]]) -> None:
        """https://huggingface.co/docs/hub/api: a page of it, and where the next one is."""
        start = int(query.get("cursor", ["0"])[0])
        files = repository.at(match["revision"]) or {}
        folders = sorted({path.rpartition("/")[0] for path in files} - {""})
        items: list[dict[str, t.Any]] = [{"type": "directory", "path": path, "oid": "0" * 40} for path in folders]
        for path, data in files.items():
            about = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
            if path in repository.large:
                about["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            items.append(about)
        more = {}
        if start + PAGE < len(items):
            more["Link"] = f'<{self.server_hub.url}{match[0]}?recursive=True&cursor={start + PAGE}>; rel="next"'
        self._json(items[start : start + PAGE], more)

    def _info(self, repository: Repository, match: re.Match[str], query: dict[str, list[str]]) -> None:
        """https://huggingface.co/docs/hub/api, and ``HfApi.model_info`` of the client for ``blobs``."""
        given, revision = self.headers.get("Authorization", ""), match["revision"]
        if "blobs" in query:
            self.server_hub.told.append(match["repository"])
            if self.server_hub.secretive:
                return self._fail(503, "", "Service unavailable")
            if repository.token and given != f"Bearer {repository.token}":
                return self._fail(401, "RepoNotFound", "Repository not found")
        files: list[dict[str, t.Any]] = []
        for path, data in (repository.at(revision) or {}).items():
            files.append({"rfilename": path})
            if "blobs" in query:
                files[-1].update(size=len(data), blobId=blob_id(data))
            if "blobs" in query and path in repository.large:
                files[-1]["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        sha = revision if revision in repository.past else repository.commit
        about = {"_id": "1", "id": match["repository"], "sha": sha, "siblings": files, "private": False, "tags": []}
        return self._json(about)

    def _file(self, repository: Repository, match: re.Match[str], _query: object) -> None:
        given = self.headers.get("Authorization", "")
        if repository.token and given != f"Bearer {repository.token}":
            if given:
                return self._fail(403, "GatedRepo", "Your request to access it is awaiting a review")
            return self._fail(401, "GatedRepo", "Access to it is restricted. You must have access to it")
        data = (repository.at(match["revision"]) or {}).get(match["path"])
        commit = match["revision"] if match["revision"] in repository.past else repository.commit
        if data is None:
            return self._fail(404, "EntryNotFound", "Entry not found")
        if match["path"] in repository.large:
            sha256 = hashlib.sha256(data).hexdigest()
            return self._send(
                302,
                {
                    "Location": f"{self.server_hub.url}/cdn/{match['repository']}/{sha256}/{match['path']}",
                    "X-Repo-Commit": commit,
                    "X-Linked-Size": str(len(data)),
                    "X-Linked-Etag": f'"{sha256}"',
                },
            )
        return self._content(match["path"], data, {"X-Repo-Commit": commit, "ETag": f'"{blob_id(data)}"'})

    def _large(self, repository: Repository, match: re.Match[str], _query: object) -> None:
        commits = (repository.files, *repository.past.values())
        every = [files[match["path"]] for files in commits if match["path"] in files]
        data = next(data for data in every if hashlib.sha256(data).hexdigest() == match["sha256"])
        self._content(match["path"], data, {})

    def _content(self, path: str, data: bytes, headers: dict[str, str]) -> None:
        hub, status, start = self.server_hub, 200, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if path in hub.damaged:
            data = bytes(len(data))
        if self.command == "GET":
            hub.asked.append(Asked(path, self.headers.get("Range", ""), "Authorization" in self.headers))
        if wanted:
            status, start = 206, int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body, whole = data[start:], len(data) - start
        stop = hub.stall.get(path)
        if stop is not None and self.command == "GET":
            body = data[start:stop]
        self._send(status, headers, body, whole)
        if stop is not None and self.command == "GET":
            hub.stalled.set()
            hub.closing.wait()

    def _json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def _fail(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._send(status, headers, json.dumps({"error": message}).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", length: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body) if length is None else length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        pass


def blob_id(data: bytes) -> str:
    """What git names a file by."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
