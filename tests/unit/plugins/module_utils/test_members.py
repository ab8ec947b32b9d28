# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members of an archive are let onto a host."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._members import MAX_DEPTH, Member, Members, UnsafeArchive
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits
from hypothesis import given
from hypothesis import strategies as st


def file(name: str, mode: int = 0o644, size: int = 1) -> Member:
    return Member(name, "file", mode, size)


def link(name: str, target: str) -> Member:
    return Member(name, "symlink", 0o777, 0, target)


def judge(*members: Member, strip: int = 0, limits: Limits = Limits()) -> list[str]:
    """The paths that a whole archive comes to."""
    rules = Members(strip, limits)
    decisions = [rules.check(member) for member in members]
    rules.finish()
    return [decision.path for decision in decisions if decision]


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (file("../x"), "'..'"),
        (file("a/../../x"), "'..'"),
        (file("a/../x"), "'..'"),
        (file("/etc/passwd"), "absolute"),
        (file(""), "empty"),
        (file("a\nb"), "control character"),
        (file("a\0b"), "control character"),
        (file("caf\udce9"), "not UTF-8"),
        (file("d/" * MAX_DEPTH + "x"), "folders deep"),
        (file("x" * 256), "longer than 255 bytes"),
        (file("x", 0o4755), "setuid"),
        (file("x", 0o2755), "setgid"),
        (Member("x", "folder", 0o4755), "setuid"),
        (Member("x", "device"), "device"),
        (Member("x", "fifo"), "fifo"),
        (Member("x", "sparse file"), "sparse file"),
        (file("x", size=-1), "negative size"),
        (link("x", "/etc/passwd"), "absolute path"),
        (link("x", ""), "empty"),
        (link("x", "../y"), "outside the archive"),
        (link("a/x", "../../y"), "outside the archive"),
        (link("x", "a/../../y"), "outside the archive"),
        (Member("x", "hardlink", target="../y"), "'..'"),
        (Member("x", "hardlink", target="/etc/shadow"), "absolute"),
        (Member("x", "hardlink", target="missing"), "not an earlier file"),
    ],
)
def test_a_dangerous_member_is_refused_by_name_and_with_the_reason(member: Member, reason: str) -> None:
    with pytest.raises(UnsafeArchive) as refusal:
        judge(member)
    assert reason in str(refusal.value)
    assert repr(member.name) in str(refusal.value)


def test_a_link_that_leaves_through_another_link_is_refused() -> None:
    inner = link("a/b/inner", "../../top")
    with pytest.raises(UnsafeArchive, match="outside the archive"):
        judge(Member("top", "folder"), inner, link("y", "a/b/inner/../.."))


def test_links_in_a_circle_are_refused() -> None:
    with pytest.raises(UnsafeArchive, match="circle"):
        judge(link("a", "b"), link("b", "a"))


def test_a_link_to_a_sibling_folder_is_accepted() -> None:
    assert judge(file("lib/so.1"), link("bin/so", "../lib/so.1")) == ["lib/so.1", "bin/so"]


@pytest.mark.parametrize(
    "second",
    [link("x", "z"), file("x", size=2), file("x", 0o755), Member("x", "folder"), file("x/y")],
    ids=["link", "size", "mode", "folder", "below"],
)
def test_a_name_that_means_two_things_is_refused(second: Member) -> None:
    with pytest.raises(UnsafeArchive):
        judge(file("x"), second)


def test_nothing_is_written_through_a_link() -> None:
    with pytest.raises(UnsafeArchive, match="not a folder"):
        judge(Member("real", "folder"), link("x", "real"), file("x/y"))


def test_a_link_in_the_place_of_a_used_folder_is_refused() -> None:
    with pytest.raises(UnsafeArchive, match="as a folder"):
        judge(file("x/y"), link("x", "elsewhere"))


def test_a_repeated_file_is_marked_so_that_its_bytes_are_compared() -> None:
    rules = Members()
    first, second = rules.check(file("x")), rules.check(file("./x"))
    assert first and second
    assert (first.repeated, second.repeated) == (False, True)


@pytest.mark.parametrize(
    ("given_mode", "kind", "mode"),
    [(0o600, "file", 0o644), (0o666, "file", 0o644), (0o700, "file", 0o755), (0o777, "folder", 0o755)]
    + [(0o2775, "folder", 0o755), (0, "folder", 0o755)],
)
def test_modes_are_normalised_and_the_execute_bit_kept(given_mode: int, kind: str, mode: int) -> None:
    decision = Members().check(Member("x", kind, given_mode))
    assert decision is not None
    assert decision.mode == mode


def test_leading_folders_are_stripped_from_names_and_hard_links() -> None:
    rules = Members(strip=1)
    assert rules.check(Member("top-1.0", "folder")) is None
    assert rules.check(file("top-1.0/a")) is not None
    hard = rules.check(Member("top-1.0/b", "hardlink", target="top-1.0/a"))
    assert hard is not None
    assert (hard.path, hard.target) == ("b", "a")


def test_a_file_that_strip_would_drop_is_refused() -> None:
    with pytest.raises(UnsafeArchive, match="1 leading folders"):
        judge(file("README"), strip=1)


def test_the_number_of_members_is_limited() -> None:
    with pytest.raises(UnsafeArchive, match="more than 2 members"):
        judge(file("a"), file("b"), file("c"), limits=Limits(max_files=2))


def test_the_unpacked_size_is_limited() -> None:
    with pytest.raises(UnsafeArchive, match="more than 10 bytes"):
        judge(file("a", size=6), file("b", size=6), limits=Limits(max_bytes=10))


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), min_size=1, max_size=5).map("/".join)


@given(st.lists(st.tuples(_NAMES, st.sampled_from(["file", "folder", "symlink", "hardlink"]), _NAMES), max_size=6))
def test_whatever_is_accepted_stays_inside(archive: list[tuple[str, str, str]]) -> None:
    rules = Members()
    placed: dict[str, str] = {}
    try:
        for name, kind, target in archive:
            decision = rules.check(Member(name, kind, target=target))
            if decision:
                placed[decision.path] = decision.target if kind == "symlink" else ""
        rules.finish()
    except UnsafeArchive:
        return
    for path in placed:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert not any(placed.get(above) for above in _parents(path)), "something lies below a link"


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
