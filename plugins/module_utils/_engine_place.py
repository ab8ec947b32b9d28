# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an engine that somebody else started is: its service or container, port, GPUs, and its model. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import shlex
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._engines import COMFYUI, LLAMA_CPP, OLLAMA, Engine
from ansible_collections.rbee.fleet.plugins.module_utils._gpu import Device, Found
from ansible_collections.rbee.fleet.plugins.module_utils._gpu_kinds import AMD, NVIDIA

# The model


_SNAPSHOT = re.compile(r"(?:^|/)models--([^/]+)/snapshots/([^/]+)(?:/(.+))?$")


def snapshot(path: str) -> t.Optional[tuple[str, str, str]]:
    """Repository, revision and file of a path in the cache of Hugging Face; None for every other path.

    Its layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    found = _SNAPSHOT.search(path.rstrip("/"))
    return (found[1].replace("--", "/", 1), found[2], found[3] or "") if found else None


def is_repository(model: str) -> bool:
    """Whether a model is named as Hugging Face does, and is no path."""
    return bool(re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model)) and not model.endswith((".gguf", ".safetensors"))


def caches(environ: t.Mapping[str, str], told: str = "") -> list[str]:
    """The folders in which a program finds repositories; the first one wins. told: by an option."""
    home = environ.get("HOME", "")
    places = [
        told,
        environ.get("HF_HUB_CACHE", ""),
        environ.get("HUGGINGFACE_HUB_CACHE", ""),
        posixpath.join(environ["HF_HOME"], "hub") if environ.get("HF_HOME") else "",
        posixpath.join(environ["XDG_CACHE_HOME"], "huggingface", "hub") if environ.get("XDG_CACHE_HOME") else "",
        posixpath.join(home, ".cache", "huggingface", "hub") if home else "",
    ]
    return [place for place in places if place]


def cached_ref(repository: str, revision: str) -> str:
    """Where, below such a folder, the commit stands that a branch or tag was when it was fetched."""
    return posixpath.join("models--" + repository.replace("/", "--"), "refs", revision or "main")


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a model is from: a repository of Hugging Face with what is known of it, or a path on the host, or a URL.

    quantisation: what ``llama-server --hf-repo REPOSITORY:QUANTISATION`` was told instead of a file.
    """

    repository: str = ""
    revision: str = ""
    file: str = ""
    quantisation: str = ""
    path: str = ""
    url: str = ""


def origin_of(
    engine: Engine,
    folder: str,
    environ: t.Mapping[str, str],
    exists: t.Callable[[str], bool],
    read: t.Callable[[str], str],
) -> t.Optional[Origin]:
    """None when it was told no model. folder: in which it runs. read: the text of a file, empty when there is none."""
    if engine.type in (COMFYUI, OLLAMA) or not (engine.model or engine.url):
        return None
    if engine.url:
        return Origin(url=engine.url)
    path = posixpath.normpath(posixpath.join(folder, engine.model))
    name, _colon, quantisation = engine.model.partition(":")
    if not is_repository(name) or exists(path):
        cached = snapshot(path)
        return Origin(*cached) if cached else Origin(path=path)
    revision = engine.revision
    for place in caches(environ, engine.folder if engine.type != LLAMA_CPP else ""):
        commit = read(posixpath.join(place, cached_ref(name, revision))).strip()
        if re.fullmatch(r"[0-9a-f]{40}", commit):
            revision = commit
            break
    return Origin(name, revision, engine.file, quantisation)


# What runs it


_CONTAINER = re.compile(r"(docker|libpod|crio|cri-containerd|containerd)[-:/]([0-9a-f]{12})[0-9a-f]*")
_KUBERNETES = re.compile(r"kubepods\S*?([0-9a-f]{12})[0-9a-f]{52}")
_SERVICE = re.compile(r"/([^/]+\.service)(?=/|$)", re.MULTILINE)
_OF_LOGINS = re.compile(r"(user@\d+|ssh|sshd|ssh@.*|cron|crond)\.service")


def container_of(groups: str) -> str:
    """The container that the control groups of a process name, such as ``docker 3f2a9c1b7d44``; empty for none."""
    found = _CONTAINER.search(groups)
    if found:
        return f"{'podman' if found[1] == 'libpod' else found[1]} {found[2]}"
    found = _KUBERNETES.search(groups)
    return f"kubernetes {found[1]}" if found else ""


def unit_of(groups: str) -> tuple[str, bool]:
    """The systemd service of a process, by its control groups, and whether it is one of a user's own."""
    names = [name for name in _SERVICE.findall(groups) if not _OF_LOGINS.fullmatch(name)]
    return (names[-1], "/user@" in groups) if names else ("", False)


def commands_in(unit: str) -> list[tuple[list[str], dict[str, str]]]:
    """The command lines of a service file with their environment; systemd.service(5). EnvironmentFile is not read."""
    commands: list[list[str]] = []
    environ: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", unit).splitlines():
        key, _equals, value = line.strip().partition("=")
        if key.strip() == "ExecStart":
            words = _words(value.strip().lstrip("@-:+!"))
            if posixpath.basename(words[0] if words else "") in ("sh", "bash") and "-c" in words[:-1]:
                words = _words(re.sub(r"^\s*exec\s+", "", words[words.index("-c") + 1]))
            commands.append(words)
        elif key.strip() == "Environment":
            environ.update(word.split("=", 1) for word in _words(value) if "=" in word)  # type: ignore[misc]
    return [(words, environ) for words in commands if words]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


# Ports


_LISTENING = "0A"


def listening(table: str) -> dict[str, int]:
    """The ports of the listening sockets in a text of /proc/net/tcp or tcp6, by inode; proc_pid_net(5)."""
    ports: dict[str, int] = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING:
            ports[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return ports


def port_of(engine: Engine, ports: t.Collection[int]) -> int:
    """Where an engine listens. ports: those it listens on, none when that cannot be seen."""
    return engine.port if engine.port in ports or not ports else min(ports)


# Families


def leaders(kinds: t.Mapping[int, str], parent: t.Callable[[int], int]) -> list[int]:
    """The processes that are not the descendant of one of the same engine. kinds: the engine of each process."""
    return [
        pid for pid, kind in sorted(kinds.items()) if kind not in (kinds.get(above) for above in _above(pid, parent))
    ]


def _above(pid: int, parent: t.Callable[[int], int]) -> t.Iterator[int]:
    seen = {0, pid}  # they may change while they are looked at
    while parent(pid) not in seen:
        pid = parent(pid)
        seen.add(pid)
        yield pid


# GPUs


def gpus_of(engine: Engine, found: Found) -> tuple[t.Optional[list[int]], str]:
    """The numbers of the GPUs that it may use, and what is uncertain about them. found: the GPUs of the host.

    None: nobody told it which. Empty: none at all.
    """
    name, value = engine.visible or ("", "")
    listed = [word.strip() for word in value.split(",")]
    if engine.visible and listed[0] in ("", "-1", "NoDevFiles"):
        return [], ""
    if not engine.visible and not engine.devices:
        return None, ""
    said = f"{name}={value}" if engine.visible else f"its option for GPU {_listed(engine.devices)}"
    if found.devices is None:
        return None, f"{said} was not taken over, since the GPUs cannot be read: {found.reason}"
    vendor = AMD if name.startswith(("ROCR", "HIP")) else NVIDIA
    own = [device for device in found.devices if device.vendor == vendor]
    whole = [device for device in own if device.parent is None]
    chosen = [_device(word, own, whole) for word in listed] if engine.visible else list(whole)
    if engine.devices:
        chosen = [chosen[number] if number < len(chosen) else None for number in engine.devices]
    numbers = [device.index for device in chosen if device is not None]
    if len(numbers) < len(chosen):
        return None, f"{said} was not taken over, since this host has no such GPU"
    models = {device.name for device in whole}
    by_number = not engine.visible or any(word.isdigit() for word in listed)
    if by_number and vendor == NVIDIA and len(models) > 1 and engine.order != "PCI_BUS_ID":
        return numbers, f"{said} counts as CUDA does, and these GPUs differ: compare gpus with nvidia-smi"
    return numbers, ""


def _device(word: str, own: t.Sequence[Device], whole: t.Sequence[Device]) -> t.Optional[Device]:
    if word.isdigit():
        return whole[int(word)] if int(word) < len(whole) else None
    return next((device for device in own if device.uuid and device.uuid.startswith(word)), None)


def _listed(numbers: t.Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
