# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking real archives, good ones and such as somebody made to do harm."""

from __future__ import annotations

import bz2
import collections.abc
import gzip
import io
import lzma
import os
import pathlib
import stat
import subprocess
import tarfile
import tempfile
import threading
import typing as t
import zipfile

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._archive import NotAnArchive
from ansible_collections.rbee.fleet.plugins.module_utils._members import UnsafeArchive
from ansible_collections.rbee.fleet.plugins.module_utils._sources import (
    MIB,
    RESERVE,
    Limits,
    NoSpace,
    SourceError,
    Stopped,
)
from ansible_collections.rbee.fleet.plugins.module_utils._unpack import unpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

COMPRESSORS: dict[str, t.Callable[[bytes], bytes]] = {
    "plain": lambda data: data, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress
}  # fmt: skip


def entry(name: str, data: bytes = b"", **fields: t.Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=kind, linkname=target)


def tar_bytes(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Bench:
    """Writes an archive and unpacks it into an empty folder."""

    def __init__(self, root: pathlib.Path) -> None:
        self.archive, self.dest = root / "archive", root / "outer" / "dest"

    def unpack(self, data: bytes, **options: t.Any) -> int:
        self.archive.write_bytes(data)
        return unpack(str(self.archive), str(self.dest), **options)

    def tree(self) -> dict[str, str]:
        """What was unpacked: mode and content, or the target of a link, by path."""
        found = {}
        for path in sorted(self.dest.rglob("*")):
            mode = f"{stat.S_IMODE(path.lstat().st_mode):o}"
            name = str(path.relative_to(self.dest))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            else:
                found[name] = mode if path.is_dir() else f"{mode} {path.read_text()}"
        return found


@pytest.fixture(name="bench")
def _bench(tmp_path: pathlib.Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)
def test_a_tar_of_any_compression_is_unpacked_by_content(bench: Bench, compress: t.Callable[[bytes], bytes]) -> None:
    data = tar_bytes(
        entry("top", type=tarfile.DIRTYPE, mode=0o700),
        link("top/bin/alias", "../lib/program"),
        entry("top/lib/program", b"run", mode=0o700, uid=1234, mtime=1),
        entry("top/empty", mode=0o666),
        link("top/hard", "top/lib/program", tarfile.LNKTYPE),
        entry("top/notes", b"read", mode=0o640),
    )
    assert bench.unpack(compress(data), strip=1) == 7
    assert bench.tree() == {
        "bin": "755", "bin/alias": "-> ../lib/program", "empty": "644 ", "hard": "755 run",
        "lib": "755", "lib/program": "755 run", "notes": "644 read",
    }  # fmt: skip
    assert (bench.dest / "lib/program").stat().st_uid == os.getuid()


def test_modes_do_not_depend_on_the_umask(bench: Bench) -> None:
    before = os.umask(0o077)
    try:
        bench.unpack(tar_bytes(entry("a/b", b"x")))
    finally:
        os.umask(before)
    assert bench.tree() == {"a": "755", "a/b": "644 x"}
    assert stat.S_IMODE(bench.dest.stat().st_mode) == 0o755


def zip_bytes(*entries: tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.compress_type = 3, mode << 16, method
            archive.writestr(info, data)
    return buffer.getvalue()


def test_a_zip_keeps_execute_bits_and_links(bench: Bench) -> None:
    bench.unpack(
        zip_bytes(
            ("top/bin/", b"", stat.S_IFDIR | 0o700),
            ("top/bin/run", b"go", stat.S_IFREG | 0o755),
            ("top/readme", b"hi", 0),
            ("top/link", b"bin/run", stat.S_IFLNK | 0o777),
        ),
        strip=1,
    )
    assert bench.tree() == {"bin": "755", "bin/run": "755 go", "link": "-> bin/run", "readme": "644 hi"}


@pytest.mark.parametrize(
    "bad",
    [
        entry("../evil", b"x"),
        entry("/tmp/evil", b"x"),
        link("evil", "/etc/passwd"),
        link("evil", "../../x"),
        link("evil", "/etc/passwd", tarfile.LNKTYPE),
        entry("evil", type=tarfile.CHRTYPE),
        entry("evil", type=tarfile.BLKTYPE),
        entry("evil", type=tarfile.FIFOTYPE),
        entry("evil", b"x", mode=0o4755),
        entry("evil", b"x", mode=0o2755),
        entry("evil\nname", b"x"),
    ],
    ids=lambda bad: f"{bad[0].type!r} {bad[0].name!r} {bad[0].linkname!r} {bad[0].mode:o}",
)
def test_a_tar_with_a_dangerous_member_is_refused_and_writes_nothing_outside(
    bench: Bench, bad: tuple[tarfile.TarInfo, bytes]
) -> None:
    with pytest.raises(UnsafeArchive, match="refused"):
        bench.unpack(tar_bytes(entry("good", b"x"), bad))
    assert list(bench.dest.parent.iterdir()) == [bench.dest]
    assert not bench.dest.joinpath("evil").exists()


@pytest.mark.parametrize(
    ("name", "data", "mode"),
    [
        ("../evil", b"x", 0),
        ("/evil", b"x", 0),
        ("evil", b"/etc/passwd", stat.S_IFLNK | 0o777),
        ("evil", b"../x", stat.S_IFLNK | 0o777),
        ("evil", b"x", stat.S_IFREG | 0o4755),
        ("evil", b"", stat.S_IFIFO | 0o644),
        ("evil", b"", stat.S_IFCHR | 0o644),
    ],
)
def test_a_zip_with_a_dangerous_member_is_refused(bench: Bench, name: str, data: bytes, mode: int) -> None:
    with pytest.raises(UnsafeArchive, match="refused"):
        bench.unpack(zip_bytes(("good", b"x", 0), (name, data, mode)))
    assert list(bench.dest.parent.iterdir()) == [bench.dest]


def test_the_same_file_twice_is_accepted_and_a_different_one_refused(bench: Bench) -> None:
    bench.unpack(tar_bytes(entry("a", b"same"), entry("./a", b"same")))
    assert bench.tree() == {"a": "644 same"}
    with pytest.raises(UnsafeArchive, match="the archive has it twice"):
        unpack_again = Bench(bench.dest.parent)
        unpack_again.unpack(tar_bytes(entry("a", b"same"), entry("a", b"else")))


def test_two_archives_may_share_a_folder_but_not_a_file(bench: Bench) -> None:
    bench.unpack(tar_bytes(entry("lib/a", b"1")))
    bench.unpack(tar_bytes(entry("lib/b", b"2")))
    assert bench.tree() == {"lib": "755", "lib/a": "644 1", "lib/b": "644 2"}
    with pytest.raises(UnsafeArchive, match="lib/a is there already"):
        bench.unpack(tar_bytes(entry("lib/a", b"3")))
    assert bench.tree()["lib/a"] == "644 1"


def test_an_archive_cannot_leave_through_a_link_of_another(bench: Bench) -> None:
    bench.unpack(tar_bytes(entry("top", type=tarfile.DIRTYPE), link("a/b/inner", "../../top")))
    with pytest.raises(UnsafeArchive, match="leads outside"):
        bench.unpack(tar_bytes(link("y", "a/b/inner/../..")))
    with pytest.raises(UnsafeArchive, match="is there already"):
        bench.unpack(tar_bytes(entry("a/b/inner/x", b"through")))


_NAMES = st.sampled_from(["a", "b", "d/e/a"])
_KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
_TARGETS = st.sampled_from(["..", "../..", "a", "d/e/a", "d/e/a/..", "b/..", "d/e/../.."])


@settings(deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(_NAMES, _KINDS, _TARGETS), min_size=2, max_size=3))
def test_no_archive_leads_out_of_its_folder(members: list[tuple[str, bytes, str]]) -> None:
    data = tar_bytes(*(entry(name, type=kind, linkname=target) for name, kind, target in members))
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(pathlib.Path(root))
        try:
            bench.unpack(data)
        except UnsafeArchive:
            return
        inside = os.path.realpath(bench.dest)
        for path in bench.dest.rglob("*"):
            assert (os.path.realpath(path) + "/").startswith(inside + "/")


def test_a_bomb_is_stopped_at_the_limit_of_bytes(bench: Bench) -> None:
    with pytest.raises(UnsafeArchive, match=r"more than 1\.0 MiB"):
        bench.unpack(gzip.compress(tar_bytes(entry("bomb", bytes(20 * MIB)))), limits=Limits(max_bytes=MIB))
    assert bench.tree() == {}


def test_a_bomb_of_many_members_is_stopped_at_the_limit_of_files(bench: Bench) -> None:
    data = tar_bytes(*(entry(f"f{number}") for number in range(50)))
    with pytest.raises(UnsafeArchive, match="more than 20 members"):
        bench.unpack(data, limits=Limits(max_files=20))


def test_a_zip_member_that_is_longer_than_it_claims_is_refused(bench: Bench) -> None:
    data = bytearray(zip_bytes(("bomb", bytes(MIB), 0)))
    central = data.rindex(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    with pytest.raises(SourceError, match=r"is damaged|is refused"):
        bench.unpack(bytes(data))


def test_an_unpacking_that_takes_too_long_is_ended(bench: Bench) -> None:
    with pytest.raises(SourceError, match="took longer than 0 s"):
        bench.unpack(tar_bytes(entry("a", b"x")), limits=Limits(seconds=0))


def test_a_stop_ends_an_unpacking(bench: Bench) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        bench.unpack(tar_bytes(entry("a", b"x")), stop=stop)


def test_a_header_that_claims_gigabytes_is_not_allocated(bench: Bench) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(SourceError, match="a header claims 8589934592 bytes"):
        bench.unpack(gzip.compress(header + bytes(8 * MIB)))


@pytest.mark.parametrize("cut", [600, 1500])
@pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)
def test_a_cut_off_archive_is_damaged(bench: Bench, compress: t.Callable[[bytes], bytes], cut: int) -> None:
    data = compress(tar_bytes(entry("a", os.urandom(4096))))
    with pytest.raises(SourceError, match="is damaged"):
        bench.unpack(data[:cut])


@pytest.mark.parametrize("data", [b"", b"hello", bytes(4096), b"<html>not found</html>" * 100])
def test_what_is_no_archive_is_said_to_be_none(bench: Bench, data: bytes) -> None:
    with pytest.raises(NotAnArchive, match="neither a tar nor a zip"):
        bench.unpack(data)


def test_a_zip_method_that_cannot_be_bounded_is_refused(bench: Bench) -> None:
    with pytest.raises(NotAnArchive, match="neither stored nor deflated"):
        bench.unpack(zip_bytes(("a", bytes(4096), 0), method=zipfile.ZIP_LZMA))


@pytest.fixture(name="disk")
def _disk(tmp_path: pathlib.Path) -> collections.abc.Iterator[pathlib.Path]:
    """A file system with 4 MiB more than is kept in reserve."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={RESERVE + 4 * MIB}", "rbee-test", str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_member_that_does_not_fit_is_refused_before_it_is_written(bench: Bench, disk: pathlib.Path) -> None:
    bench.dest = disk / "dest"
    with pytest.raises(NoSpace) as failure:
        bench.unpack(gzip.compress(tar_bytes(entry("small", b"x"), entry("large", bytes(5 * MIB)))))
    assert failure.value.needed == 5 * MIB
    assert str(disk) in str(failure.value)
    assert bench.tree() == {"small": "644 x"}


def test_a_read_only_file_system_is_named_with_the_remedy(bench: Bench, disk: pathlib.Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    bench.dest = disk / "dest"
    with pytest.raises(SourceError, match=r"Read-only file system; mount it writable"):
        bench.unpack(tar_bytes(entry("a", b"x")))
