# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens archives, tar (plain, gzip, bzip2, xz, zstd) and zip (wheels too), told apart by content, member by member.

Reads only; what may be unpacked is decided in ``_members`` and written in ``_unpack``.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import stat
import struct
import tarfile
import typing as t
import zipfile
import zlib

from ansible_collections.rbee.fleet.plugins.module_utils._members import FILE, FOLDER, HARDLINK, SYMLINK, Member
from ansible_collections.rbee.fleet.plugins.module_utils._sources import MIB, SourceError

DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, ValueError, OverflowError, RecursionError, NotImplementedError, MemoryError,
)  # fmt: skip
"""What the readers raise on bytes that are not what they claim to be."""

_SETUP_BYTES = 4 * MIB
_TAR_MAGIC_AT = 257
_ZIP_UNIX = 3

Entry = tuple[Member, t.Callable[[], t.IO[bytes]]]


class NotAnArchive(SourceError):
    """A file that is no archive this host can read."""


def open_archive(path: str) -> t.Iterator[Entry]:
    """Every member in order, with a function that opens its bytes before the next member is asked for.

    Raises NotAnArchive for another format, the errors of ``DAMAGED`` while reading, and OSError.
    """
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_members(path)
    opener = _decompressor(head, path)
    if opener is None and head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] != b"ustar":
        raise NotAnArchive(f"{path} is neither a tar nor a zip archive; check the URL it came from")
    return _tar_members(path, opener or _plain)


def _plain(path: str) -> t.IO[bytes]:
    return open(path, "rb")


def _decompressor(head: bytes, path: str) -> t.Optional[t.Callable[[str], t.Any]]:
    if head.startswith(b"\x1f\x8b"):
        return gzip.open
    if head.startswith(b"BZh"):
        return bz2.open
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.open
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            zstd = importlib.import_module("compression.zstd")
        except ImportError:
            raise NotAnArchive(
                f"{path} is compressed with zstd, which Python reads from 3.14 on; use a .tar.xz or .tar.gz of it"
            ) from None
        return t.cast("t.Callable[[str], t.Any]", zstd.open)
    return None


class _Forward:
    """A decompressed stream as tarfile wants it: it goes forward, and a short step back.

    tarfile reads a header's extension whole; a read beyond what any real header needs is refused, not allocated.
    """

    def __init__(self, stream: t.IO[bytes]) -> None:
        self._stream, self._at, self._last, self._ahead = stream, 0, b"", b""

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _SETUP_BYTES:
            raise ValueError(f"a header claims {size} bytes")
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                break
            data += more
        self._at += len(data)
        self._last = (self._last + data)[-512:]
        return data

    def seek(self, position: int) -> int:
        back = self._at - position
        if 0 < back <= len(self._last):
            self._ahead = self._last[-back:] + self._ahead
            self._last = self._last[:-back]
            self._at = position
        while self._at < position:
            if not self.read(min(position - self._at, MIB)):
                break
        if self._at > position:
            raise ValueError("a member lies before the one that was read")
        return self._at


def _tar_members(path: str, opener: t.Callable[[str], t.Any]) -> t.Iterator[Entry]:
    with opener(path) as stream:
        forward = t.cast("t.IO[bytes]", _Forward(stream))
        with tarfile.open(fileobj=forward, mode="r:", errors="surrogateescape") as tar:
            for info in tar:
                yield _tar_member(info), _tar_opener(tar, info)


def _tar_member(info: tarfile.TarInfo) -> Member:
    if info.issparse():
        kind = "sparse file"
    elif info.isreg():
        kind = FILE
    elif info.isdir():
        kind = FOLDER
    elif info.issym():
        kind = SYMLINK
    elif info.islnk():
        kind = HARDLINK
    else:
        kind = "fifo" if info.isfifo() else "device" if info.isdev() else "special member"
    return Member(info.name, kind, info.mode, info.size, info.linkname)


def _tar_opener(tar: tarfile.TarFile, info: tarfile.TarInfo) -> t.Callable[[], t.IO[bytes]]:
    def opened() -> t.IO[bytes]:
        reader = tar.extractfile(info)
        if reader is None:
            raise tarfile.ReadError(f"{info.name} has no content")
        return reader

    return opened


def _zip_members(path: str) -> t.Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                raise NotAnArchive(f"{path}: member {info.filename!r} is encrypted; only plain archives are unpacked")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The other methods expand without a bound on memory.
                raise NotAnArchive(f"{path}: member {info.filename!r} is neither stored nor deflated; zip it again so")
            yield _zip_member(archive, info), _zip_opener(archive, info)


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> t.Callable[[], t.IO[bytes]]:
    return lambda: archive.open(info)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    # The upper half of external_attr is st_mode when the archive was made on Unix; PKWARE's APPNOTE, 4.4.15.
    bits = info.external_attr >> 16 if info.create_system == _ZIP_UNIX else 0
    mode, target = stat.S_IMODE(bits), ""
    if stat.S_ISLNK(bits):
        kind = SYMLINK
        with archive.open(info) as file:
            target = os.fsdecode(file.read(4096))
    elif stat.S_ISDIR(bits) or info.filename.endswith("/"):
        kind = FOLDER
    elif stat.S_ISREG(bits) or not stat.S_IFMT(bits):
        kind = FILE
    else:
        kind = "fifo" if stat.S_ISFIFO(bits) else "device or special member"
    return Member(info.orig_filename, kind, mode, info.file_size, target)
