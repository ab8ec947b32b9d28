# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key of the configuration is for, for people who read a starter file. Pure data.

``_keys.py`` says what a key may hold; a test compares the two.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Key


@dataclasses.dataclass(frozen=True)
class Meaning:
    """One key.

    text: what it is for. example: shown where the key has no default, or none that says anything.
    apart: its value is described as tables of their own.
    """

    text: str
    example: t.Any = None
    apart: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """One table: its header as TOML has it, its keys with their defaults, and what they mean."""

    header: str
    text: str
    keys: t.Mapping[str, Key]
    meanings: t.Mapping[str, Meaning]


FLEET = Section(
    "[fleet]",
    "The fleet as a whole.",
    _keys.FLEET,
    {
        "name": Meaning("Stands in every receipt on the machines; what belongs to another fleet is never touched."),
        "scope": Meaning('"system": with root rights, for the whole machine; "user": in the home of the login user.'),
        "prefix": Meaning(
            'Where everything is installed; in user scope "~/.local/share/rbee".', _fleet.PREFIXES[_fleet.SYSTEM]
        ),
        "fetch": Meaning('"host": every machine downloads by itself; "controller": this one does, once for all.'),
        "hf_token": Meaning("Reference to the token for gated models of Hugging Face.", "env:HF_TOKEN"),
    },
)

QUEEN = Section(
    "[queen]",
    "The gateway, one HTTP endpoint in front of every worker.",
    _keys.QUEEN,
    {
        "mode": Meaning('"standalone": on a machine of her own; "attached-hive": on that of a hive.'),
        "attached_hive_alias": Meaning("The alias of that hive; only for attached-hive.", "gpu-1"),
        "port": Meaning("Where she listens."),
        "auto_start": Meaning("Start now and at boot; false only installs."),
        "hostname": Meaning("Her machine. This key and the next three are for standalone only."),
        "ssh_user": Meaning("Login name; without it, what ssh chooses.", "ops"),
        "ssh_port": Meaning("Port of its sshd."),
        "connection": Meaning('"local" without ssh, the default for localhost, or "ssh".', _fleet.LOCAL),
        "bind": Meaning("The address she listens on; any that other machines reach needs api_key or insecure."),
        "api_key": Meaning(
            'Reference to the key that clients send: "env:NAME", or "file:PATH", relative to this folder.',
            "file:api_key",
        ),
        "insecure": Meaning("Let other machines reach her without a key."),
        "max_request_bytes": Meaning("Largest request body."),
    },
)

PACKAGE = Section(
    "[package]",
    "How installations are made. Times in seconds.",
    _keys.PACKAGE,
    {
        "max_concurrent_installs": Meaning("Machines that install at the same time."),
        "ssh_timeout": Meaning("How long to wait for a connection."),
        "health_check_timeout": Meaning("How long a component may take to become healthy."),
    },
)

HIVE = Section(
    "[[hive]]",
    "One machine that runs workers.",
    _keys.HIVE,
    {
        "alias": Meaning("Its name, as in --limit gpu-1. Required.", "gpu-1"),
        "hostname": Meaning("Its host name or address. Required.", "192.168.1.100"),
        "ssh_user": Meaning("Login name; without it, what ssh chooses.", "ops"),
        "ssh_port": Meaning("Port of its sshd."),
        "connection": Meaning('"local" without ssh, the default for localhost, or "ssh".', _fleet.SSH),
        "address": Meaning(
            "What the queen dials and its workers listen on; without it, the hostname. "
            "Set it when the hostname is an alias of your ssh configuration.",
            "192.168.1.100",
        ),
        "hive_port": Meaning("Port of its agent."),
        "workers": Meaning(
            'Its workers: types, as in workers = ["llama-cpp", "comfyui"], or with more to say, tables as below.',
            (),
            apart=True,
        ),
        "models": Meaning("Models to have here, beside those that a worker serves.", ()),
        "auto_start": Meaning("Start agent and workers now and at boot; false only installs."),
    },
)

WORKER = Section(
    "[[hive.workers]]",
    "One worker of the hive above, instead of a name in its 'workers'.",
    _keys.WORKER,
    {
        "type": Meaning("A worker type of the catalog. Required.", "llama-cpp"),
        "name": Meaning("Its name on this hive; without it, the type.", "llama-small"),
        "version": Meaning("A version that the catalog has."),
        "port": Meaning("Where it listens; without it, the port of its type.", 8081),
        "model": Meaning("The model of models.conf that it serves; without one it stays idle.", "organisation/model"),
        "gpus": Meaning(
            'The GPUs it has for itself: indexes, or "all". Without it, it shares those that no other worker has.',
            (0, 1),
        ),
        "args": Meaning("Appended to its command line.", ()),
        "env": Meaning("Its environment; not for secrets.", {}),
        "variant": Meaning(
            'One build of the catalog, such as "cuda" or "cpu"; without it, the machine chooses.', "cpu"
        ),
    },
)

MODEL = Section(
    "[[model]]",
    "One model, on every hive that lists it and where a worker serves it.",
    _keys.MODEL,
    {
        "name": Meaning(
            "What clients ask for; with source huggingface also the repository. Required.", "organisation/model"
        ),
        "source": Meaning('"huggingface", "url" or "file".'),
        "hives": Meaning("Hives that are to have it, by alias, beside those that name it themselves.", ()),
        "pre_download": Meaning("false: 'hives' alone does not bring it, only a worker or a hive that names it does."),
        "sha256": Meaning("Digest of the file, as sha256sum prints it. Required for url and file.", "0" * 64),
        "url": Meaning("Where it is, for source url.", "https://example.com/model.gguf"),
        "path": Meaning("Where it is on this machine, for source file; relative to this folder.", "model.gguf"),
        "file": Meaning("The file in the repository or archive that is the model; llama-cpp needs it.", "model.gguf"),
        "revision": Meaning("Branch, tag or commit, for source huggingface."),
        "fetch": Meaning(
            '"host": every machine downloads it by itself; "controller": this one does, once, and copies it to them. '
            "Without it, as 'fetch' in rbee.conf says.",
            "controller",
        ),
    },
)

RBEE_CONF = (FLEET, QUEEN, PACKAGE)
HIVES_CONF = (HIVE, WORKER)
MODELS_CONF = (MODEL,)
