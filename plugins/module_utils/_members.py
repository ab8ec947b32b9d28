# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive may bring onto a host: a decision for every member. Pure.

A member is refused when it could write outside the destination, change what another member wrote, or bring anything
but files, folders and links. Symbolic links are judged together at the end, because a link may lead through others.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits, SourceError, human

FILE, FOLDER, SYMLINK, HARDLINK = "file", "folder", "symlink", "hardlink"

MAX_DEPTH = 64
MAX_NAME = 255
MAX_PATH = 3072
MAX_HOPS = 40
_SETUID, _SETGID, _EXECUTE = 0o4000, 0o2000, 0o111


class UnsafeArchive(SourceError):
    """An archive that is refused; the message names the member and the reason."""


@dataclasses.dataclass(frozen=True)
class Member:
    """One entry as the archive states it.

    kind: ``file``, ``folder``, ``symlink``, ``hardlink``; any other word is refused by that name. size: bytes.
    target: of a link; relative to the member's folder for a symlink, to the archive's root for a hard link.
    """

    name: str
    kind: str
    mode: int = 0o644
    size: int = 0
    target: str = ""


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to create: ``path`` and a hard link's ``target`` are relative to the destination.

    repeated: the path was accepted before; a file must then hold the same bytes.
    """

    path: str
    kind: str
    mode: int
    size: int = 0
    target: str = ""
    repeated: bool = False


class Members:
    """Judges the members of one archive in their order, without the first ``strip`` folders of every name."""

    def __init__(self, strip: int = 0, limits: Limits = Limits()) -> None:
        self._strip, self._limits = strip, limits
        self._accepted: dict[tuple[str, ...], Decision] = {}
        self._folders: set[tuple[str, ...]] = {()}
        self._count = self._bytes = 0

    def check(self, member: Member) -> t.Optional[Decision]:
        """The decision for the next member; None for a folder that ``strip`` takes away. Raises UnsafeArchive."""
        self._count_in(member)
        if member.kind not in (FILE, FOLDER, SYMLINK, HARDLINK):
            raise _refused(member, f"it is a {member.kind}; only files, folders and links are unpacked")
        if member.mode & _SETUID or (member.mode & _SETGID and member.kind != FOLDER):
            raise _refused(member, "it has a setuid or setgid bit")
        parts = self._inside(member, member.name)
        if parts is None:
            if member.kind != FOLDER:
                raise _refused(member, f"its name has no more than the {self._strip} leading folders to strip")
            return None
        target = member.target
        if member.kind == SYMLINK:
            _check_text(member, target, "link target")
            if target.startswith("/"):
                raise _refused(member, f"it links to the absolute path {target!r}")
        elif member.kind == HARDLINK:
            linked = self._inside(member, target)
            if linked is None or linked not in self._accepted or self._accepted[linked].kind not in (FILE, HARDLINK):
                raise _refused(member, f"it is a hard link to {target!r}, which is not an earlier file of the archive")
            target = "/".join(linked)
        return self._place(member, parts, target)

    def finish(self) -> None:
        """Judges the symbolic links once all members are known. Raises UnsafeArchive for one that leads outside."""
        for parts, decision in self._accepted.items():
            if decision.kind == SYMLINK:
                self._follow(parts, decision)

    def _count_in(self, member: Member) -> None:
        self._count += 1
        if self._count > self._limits.max_files:
            raise UnsafeArchive(f"the archive has more than {self._limits.max_files} members, the limit")
        if member.size < 0:
            raise _refused(member, "it has a negative size")
        self._bytes += member.size if member.kind == FILE else 0
        if self._bytes > self._limits.max_bytes:
            raise UnsafeArchive(
                f"the archive unpacks to more than {human(self._limits.max_bytes)}, the limit, at {member.name!r}"
            )

    def _inside(self, member: Member, name: str) -> t.Optional[tuple[str, ...]]:
        """The stripped parts of a name below the archive's root; None when nothing is left of it."""
        _check_text(member, name, "name")
        if name.startswith("/"):
            raise _refused(member, "its name is an absolute path")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            raise _refused(member, "its name has a '..'")
        if len(parts) > MAX_DEPTH:
            raise _refused(member, f"it is more than {MAX_DEPTH} folders deep")
        if any(len(part.encode()) > MAX_NAME for part in parts):
            raise _refused(member, f"a part of its name is longer than {MAX_NAME} bytes")
        return parts[self._strip :] or None

    def _place(self, member: Member, parts: tuple[str, ...], target: str) -> Decision:
        for end in range(1, len(parts)):
            above = parts[:end]
            if above in self._accepted and self._accepted[above].kind != FOLDER:
                raise _refused(member, f"it lies below {'/'.join(above)!r}, which is not a folder")
            self._folders.add(above)
        if member.kind != FOLDER and parts in self._folders:
            raise _refused(member, "another member has this name as a folder")
        mode = 0o755 if member.kind == FOLDER or member.mode & _EXECUTE else 0o644
        size = member.size if member.kind == FILE else 0
        decision = Decision("/".join(parts), member.kind, mode, size, target)
        if parts in self._accepted:
            if self._accepted[parts] != decision:
                raise _refused(member, "the archive has it twice, and not alike")
            return dataclasses.replace(decision, repeated=True)
        if member.kind == FOLDER:
            self._folders.add(parts)
        self._accepted[parts] = decision
        return decision

    def _follow(self, parts: tuple[str, ...], link: Decision) -> None:
        """Walks a link as the kernel would, other links of the archive included."""
        here: list[str] = list(parts[:-1])
        todo = link.target.split("/")[::-1]
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    raise UnsafeArchive(
                        f"archive member {link.path!r} is refused: it links to {link.target!r}, outside the archive"
                    )
                here.pop()
                continue
            here.append(part)
            step = self._accepted.get(tuple(here))
            if step is not None and step.kind == SYMLINK:
                hops += 1
                if hops > MAX_HOPS:
                    raise UnsafeArchive(f"archive member {link.path!r} is refused: its links lead in a circle")
                here.pop()
                todo.extend(step.target.split("/")[::-1])


def _check_text(member: Member, text: str, what: str) -> None:
    if not text:
        raise _refused(member, f"its {what} is empty")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise _refused(member, f"its {what} has a control character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _refused(member, f"its {what} is not UTF-8") from None
    if size > MAX_PATH:
        raise _refused(member, f"its {what} is longer than {MAX_PATH} bytes")


def _refused(member: Member, reason: str) -> UnsafeArchive:
    return UnsafeArchive(f"archive member {member.name!r} is refused: {reason}")
