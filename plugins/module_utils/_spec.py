# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The specification of one component of one host: what the controller sends and the host converges to.

Pure data. A specification is resolved as far as the controller can know: every default is applied and the
sources of every platform are carried along, so the host only picks its platform, interpreter and devices.

Command lines, environment values, health paths and file contents may hold these placeholders, which the host fills in:
``{release}`` (installed tree), ``{files}`` (rendered files of this generation), ``{data}`` (writable folder of the
component), ``{prefix}``, ``{python}`` (the host's interpreter), ``{address}``, ``{port}``, ``{model}`` (name),
``{model_path}`` (file or folder of the model on this host). File contents are only filled in when ``template`` is true.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import posixpath
import typing as t

QUEEN, HIVE, PULL, WORKER, MODEL, TOOL = "queen", "hive", "pull", "worker", "model", "tool"
KINDS = (QUEEN, HIVE, PULL, WORKER, MODEL, TOOL)

ANY_PLATFORM = "any"
BUNDLED = "bundled"  # a source's kind, and so what tells the agent of the collection from another program
GATEWAY_FILE = "haproxy.cfg"  # the file of a queen by which our gateway is told from another program
WORKERS_FILE = "workers.map"  # hers, with a line for each worker, which begins with hive/name and a space


class SpecError(ValueError):
    """A specification that does not have the documented shape."""


@dataclasses.dataclass(frozen=True)
class PythonEnv:
    """A virtual environment made by uv from a locked list of requirements.

    requires: interpreter range as in PEP 440, for example ``>=3.10,<3.14``; empty means any.
    requirements: text of a requirements file, every line pinned; hashes are enforced when it has any.
    torch_backend: value of uv's ``--torch-backend``; empty leaves it out.
    overrides: text of a uv overrides file; empty means none.
    requirements_sha256: the digest of requirements that are not here; ``_brief`` says why.
    """

    requires: str = ""
    requirements: str = ""
    torch_backend: str = ""
    overrides: str = ""
    requirements_sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the files of a release come from.

    kind: ``python`` (only ``env``), ``archive`` (tar or zip, by content), ``file`` (one file, kept as ``name``),
    ``system-package``, ``bundled`` (built from the node library itself), ``huggingface`` (a model repository).
    url: http, https or file URL. path: absolute path on the controller, instead of a URL.
    sha256: hexadecimal digest of the downloaded file. size: bytes, 0 when unknown.
    strip: leading folders dropped from every archive member.
    also: further archives (their ``url`` or ``path``, ``sha256``, ``size``, ``strip``), unpacked into the same tree.
    name: ``file``: name of the installed file; ``bundled``: what to build; a model's ``archive`` or ``huggingface``
    repository: the file in it that is the model, empty for all of it.
    repository, revision: kind ``huggingface``: its name, and a branch, tag or commit of it.
    files: kind ``huggingface``: the digest of each of its files by path, ``sha256:…`` or ``git:…`` (the name of the
    blob); empty means whatever the revision holds.
    fetch: who fetches it, ``host`` or ``controller``; empty leaves that to the request.
    env: a virtual environment in ``{release}/env`` (kind ``archive``) or ``{release}`` itself (kind ``python``).
    packages: kind ``system-package``: package names by manager (``apt``, ``dnf``, ``zypper``, ``pacman``, ``apk``).
    binary: kind ``system-package``: the program that proves the package is there, linked at ``{release}/bin/<binary>``.
    minimum: kind ``system-package``: lowest acceptable version of that program, empty for any.
    """

    kind: str
    url: str = ""
    path: str = ""
    sha256: str = ""
    size: int = 0
    strip: int = 0
    also: tuple[Source, ...] = ()
    name: str = ""
    repository: str = ""
    revision: str = ""
    files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    fetch: str = ""
    env: t.Optional[PythonEnv] = None
    packages: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    binary: str = ""
    minimum: str = ""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One build of a component; the host takes the first whose device it has.

    device: ``nvidia``, ``amd``, ``intel``, ``vulkan`` or ``""`` (needs none).
    sources: by platform (``linux-x86_64``, ``linux-aarch64``, or ``any``).
    command, env: replace or extend the component's own when given. idle: why it would have nothing to do, or empty.
    libraries: shared libraries of the host that the build links to, by soname (``libgomp.so.1``), each with the
    packages that bring it by package manager.
    binaries: likewise programs of the host that it calls, by name (``git``).
    """

    name: str
    sources: t.Mapping[str, Source]
    device: str = ""
    command: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    libraries: t.Mapping[str, t.Mapping[str, t.Sequence[str]]] = dataclasses.field(default_factory=dict)
    binaries: t.Mapping[str, t.Mapping[str, t.Sequence[str]]] = dataclasses.field(default_factory=dict)
    idle: str = ""


@dataclasses.dataclass(frozen=True)
class File:
    """A rendered file of a generation; ``secret`` names an entry of the module's secrets instead of content.

    each_model: the content stands once for every model that the component serves on demand, placeholders filled in; a
    component that serves none so does not have the file.
    content_sha256: the digest of a content that is not here; ``_brief`` says why.
    """

    path: str
    content: str = ""
    secret: str = ""
    template: bool = False
    each_model: bool = False
    content_sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Health:
    """HTTP readiness: GET on address and port until the status is 200. Times in seconds; no path means no gate."""

    path: str = ""
    timeout: int = 60


@dataclasses.dataclass(frozen=True)
class Service:
    """How the service manager runs the component.

    stop_timeout: seconds between SIGTERM and SIGKILL. reload_signal: for example ``USR2``; empty means restart.
    capabilities: ambient ones, for example ``CAP_NET_BIND_SERVICE``. nofile: descriptor limit, 0 for the default.
    devices: whether the service needs GPU device nodes.
    drain_timeout: seconds that a restart waits for the requests at work; the queen sends no new ones meanwhile.
    privileged: runs as root in system scope, and may write everywhere.
    schedule: seconds from the end of one run to the next, of a program that ends by itself; 0: it runs all the time.
    spread: seconds at most by which each of these runs is put off, at random.
    """

    stop_timeout: int = 30
    reload_signal: str = ""
    capabilities: tuple[str, ...] = ()
    nofile: int = 0
    devices: bool = False
    drain_timeout: int = 300
    privileged: bool = False
    schedule: int = 0
    spread: int = 0


@dataclasses.dataclass(frozen=True)
class Registered:
    """A hive as the queen's register has it: how it is reached, and where on it the fleet is installed.

    temporary: only the configuration of whoever installed it has it, and it is left alone.
    """

    hostname: str
    prefix: str
    scope: str = "system"
    connection: str = "ssh"
    ssh_user: str = ""
    ssh_port: int = 22
    hive_port: int = 8600
    address: str = ""
    auto_start: bool = True
    temporary: bool = False


@dataclasses.dataclass(frozen=True)
class Spec:
    """One component of one host.

    name: unique on the host; the unit is ``rbee-<name>``. type: catalog type. fleet: whose it is.
    command: argument vector; empty for models and tools, which have nothing to run.
    check: argument vector that must exit 0 on a new generation before it is switched to; empty for none.
    secret_env: environment variable to secret name. idle: reason why it is installed but not started, or empty.
    model: name of the model component on the same host whose files this one serves, or empty.
    served_name: the name clients use for that model.
    models: of a component that serves several on demand instead, the name clients use by model component.
    gpus: what it has for itself: numbers of GPUs as text, or ``all``; the host puts their identities in their place.
    Empty: every GPU that no other component claims.
    programs: command line of each program that people may call by hand, by the name it gets in the PATH.
    declared: as JSON, the shortest entry of the configuration that declares a worker or a model, what names a hive, and
    of the queen what rbee.conf says, and her temporary workers.
    temporary: only the configuration of whoever installed it has it, and it is left alone.
    register: of the queen, the hives that are declared, by alias.
    """

    name: str
    type: str
    kind: str
    fleet: str
    version: str
    variants: tuple[Variant, ...]
    command: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    secret_env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[File, ...] = ()
    address: str = ""
    port: int = 0
    health: Health = Health()
    service: Service = Service()
    auto_start: bool = True
    idle: str = ""
    model: str = ""
    served_name: str = ""
    models: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    programs: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    declared: str = ""
    temporary: bool = False
    register: t.Mapping[str, Registered] = dataclasses.field(default_factory=dict)


def with_arguments(spec: Spec, arguments: t.Sequence[str]) -> Spec:
    """The specification with these words after its command, also in the variants that have a command of their own."""
    more = tuple(arguments)
    variants = tuple(
        dataclasses.replace(variant, command=variant.command + more) if variant.command else variant
        for variant in spec.variants
    )
    return dataclasses.replace(spec, command=spec.command + more, variants=variants)


def models_of(spec: Spec) -> tuple[str, ...]:
    """The model components that one serves, whether alone or on demand."""
    return (spec.model,) if spec.model else tuple(spec.models)


def to_dict(value: t.Any) -> t.Any:
    """A dataclass of this file as plain JSON data, without the fields that have their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if item != default:
                out[field.name] = to_dict(item)
        return out
    if isinstance(value, t.Mapping):
        return {str(key): to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    return value


def from_dict(data: t.Any) -> Spec:
    """The inverse of :func:`to_dict` for a Spec. Raises SpecError, which names the key that does not fit."""
    spec = decode(Spec, data, "component")
    if spec.kind not in KINDS:
        raise SpecError(f"component {spec.name}: kind is {spec.kind!r}, expected one of {', '.join(KINDS)}")
    if not spec.variants:
        raise SpecError(f"component {spec.name}: has no variants")
    for index, file in enumerate(spec.files):
        if posixpath.isabs(file.path) or ".." in file.path.split("/"):
            raise SpecError(
                f"component {spec.name}: files[{index}].path is {file.path!r}, expected one below its folder"
            )
    return t.cast(Spec, spec)


def decode(kind: t.Any, value: t.Any, where: str) -> t.Any:
    """The inverse of :func:`to_dict` for a type that is made of dataclasses. Raises SpecError; *where* begins it."""
    origin, args = t.get_origin(kind), t.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin is t.Union:
        return None if value is None else decode(args[0], value, where)
    if origin in (tuple, collections.abc.Sequence):
        if isinstance(value, (str, bytes)) or not isinstance(value, t.Sequence):
            raise SpecError(f"{where}: expected a list, got {value!r}")
        return tuple(decode(args[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is collections.abc.Mapping:
        if not isinstance(value, t.Mapping):
            raise SpecError(f"{where}: expected a dictionary, got {value!r}")
        return {str(key): decode(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SpecError(f"{where}: expected {kind.__name__}, got {value!r}")
    return kind(value)  # plain type: Ansible's tagged subclasses do not travel further


_hints = functools.lru_cache(maxsize=None)(t.get_type_hints)


def _decode_dataclass(kind: t.Any, value: t.Any, where: str) -> t.Any:
    if not isinstance(value, t.Mapping):
        raise SpecError(f"{where}: expected a dictionary, got {value!r}")
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise SpecError(f"{where}: unknown key {unknown[0]!r}")
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - set(value))
    if missing:
        raise SpecError(f"{where}: missing key {missing[0]!r}")
    return kind(**{str(key): decode(hints[key], item, f"{where}.{key}") for key, item in value.items()})
