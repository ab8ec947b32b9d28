# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of the files that ``init`` writes. Pure.

In the TOML files a key that keeps its default is a comment without a space after the ``#``; all others have one.
"""

from __future__ import annotations

import json
import textwrap
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils import _config, _fleet, _meanings
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._machine import Machine
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml_text import pairs, value

INVENTORY, SETTINGS, KEY, IGNORED = "rbee.yml", "ansible.cfg", "api_key", ".gitignore"
FORKS = 50
_WIDTH = 118
_WORKER = "llama-cpp"  # runs on every machine, with a GPU and without


def local(catalog: Catalog, devices: t.Collection[str]) -> str:
    """hives.conf for this machine alone. devices: the kinds of GPU it has."""
    found = ", ".join(sorted(devices)) or "none"
    others = [kind for kind in suited(catalog, devices) if kind != _WORKER]
    lines = [f"# This machine. GPUs found when this was written: {found}."]
    if others:
        lines.append(f"# Worker types that suit it as well: {', '.join(others)}.")
    return hives([Machine("local-hive", "localhost")], "\n".join(lines))


def suited(catalog: Catalog, devices: t.Collection[str]) -> list[str]:
    """The worker types with a build for these devices, or with one that needs none."""
    kinds = []
    for name in catalog.types("worker"):
        entry = catalog.get(name)
        if entry and any(variant.device in ("", *devices) for variant in entry.variants(entry.latest)):
            kinds.append(name)
    return kinds


def hives(machines: t.Iterable[Machine], above: str = "") -> str:
    """hives.conf. above: comment lines before the first machine."""
    return hives_of([entry("hive", table_of(machine) | {"workers": [_WORKER]}) for machine in machines], above)


def hives_of(entries: t.Iterable[str], above: str = "") -> str:
    """hives.conf with the text of these entries."""
    head = "The machines and their workers. After a change: ansible-playbook rbee.fleet.install"
    parts = [f"# {head}", *([above] if above else []), *entries]
    parts.append(
        _reference("Every key of a hive and of its workers, with its default or an example.", _meanings.HIVES_CONF)
    )
    return "\n\n".join(parts) + "\n"


def rbee(given: t.Mapping[str, t.Mapping[str, t.Any]] | None = None) -> str:
    """rbee.conf. given: the keys that are set, by section; by default, a reference to the API key."""
    given = {"queen": {"api_key": f"file:{KEY}"}} if given is None else given
    head = (
        "The fleet and its queen. Every key stands here with its default or an example; take the # away to set it. "
        "After a change: ansible-playbook rbee.fleet.install"
    )
    sections = [
        _section(section, given.get(section.header.strip("[]"), {}), header=_is_there(section, given))
        for section in _meanings.RBEE_CONF
    ]
    return "\n\n".join([comment(head), *sections]) + "\n"


def _is_there(section: _meanings.Section, given: t.Mapping[str, t.Any]) -> bool:
    return not section.optional or section.header.strip("[]") in given


def models(entries: t.Iterable[str] = ()) -> str:
    """models.conf with the text of these entries."""
    head = (
        "The models. A [[model]] is installed on every hive that names it, and served by the workers that name it. "
        "Until there is one, workers that need a model are installed and stay idle."
    )
    reference = _reference("Every key of a model, with its default or an example.", _meanings.MODELS_CONF)
    return "\n\n".join([comment(head), *entries, reference]) + "\n"


def inventory() -> str:
    return "---\n# Tells Ansible to read rbee.conf, hives.conf and models.conf beside it.\nplugin: rbee.fleet.hives\n"


def settings(ssh_config: str = "") -> str:
    """ansible.cfg. ssh_config: an ssh configuration that the hosts are aliases of, other than the user's own."""
    lines = [
        "# Read by Ansible when it is started in this folder. Host keys are checked, as Ansible does by default.",
        "[defaults]",
        f"inventory = {INVENTORY}",
        "# Machines that are worked on at the same time; max_concurrent_installs bounds installations further.",
        f"forks = {FORKS}",
        "callbacks_enabled = rbee.fleet.report",
        "# Without a warning on each machine that a Python was found there.",
        "interpreter_python = auto_silent",
        "",
        "[inventory]",
        "# The first one lets -i hives.conf work as well.",
        "enable_plugins = rbee.fleet.hives, host_list, script, auto, yaml, ini, toml",
        "# A mistake in the configuration ends a run at once.",
        "unparsed_is_failed = True",
        "",
        "[connection]",
        "pipelining = True",
    ]
    if ssh_config:
        # Ansible splits it as a shell does, after it has read every % as its own.
        lines += ["", "[ssh_connection]", "ssh_common_args = -F " + json.dumps(ssh_config.replace("%", "%%"))]
    return "\n".join(lines) + "\n"


def ignored() -> str:
    """.gitignore: the secret, and what runs leave behind."""
    return f"/{KEY}\n/.rbee/\n"


def files(hives_conf: str, ssh_config: str = "") -> dict[str, str]:
    """The text of every file but the key, by name."""
    return {
        _config.RBEE: rbee(),
        _config.HIVES: hives_conf,
        _config.MODELS: models(),
        INVENTORY: inventory(),
        SETTINGS: settings(ssh_config),
        IGNORED: ignored(),
    }


def table_of(machine: Machine) -> dict[str, t.Any]:
    """The table of a machine in hives.conf."""
    given = {
        "alias": machine.alias,
        "hostname": machine.hostname,
        "ssh_user": machine.user,
        "ssh_port": machine.port if machine.port != _fleet.Hive.ssh_port else "",
        "address": machine.address,
        "hive_port": machine.hive_port if machine.hive_port != _fleet.Hive.hive_port else "",
    }
    return {key: item for key, item in given.items() if item != ""}


def entry(kind: str, table: t.Mapping[str, t.Any], more: t.Iterable[str] = ()) -> str:
    """A table of an array of tables. more: lines after its keys."""
    return "\n".join([f"[[{kind}]]", *pairs(table).splitlines(), *more])


def _reference(head: str, sections: t.Iterable[_meanings.Section]) -> str:
    return "\n\n".join([comment(head), *(_section(section, {}, header=False) for section in sections)])


def _section(section: _meanings.Section, given: t.Mapping[str, t.Any], header: bool) -> str:
    """One table with all its keys. given: those that are set. header: whether the table is there, not a comment."""
    lines = [comment(section.text), section.header if header else f"#{section.header}"]
    for name, meaning in section.meanings.items():
        shown = section.keys[name].default if meaning.example is None else meaning.example
        lines.append(comment(meaning.text))
        if name in given:
            lines.append(f"{name} = {value(given[name])}")
        elif not meaning.apart:
            lines.append(f"#{name} = {value(shown)}")
    return "\n".join(lines)


def comment(text: str) -> str:
    """Comment lines."""
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
