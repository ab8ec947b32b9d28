# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The older format of hives.conf."""

from __future__ import annotations

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _hives_conf
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine

OLDER = """
# Localhost hive
Host localhost
    HostName 127.0.0.1
    Port 22
    User vince
    HivePort 8081
    BinaryPath /usr/local/bin/rbee-hive

Host workstation ws
\tHostName  192.168.1.100
\tUser admin
\tHivePort 8081
\tIdentityFile ~/.ssh/gpus

Host gpu-cloud
    HostName gpu.example.com
    Port 2222
    User ubuntu
    HivePort 8082
Host *
    ServerAliveInterval 60
"""


def test_the_machines_of_a_file() -> None:
    machines, notes = _hives_conf.parse(OLDER, "hives.conf", "vince")
    assert machines == [
        Machine("localhost", "localhost", hive_port=8081),
        Machine("workstation", "192.168.1.100", "admin", hive_port=8081),
        Machine("gpu-cloud", "gpu.example.com", "ubuntu", 2222, hive_port=8082),
    ]
    assert notes == [
        "hives.conf:21: the pattern * was passed over",
        "localhost: BinaryPath was not taken over; the agent's program is that of the catalog",
        "workstation: IdentityFile was not taken over; it belongs into your ssh configuration",
    ]


def test_a_loopback_address_of_another_user_is_reached_by_ssh() -> None:
    machines, _notes = _hives_conf.parse(OLDER, "hives.conf", "somebody")
    assert machines[0] == Machine("localhost", "127.0.0.1", "vince", hive_port=8081)


def test_every_mistake_is_told_with_its_line() -> None:
    text = "User me\nHost\nHost a\n  Port ssh\n  HostName\nHost b\n  HostName h\n  User me\n  HivePort 0\n"
    with pytest.raises(ConfigError) as caught:
        _hives_conf.parse(text, "hives.conf", "me")
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "hives.conf:1: User: expected 'Host NAME' before it",
        "hives.conf:2: Host: expected a name behind it",
        "hives.conf:3: Host: a has no HostName and no User and no HivePort",
        "hives.conf:4: Port: expected a port from 1 to 65535, not 'ssh'",
        "hives.conf:5: HostName: expected a value behind it",
        "hives.conf:9: HivePort: expected a port from 1 to 65535, not '0'",
    ]


@pytest.mark.parametrize(
    ("text", "older"),
    [
        (OLDER, True),
        ("Host a\n", True),
        ("# Host a\n[[hive]]\n", False),
        ('[[hive]]\nalias = "a"\n# or\n# Host b\n', False),
        ("Host = 1\n", False),
        ("", False),
    ],
)
def test_a_file_of_this_format_begins_with_a_host(text: str, older: bool) -> None:
    assert _hives_conf.is_older(text) is older
