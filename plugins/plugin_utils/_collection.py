# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This collection as one tar archive, for hosts that converge themselves.

The bytes depend on the files that a run needs alone: a clone, an installed collection and what was unpacked from such
an archive give the same one, so that a host which looks at itself finds what its controller has brought.
"""

from __future__ import annotations

import hashlib
import io
import pathlib
import tarfile
import typing as t

BUNDLE = "collection"  # how a catalog names it as its source
ROOT = pathlib.Path(__file__).resolve().parents[2]
_PLACE = "ansible_collections/rbee/fleet"
_FOLDERS = ("catalog", "meta", "playbooks", "plugins", "roles")


def write(stream: t.IO[bytes], root: pathlib.Path = ROOT) -> None:
    """Write the archive of the collection in a folder. Raises OSError."""
    with tarfile.open(fileobj=stream, mode="w:", format=tarfile.USTAR_FORMAT) as archive:
        for path in _files(root):
            data = path.read_bytes()
            member = tarfile.TarInfo(f"{_PLACE}/{path.relative_to(root).as_posix()}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def digest(root: pathlib.Path = ROOT) -> str:
    """SHA-256 of the archive. Raises OSError."""
    sha256 = _Digest()
    write(t.cast(t.IO[bytes], sha256), root)
    return sha256.value


def _files(root: pathlib.Path) -> list[pathlib.Path]:
    found = (path for folder in _FOLDERS for path in (root / folder).rglob("*"))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


class _Digest:
    """A stream that keeps nothing of what is written to it but the digest."""

    def __init__(self) -> None:
        self._sha256, self._size = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    @property
    def value(self) -> str:
        return self._sha256.hexdigest()
