# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System packages with the real apt and dpkg, from a repository made on the spot.

Installs one empty package of its own, rbee-test-probe, into the system and removes it again.
"""

from __future__ import annotations

import collections.abc
import hashlib
import os
import pathlib
import shutil
import subprocess
import textwrap

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _packages
from ansible_collections.rbee.fleet.plugins.module_utils._packages import (
    ensure_binary,
    install,
    installed_binary,
    remove,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

NAME = "rbee-test-probe"
PACKAGES = {"apt": (NAME,)}
MANUAL = pathlib.Path(f"/usr/share/{NAME}/manual")
CONFIG = pathlib.Path(f"/etc/{NAME}.conf")
SOURCE = Source("system-package", packages=PACKAGES, binary=NAME, minimum="1.2")


class Repository:
    """A package repository in a folder, the only one that apt sees; and what was asked of the service manager."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.calls = root, root / "calls"
        self.calls.touch()

    def publish(self, version: str = "1.2.3", name: str = NAME, depends: str = "") -> None:
        tree = self.root / f"{name}-{version}"
        control = tree / "DEBIAN"
        control.mkdir(parents=True)
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: test <test@localhost>\n"
        fields += "Description: nothing\n" + (f"Depends: {depends}\n" if depends else "")
        (control / "control").write_text(fields)
        if name == NAME:
            self._fill(tree, version)
        deb = self.root / f"{name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, deb], check=True, capture_output=True)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        with (self.root / "Packages").open("a") as index:
            index.write(f"{fields}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n")

    @staticmethod
    def _fill(tree: pathlib.Path, version: str) -> None:
        files = {
            f"usr/bin/{NAME}": f"#!/bin/sh\necho '{NAME} version {version}'\n",
            f"etc/{NAME}.conf": "setting = default\n",
            f"usr/share/{NAME}/manual": "none\n",
            f"etc/init.d/{NAME}": "#!/bin/sh\n",
            "DEBIAN/conffiles": f"/etc/{NAME}.conf\n/etc/init.d/{NAME}\n",
            "DEBIAN/postinst": f"#!/bin/sh\nset -e\ninvoke-rc.d {NAME} start\n"
            f"deb-systemd-invoke start '{NAME}.service'\ninvoke-rc.d another restart\n",
        }
        for name, text in files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644 if name.endswith(("conf", "conffiles")) else 0o755)


@pytest.fixture(name="repository")
def _repository(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> collections.abc.Iterator[Repository]:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("this is no Debian system: no apt-get and dpkg-deb")
    if os.geteuid() != 0:
        pytest.skip("installing a package needs root")
    repository = Repository(tmp_path)
    (tmp_path / "Packages").touch()
    (tmp_path / "lists").mkdir()
    (tmp_path / "cache" / "archives" / "partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path} ./\n")
    (tmp_path / "apt.conf").write_text(
        textwrap.dedent(f"""
            Dir::Etc::sourcelist "{tmp_path}/sources.list";
            Dir::Etc::sourceparts "/dev/null";
            Dir::State::lists "{tmp_path}/lists";
            Dir::Cache "{tmp_path}/cache";
            APT::Sandbox::User "root";
        """)
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("invoke-rc.d", "deb-systemd-invoke", "update-rc.d"):
        (programs / program).write_text(f'#!/bin/sh\necho {program} "$@" >> {repository.calls}\n')
        (programs / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    try:
        yield repository
    finally:
        subprocess.run(["dpkg", "--purge", NAME, f"{NAME}-user", f"{NAME}-lib"], capture_output=True, check=False)


def test_a_missing_program_is_installed_after_the_lists_were_refreshed(repository: Repository) -> None:
    repository.publish()
    assert installed_binary(SOURCE) is None
    said: list[str] = []
    found = ensure_binary(SOURCE, lambda what, _done, _total: said.append(what))
    assert found == (f"/usr/bin/{NAME}", "1.2.3", (NAME,))
    assert [what.split()[0] for what in said] == ["installing", "refreshing"]


def test_a_program_that_is_there_is_left_alone(repository: Repository) -> None:
    repository.publish()
    install(PACKAGES)
    before = pathlib.Path("/var/lib/dpkg/status").stat().st_mtime_ns
    assert ensure_binary(SOURCE).packages == ()
    assert pathlib.Path("/var/lib/dpkg/status").stat().st_mtime_ns == before


def test_everything_that_came_along_is_listed(repository: Repository) -> None:
    repository.publish(name=f"{NAME}-lib")
    repository.publish(depends=f"{NAME}-lib")
    assert install(PACKAGES) == (NAME, f"{NAME}-lib")
    remove((NAME, f"{NAME}-lib"))
    assert installed_binary(SOURCE) is None


def test_the_packages_own_service_is_neither_started_nor_enabled_and_others_are_untouched(
    repository: Repository,
) -> None:
    repository.publish()
    install(PACKAGES)
    assert repository.calls.read_text().splitlines() == [
        "invoke-rc.d another restart",
        f"update-rc.d {NAME} disable",
    ]


def test_removing_leaves_nothing_behind(repository: Repository) -> None:
    repository.publish()
    remove(install(PACKAGES))
    assert not CONFIG.exists()
    listed = subprocess.run(["dpkg-query", "-W", NAME], capture_output=True, check=False)
    assert listed.returncode != 0


def test_documentation_that_an_image_leaves_out_keeps_no_configuration_behind(repository: Repository) -> None:
    repository.publish()
    packages = install(PACKAGES)
    MANUAL.unlink()
    remove(packages)
    assert not CONFIG.exists()


def test_configuration_that_somebody_changed_stays(repository: Repository) -> None:
    repository.publish()
    packages = install(PACKAGES)
    CONFIG.write_text("setting = mine\n")
    remove(packages)
    assert CONFIG.read_text() == "setting = mine\n"
    assert installed_binary(SOURCE) is None


def test_a_package_that_something_else_needs_by_now_is_not_removed(repository: Repository) -> None:
    repository.publish()
    packages = install(PACKAGES)
    repository.publish(name=f"{NAME}-user", depends=NAME)
    install({"apt": (f"{NAME}-user",)})
    with pytest.raises(SourceError, match=f"{NAME}-user depends on {NAME}"):
        remove(packages)
    assert installed_binary(SOURCE) is not None


def test_removing_what_is_gone_already_is_fine(repository: Repository) -> None:
    remove((NAME,))
    assert installed_binary(SOURCE) is None


def test_a_version_that_is_too_old_names_both(repository: Repository) -> None:
    repository.publish("1.1.9")
    with pytest.raises(SourceError, match=r"version 1\.1\.9, 1\.2 or newer is needed"):
        ensure_binary(SOURCE)


def test_a_package_that_nobody_has_is_an_error_with_what_apt_says(repository: Repository) -> None:
    with pytest.raises(SourceError, match=f"Unable to locate package {NAME}"):
        install(PACKAGES)


def test_a_library_that_is_there_brings_no_package() -> None:
    assert _packages.ensure_library("libc.so.6", {"apt": ["nobody-has-this"]}, may_install=False) == ()


def test_a_missing_library_names_what_to_install() -> None:
    with pytest.raises(
        SourceError, match=r"librbee-probe\.so\.1 is not installed; install it, as root: .* rbee-probe-lib"
    ):
        _packages.ensure_library("librbee-probe.so.1", {"apt": ["rbee-probe-lib"]}, may_install=False)


def test_packages_that_do_not_bring_the_library_are_told(repository: Repository) -> None:
    repository.publish()
    with pytest.raises(SourceError, match=r"are installed, but bring no librbee-probe\.so\.1"):
        _packages.ensure_library("librbee-probe.so.1", PACKAGES)


def test_where_nothing_may_be_installed_the_error_says_what_to_type(repository: Repository) -> None:
    with pytest.raises(SourceError, match=f"as root: apt-get install {NAME}"):
        ensure_binary(SOURCE, may_install=False)


def test_without_root_the_error_says_what_to_do(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages.os, "geteuid", lambda: 1000)
    with pytest.raises(SourceError, match=f"needs root: use become, or run: apt-get install {NAME}"):
        install(PACKAGES)


def test_a_host_without_a_known_manager_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="none of the package managers pkgin"):
        install({"pkgin": ("haproxy",)})
