# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on disk that are either old or new, never half: atomic writes, staged trees, links, receipts, manifests."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
import typing as t

MANIFEST = ".rbee.json"
TEMPORARY = ".rbee-new-"  # names of files that a killed process may leave
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


class StoreError(Exception):
    """Something on disk that cannot be read or written; the message names the path."""


def sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """fsync every regular file and folder below *path*, and *path*."""
    for folder, _folders, files in os.walk(path):
        for name in files:
            full = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(full).st_mode):
                descriptor = os.open(full, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        sync_folder(folder)


def make_folder(path: str, mode: int = 0o755) -> None:
    """Create one folder with exactly this mode, whatever the umask; an existing one is left alone."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        os.chmod(path, mode)


def write_atomic(path: str, data: bytes, mode: int = 0o644, owner: t.Optional[tuple[int, int]] = None) -> None:
    """Write a file so that a crash at any moment leaves the old or the new content under its name."""
    folder = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
            if owner:
                os.fchown(stream.fileno(), *owner)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def write_json(path: str, value: t.Any, mode: int = 0o644) -> None:
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), mode)


def read_json(path: str) -> t.Optional[dict[str, t.Any]]:
    """A JSON object, or None when there is no such file. Raises StoreError when it is something else."""
    try:
        with open(path, encoding="utf-8") as stream:
            value = json.load(stream)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}; if it is damaged, remove it and run again") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}: is not a JSON object; it is damaged: remove it and run again")
    return value


def read_text(path: str) -> t.Optional[str]:
    """The text of a file, or None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error


def link_target(path: str) -> str:
    """The last component of what a link points to, or an empty string."""
    try:
        return os.path.basename(os.readlink(path))
    except OSError:
        return ""


def switch(link: str, target: str) -> None:
    """Point *link* at *target* (relative) in one rename."""
    folder = os.path.dirname(link)
    temporary = os.path.join(folder, TEMPORARY + secrets.token_hex(8))
    os.symlink(target, temporary)
    os.rename(temporary, link)
    sync_folder(folder)


def staging_folder(staging: str) -> str:
    return tempfile.mkdtemp(prefix="stage-", dir=staging)


def commit_tree(staged: str, final: str) -> None:
    """Give a finished tree its name: everything in it is on disk before the name is."""
    os.makedirs(os.path.dirname(final), exist_ok=True)
    os.chmod(staged, 0o755)
    sync_tree(staged)
    if os.path.lexists(final):
        _exchange(staged, final)
        sync_folder(os.path.dirname(final))
        shutil.rmtree(staged, ignore_errors=True)
    else:
        os.rename(staged, final)
        sync_folder(os.path.dirname(final))


def _exchange(one: str, other: str) -> None:
    """Swap the names of two trees at once, so that each name has a tree at every moment (renameat2(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    swap = getattr(libc, "renameat2", None)
    if swap and swap(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    # A C library or a file system that cannot: for a moment the second name is free.
    aside = tempfile.mkdtemp(prefix="old-", dir=os.path.dirname(one))
    os.rename(other, os.path.join(aside, "tree"))
    os.rename(one, other)
    os.rename(os.path.join(aside, "tree"), one)
    os.rmdir(aside)


def remove_tree(path: str) -> None:
    """Remove a tree or a file; nothing there is fine."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def remove_empty_folder(path: str) -> None:
    """Remove a folder that is empty; leave any other alone."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def list_folder(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def write_manifest(tree: str, about: t.Mapping[str, t.Any]) -> None:
    """Record size, modification time and digest of every file of a finished tree, inside it."""
    files = {}
    for path in _walk(tree):
        status = os.lstat(path)
        entry: list[t.Any]
        if stat.S_ISLNK(status.st_mode):
            entry = ["link", os.readlink(path)]
        else:
            entry = [status.st_size, status.st_mtime_ns, hash_file(path)]
        files[os.path.relpath(path, tree)] = entry
    write_json(os.path.join(tree, MANIFEST), {**about, "files": files})


def tree_fault(tree: str, deep: bool = False) -> str:
    """Why a tree is not what its manifest says, or an empty string. Sizes and times; digests too when *deep*."""
    try:
        manifest = read_json(os.path.join(tree, MANIFEST))
    except StoreError:
        return "manifest unreadable"
    if manifest is None:
        return "missing"
    for relative, entry in manifest["files"].items():
        path = os.path.join(tree, relative)
        try:
            status = os.lstat(path)
        except OSError:
            return f"modified: {relative} is gone"
        if entry[0] == "link":
            same = stat.S_ISLNK(status.st_mode) and os.readlink(path) == entry[1]
        else:
            same = stat.S_ISREG(status.st_mode) and [status.st_size, status.st_mtime_ns] == entry[:2]
            same = same and (not deep or hash_file(path) == entry[2])
        if not same:
            return f"modified: {relative}"
    return ""


def hash_file(path: str) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            sha256.update(block)
    return sha256.hexdigest()


def _walk(tree: str) -> t.Iterator[str]:
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted(files) + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            if name != MANIFEST:
                yield os.path.join(folder, name)
