# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a module could not run on a host that was reached. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import Finding
from ansible_collections.rbee.fleet.plugins.plugin_utils._summary import one_line

AS_ROOT = "true"
# Any Python that a module could run on; says which ones there are when all are too old.
PYTHON = (
    "for p in python3 /usr/bin/python3.* /usr/local/bin/python3.*; do command -v $p >/dev/null 2>&1 || continue; "
    "$p -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null && exit 0; "
    "$p -c 'import sys; print(\"Python %d.%d\" % sys.version_info[:2])' 2>/dev/null; done; exit 1"
)
_LONGEST = 300  # characters of a message that nobody foresaw


def said_of(result: t.Mapping[str, t.Any]) -> str:
    """What a module that gave no answer left behind."""
    parts = (str(result.get(key) or "") for key in ("msg", "module_stderr", "module_stdout"))
    return "\n".join(part for part in parts if part)


def finding(said: str, root: str, python: str) -> Finding:
    """said: by Ansible, of the module. root, python: what trying either said, empty when it works."""
    if root:
        return _of_become(root)
    if python:
        old = re.findall(r"Python \d+\.\d+", python)
        if old:
            problem = f"its newest is {old[0]}, 3.9 or newer is needed"
            return Finding("python", problem, "install a newer python3 there")
        return Finding("python", "there is no python3", "install it there, for example: apt-get install python3")
    if re.search(r"No space left on device|Disk quota exceeded", said):
        return Finding(
            "disk", "no space left for Ansible's own files", "free some space in the home of the login user and in /tmp"
        )
    return Finding(
        "host", f"the look at it failed: {one_line(said)[:_LONGEST]}", "try: ansible HOST -m ansible.builtin.ping"
    )


def _of_become(said: str) -> Finding:
    text = one_line(said)
    if re.search(r"password is required|Missing sudo password", text, re.IGNORECASE):
        return Finding(
            "sudo", "it wants a password", "run with -K (--ask-become-pass), or allow NOPASSWD in /etc/sudoers.d there"
        )
    if re.search(r"Incorrect sudo password|try again|incorrect password", text, re.IGNORECASE):
        return Finding("sudo", "it does not accept the password", "give the right one with -K (--ask-become-pass)")
    if "not in the sudoers file" in text or "may not run" in text or "not allowed to execute" in text:
        return Finding(
            "sudo", "the login user may not become root", "allow it in /etc/sudoers.d there, or set another ssh_user"
        )
    if re.search(r"sudo: (command )?not found|sudo: No such file", text):
        return Finding("sudo", "it is not installed", "install it there, or log in as root with ssh_user")
    return Finding("sudo", f"becoming root failed: {text[:_LONGEST]}", "try there: sudo -n true")
