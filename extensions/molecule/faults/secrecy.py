# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for the fleet's key in all that a run leaves behind."""

from __future__ import annotations

import os
import subprocess

from fleet import HOSTS, INSTALL, RESULT, expect, on


def keep_secret(said: str) -> None:
    """The key is in no output, result, fact, argument or log, and in no file that everybody may read.

    said: what Ansible printed.
    """
    key = os.environ["RBEE_API_KEY"]
    expect("the key in what Ansible printed", key in said, False)
    expect("the key in the result file", key in RESULT.read_text(), False)
    facts = [INSTALL[0].replace("playbook", "inventory"), *INSTALL[1:3], "--list"]
    listed = subprocess.run(facts, capture_output=True, text=True, check=True).stdout
    expect("the references in what the inventory says of hosts", "env:RBEE_API_KEY" in listed, True)
    expect("the key in what the inventory says of hosts", key in listed, False)
    for host in HOSTS:
        everywhere = "grep -rlFf - /etc /home /opt /root /tmp /var | xargs -r -I@ find @ -perm /o+r"
        expect(f"files of {host} with the key that everybody may read", on(host, everywhere, key), "")
        logs = "grep -rlFf - /var/log /opt/rbee/journal || :"
        expect(f"logs of {host} with the key", on(host, logs, key), "")
        expect(f"the key in the journal of {host}", key in on(host, "journalctl --no-pager"), False)
        expect(f"the key in arguments on {host}", key in on(host, "cat /proc/[0-9]*/cmdline || :"), False)
