# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets pytest import the collection from a plain clone.

Ansible finds a collection only at ``ansible_collections/<namespace>/<name>``, so the clone is linked there and
ansible's collection loader is pointed at that tree. Where ansible-core is not installed (tests of the node library
under an old Python), the tree goes on ``sys.path`` instead: its folders are namespace packages. ansible-test does all
this itself.
"""

from __future__ import annotations

import os
import pathlib
import sys

import hypothesis

ROOT = pathlib.Path(__file__).resolve().parent
TREE = ROOT / ".cache" / "collections"

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("fleet", deadline=None)
hypothesis.settings.load_profile("fleet")


def _link_collection() -> None:
    link = TREE / "ansible_collections" / "rbee" / "fleet"
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() and link.resolve() == ROOT:
        return
    # A link made beside and renamed: two pytest processes may start at once.
    fresh = link.with_name(f"fleet.{os.getpid()}")
    fresh.symlink_to(ROOT, target_is_directory=True)
    fresh.replace(link)


def pytest_configure() -> None:
    if "ANSIBLE_TEST_CONTENT_ROOT" in os.environ:
        return
    _link_collection()
    try:
        from ansible.plugins.loader import init_plugin_loader
    except ImportError:
        if str(TREE) not in sys.path:
            sys.path.insert(0, str(TREE))
        return
    init_plugin_loader([str(TREE)])
