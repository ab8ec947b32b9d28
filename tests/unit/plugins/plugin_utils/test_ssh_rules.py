# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh and the network answer, as findings."""

from __future__ import annotations

import dataclasses
import errno

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _ssh_rules
from ansible_collections.rbee.fleet.plugins.plugin_utils._ssh_rules import Clues, Way

WAY = Way("gpu-1", "10.0.0.5", 2222, "ops", True, "~/.ssh/known_hosts", "[10.0.0.5]:2222")
ASKED = """user ops
hostname 10.0.0.5
port 2222
proxyusefdpass no
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
userknownhostsfile /home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2
"""
CHANGED = """@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
The fingerprint for the ED25519 key sent by the remote host is
SHA256:c8ToK7QUccn931EFvgKe7Is3mCpmB5ZhlJyY0bQ/eQM.
Offending RSA key in /home/me/.ssh/known_hosts:3
Host key verification failed.
"""


def told(said: str, clues: Clues = Clues(), way: Way = WAY) -> str:
    finding = _ssh_rules.refused(way, said, clues)
    assert (finding.where, finding.severity) == ("ssh", "error")
    return f"{finding.problem}; {finding.fix}"


def test_the_way_is_what_ssh_makes_of_its_configuration() -> None:
    way = _ssh_rules.way_of("gpu-1", _ssh_rules.parse_settings(ASKED))
    assert way == Way(
        "gpu-1", "10.0.0.5", 2222, "ops", True, "/home/me/.ssh/known_hosts", "[10.0.0.5]:2222",
        ("~/.ssh/id_rsa", "~/.ssh/id_ed25519"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("proxyjump bastion", {"direct": False}),
        ("proxycommand nc %h %p", {"direct": False}),
        ("proxyjump none", {}),
        ("hostkeyalias gpus", {"known_as": "gpus"}),
    ],
)
def test_a_jump_host_or_an_alias_of_the_key_changes_the_way(line: str, changed: dict[str, object]) -> None:
    way = _ssh_rules.way_of("gpu-1", _ssh_rules.parse_settings(ASKED))
    assert _ssh_rules.way_of("gpu-1", _ssh_rules.parse_settings(ASKED + line)) == dataclasses.replace(way, **changed)


@pytest.mark.parametrize(
    ("error", "begin"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), "nothing listens on 10.0.0.5 port 2222 (connection refused)"),
        (TimeoutError(), "10.0.0.5 port 2222 does not answer within 5 s"),
        (TimeoutError(errno.ETIMEDOUT, ""), "10.0.0.5 port 2222 does not answer within 5 s"),
        (OSError(errno.EHOSTUNREACH, ""), "there is no route to 10.0.0.5"),
        (OSError(errno.ENETUNREACH, ""), "there is no route to 10.0.0.5"),
        (OSError(errno.EACCES, "Permission denied"), "10.0.0.5 port 2222 cannot be connected to: Permission denied"),
    ],
)
def test_failures_of_the_network_are_told_apart(error: OSError, begin: str) -> None:
    finding = _ssh_rules.unconnected(WAY, error, 5.0)
    assert finding.problem == begin
    assert finding.fix


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "10.0.0.5 port 2222 closes the connection at once"),
        (b"\x15\x03\x01\x00", "10.0.0.5 port 2222 is not ssh, it says '\\x15\\x03\\x01\\x00'"),
        (b"220 mail\r\n", "10.0.0.5 port 2222 is not ssh, it says '220 mail'"),
    ],
)
def test_what_is_no_ssh_server_is_told_apart(said: bytes, problem: str) -> None:
    finding = _ssh_rules.banner(WAY, said)
    assert finding
    assert finding.problem == problem


def test_a_server_may_say_something_before_its_banner() -> None:
    assert _ssh_rules.banner(WAY, b"welcome\r\nSSH-2.0-OpenSSH_9.2\r\n") is None


def test_an_unknown_key_comes_with_the_command_that_adds_it() -> None:
    said = "No ED25519 host key is known for [10.0.0.5]:2222 and you have requested strict checking.\n"
    said += "Host key verification failed."
    assert told(said) == (
        "host key of [10.0.0.5]:2222 unknown, it shows ED25519; compare it with ssh-keygen -lf on the machine, "
        "then: ssh-keyscan -p 2222 10.0.0.5 >> ~/.ssh/known_hosts"
    )
    assert "it shows ssh-rsa SHA256:abc; " in told(said, Clues(host_key="ssh-rsa SHA256:abc"))


def test_an_unknown_key_behind_a_jump_host_is_accepted_by_hand() -> None:
    way = dataclasses.replace(WAY, direct=False)
    assert told("Host key verification failed.", way=way).endswith("then: ssh -p 2222 ops@gpu-1 and answer yes")


def test_a_changed_key_names_the_line_that_has_another() -> None:
    assert told(CHANGED, Clues(host_key="ssh-ed25519 SHA256:new")) == (
        "host key changed: /home/me/.ssh/known_hosts line 3 has another, now it shows ssh-ed25519 SHA256:new; "
        "if the machine was installed anew: ssh-keygen -f /home/me/.ssh/known_hosts -R '[10.0.0.5]:2222' && "
        "ssh-keyscan -p 2222 10.0.0.5 >> ~/.ssh/known_hosts; else somebody is in between"
    )


PUBLICKEY = "ops@10.0.0.5: Permission denied (publickey)."
PASSWORD = "ops@10.0.0.5: Permission denied (publickey,password)."


@pytest.mark.parametrize(
    ("said", "clues", "line"),
    [
        (
            PUBLICKEY,
            Clues(),
            "(publickey); have your public key added to ops's authorized_keys there, or correct ssh_user",
        ),
        (PASSWORD, Clues(), "(publickey,password); ssh-copy-id -p 2222 ops@gpu-1, or correct ssh_user"),
        (
            PUBLICKEY,
            Clues(locked=("/home/me/.ssh/id_rsa",)),
            "(publickey); /home/me/.ssh/id_rsa needs a passphrase and no agent has it; ssh-add /home/me/.ssh/id_rsa",
        ),
        (
            PASSWORD,
            Clues(usable=False),
            "(publickey,password); you have no ssh key here; ssh-keygen, then ssh-copy-id -p 2222 ops@gpu-1",
        ),
        (
            "no such identity: /keys/gone: No such file or directory\n" + PUBLICKEY,
            Clues(),
            "(publickey); the key /keys/gone does not exist; correct ansible_ssh_private_key_file or IdentityFile",
        ),
    ],
)
def test_causes_of_a_refused_login_are_told_apart(said: str, clues: Clues, line: str) -> None:
    assert told(said, clues) == f"ops@gpu-1: login refused {line}"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            f"Permissions 0644 for '/keys/a b' are too open.\n{PUBLICKEY}",
            "ssh does not use the key /keys/a b, which others can read; chmod 600 '/keys/a b'",
        ),
        (
            "Received disconnect from 10.0.0.5 port 2222:2: Too many authentication failures",
            "ops@gpu-1 gave up before the right key came; "
            "set IdentitiesOnly and IdentityFile in your ssh configuration",
        ),
        (
            "kex_exchange_identification: Connection closed by remote host",
            "10.0.0.5 ends the connection before the login: "
            "kex_exchange_identification: Connection closed by remote host; look at the log of sshd there",
        ),
        (
            "Unable to negotiate with 10.0.0.5 port 2222: no matching host key type found. Their offer: ssh-dss",
            "Unable to negotiate with 10.0.0.5 port 2222: no matching host key type found. Their offer: ssh-dss; "
            "bring sshd there up to date",
        ),
        ("what nobody foresaw\n\n", "what nobody foresaw; try the same with: ssh -p 2222 ops@gpu-1"),
        ("", "no login to ops@gpu-1; try the same with: ssh -p 2222 ops@gpu-1"),
    ],
)
def test_other_causes_have_a_line_of_their_own(said: str, line: str) -> None:
    assert told(said) == line
