# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References to secrets, and what they refer to. Reads the controller's environment and files."""

from __future__ import annotations

import os
import shlex
import stat
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import WARNING, Finding, finding_of

SHORTEST_SECRET = 8  # characters; Ansible also hides the value wherever it appears, which short ones make unreadable


class SecretError(Exception):
    """A secret that cannot be had; the message says which and why, and never shows a value."""


def resolve_secret(name: str, reference: str) -> str:
    """The value of ``env:NAME`` or ``file:PATH``; a vaulted variable is its own value. Raises SecretError."""
    scheme, _colon, where = reference.partition(":")
    if scheme == "env":
        if where not in os.environ:
            raise SecretError(f"secret {name}: the environment variable {where} is not set on the controller")
        return usable_secret(name, os.environ[where], reference)
    if scheme == "file":
        try:
            with open(os.path.expanduser(where), encoding="utf-8") as stream:
                value = stream.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SecretError(f"secret {name}: {where} cannot be read: {reason}") from None
        return usable_secret(name, value, reference)
    return usable_secret(name, reference, "its value")


def usable_secret(name: str, value: str, where: str) -> str:
    """The value, if a client can send it in a header and nobody guesses it at once. Raises SecretError."""
    value = value.strip()
    if len(value) < SHORTEST_SECRET or value.startswith("#") or not value.isprintable() or " " in value:
        raise SecretError(
            f"secret {name}: {where} holds no usable key; expected one line of {SHORTEST_SECRET} characters or more "
            f"without spaces, not beginning with #"
        )
    return value


def secret_findings(secrets: t.Mapping[str, str]) -> list[Finding]:
    """What is wrong with references. secrets: reference by name."""
    found = []
    for name, reference in secrets.items():
        try:
            resolve_secret(name, reference)
        except SecretError as error:
            found.append(finding_of("secret", str(error)))
            continue
        scheme, _colon, path = reference.partition(":")
        if scheme == "file" and os.stat(os.path.expanduser(path)).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            problem = f"secret {name}: {path} is open to others"
            found.append(Finding("secret", problem, f"chmod 600 {shlex.quote(path)}", WARNING))
    return found
