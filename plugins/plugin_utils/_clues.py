# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plain ssh does not tell of a login that failed. Uses paramiko, and says nothing where that is not installed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import socket
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._finding import WARNING, Finding
from ansible_collections.rbee.fleet.plugins.plugin_utils._ssh_rules import SSH, Clues

MISSING = Finding(
    SSH,
    "paramiko is not installed here: causes of a refused login look alike, and unknown host keys have no fingerprint",
    "pip install paramiko",
    WARNING,
)


def available() -> bool:
    return _paramiko() is not None


def host_key(name: str, port: int, timeout: float) -> str:
    """Type and fingerprint of the key that a server shows, as ``ssh-keygen -lf`` prints them; empty when unknown."""
    paramiko = _paramiko()
    if paramiko is None:
        return ""
    try:
        with socket.create_connection((name, port), timeout) as connection:
            transport = paramiko.Transport(connection)
            try:
                # What ssh itself prefers where the server has several.
                keys = transport.get_security_options().key_types
                transport.get_security_options().key_types = sorted(keys, key=lambda kind: "ed25519" not in kind)
                transport.start_client(timeout=timeout)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException):
        return ""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def of_keys(paths: t.Iterable[str]) -> Clues:
    """Which keys of ssh are there, and which of them it could not use. paths: its identity files."""
    there = [path for path in map(os.path.expanduser, paths) if os.path.isfile(path)]
    paramiko = _paramiko()
    if paramiko is None:
        return Clues()
    held = _held_by_agent(paramiko)
    locked = [path for path in there if _is_locked(paramiko, path) and _public(path) not in held]
    return Clues(locked=tuple(locked), usable=bool(held or there))


def _held_by_agent(paramiko: t.Any) -> set[str]:
    held: set[str] = set()
    with contextlib.suppress(OSError, paramiko.SSHException):
        agent = paramiko.Agent()
        try:
            held = {key.get_base64() for key in agent.get_keys()}
        finally:
            agent.close()
    return held


def _is_locked(paramiko: t.Any, path: str) -> bool:
    """Whether a private key needs a passphrase."""
    try:
        paramiko.PKey.from_path(path)
    except paramiko.PasswordRequiredException:
        return True
    except Exception as error:  # pylint: disable=broad-except  # the library leaks those of others for odd files
        return isinstance(error, TypeError) and "password" in str(error).lower()
    return False


def _public(path: str) -> str:
    """The public key in Base64 that lies beside a private one, empty when there is none."""
    try:
        with open(f"{path}.pub", encoding="utf-8", errors="replace") as stream:
            words = stream.readline().split()
    except OSError:
        return ""
    return words[1] if len(words) > 1 else ""


def _paramiko() -> t.Any:
    try:
        import paramiko
    except ImportError:
        return None
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what it cannot do is no news to the user
    return paramiko
