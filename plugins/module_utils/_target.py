# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a specification and the facts of a host to what exactly shall be there: release and generation. Pure."""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
import shlex
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._brief import brief_source, sha256_of, without
from ansible_collections.rbee.fleet.plugins.module_utils._digest import digest
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    ANY_PLATFORM,
    QUEEN,
    File,
    Health,
    Source,
    Spec,
    Variant,
    models_of,
    to_dict,
)
from ansible_collections.rbee.fleet.plugins.module_utils._unit import ServiceDefinition

MARK = "# Written by rbee.fleet; changes are overwritten."
START, UNIT, SECRETS, DESCRIPTION = "start", "unit", "secrets.env", "generation.json"


class TargetError(Exception):
    """A component that this host cannot run; the message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """What the host is.

    platform: for example ``linux-x86_64``. devices: of ``nvidia``, ``amd``, ``intel``, ``vulkan``.
    asleep: the kinds of which there is a card without a driver.
    python: absolute path of the host's interpreter. bundled: digest of each thing the node library can build.
    account: the service user of all but the queen, empty for the user that runs us. groups: supplementary groups that
    exist here.
    programs: folder of the PATH in which programs are linked.
    """

    platform: str
    devices: frozenset[str]
    python: str
    scope: str
    account: str
    groups: tuple[str, ...]
    bundled: t.Mapping[str, str]
    programs: str = "/usr/local/bin"
    asleep: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Content:
    """One file of a generation. text_sha256: the digest of a text that is not here; ``_brief`` says why."""

    text: str
    secret: bool = False
    executable: bool = False
    text_sha256: str = ""

    def is_text(self, found: t.Optional[str]) -> bool:
        """Whether a file that has this text, or that is not there, has the wanted one."""
        if self.text_sha256:
            return found is not None and sha256_of(found) == self.text_sha256
        return found == self.text


@dataclasses.dataclass(frozen=True)
class Build:
    """A release resolved for this host.

    interpreter: absolute path, empty when the release needs no environment. release: its name. path: where it lies.
    content: digest of the files of a model whose files are known beforehand, or empty.
    """

    variant: Variant
    source: Source
    interpreter: str
    release: str
    path: str
    content: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """All that shall be true of one component.

    generation: name, empty for a component with nothing to run. contents: the generation's files by relative path.
    links: what each path shall lead to. runs: whether the service is to be started and enabled.
    """

    spec: Spec
    build: Build
    generation: str = ""
    contents: t.Mapping[str, Content] = dataclasses.field(default_factory=dict)
    links: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The service manager's text, empty for a component with nothing to run."""
        return self.contents[UNIT].text if self.contents else ""

    @property
    def has_service(self) -> bool:
        return bool(self.spec.command or self.build.variant.command)

    @property
    def runs(self) -> bool:
        return self.has_service and self.spec.auto_start and not self.spec.idle


def recorded(receipt: t.Mapping[str, t.Any]) -> Target:
    """A component as its receipt has it: enough to start and to stop it, nothing to install it from."""
    spec = Spec(
        name=receipt["name"],
        type=receipt["type"],
        kind=receipt["kind"],
        fleet=receipt["fleet"],
        version=receipt["version"],
        variants=(),
        command=(START,) if "generation" in receipt else (),
        address=receipt.get("address", ""),
        port=receipt.get("port", 0),
        health=Health(receipt.get("health", ""), receipt.get("health_timeout", Health.timeout)),
        auto_start=receipt.get("auto_start", True),
        idle=receipt.get("idle", ""),
        model=receipt.get("model", ""),
        models=receipt.get("models", {}),
        gpus=tuple(receipt.get("gpus", ())),
    )
    variant, source = Variant(receipt["variant"], {}), Source(receipt["source"]["kind"])
    build = Build(variant, source, receipt["interpreter"], receipt["release"], receipt["release_path"])
    return Target(spec, build, receipt.get("generation", ""))


def choose(spec: Spec, host: HostFacts) -> tuple[Variant, Source]:
    """The first variant whose device the host has, and its source for the host's platform."""
    fitting = [variant for variant in spec.variants if not variant.device or variant.device in host.devices]
    if not fitting:
        wanted = ", ".join(sorted({variant.device for variant in spec.variants}))
        raise TargetError(f"needs a GPU of kind {wanted}; this host has {', '.join(sorted(host.devices)) or 'none'}")
    variant = fitting[0]
    before = spec.variants[: spec.variants.index(variant)]
    unused = sorted({other.device for other in before} & host.asleep) if not variant.device else []
    if unused:
        raise TargetError(
            f"this host has a GPU of kind {unused[0]} whose driver is not loaded, and would compute on its CPU: "
            f"load the driver, or set variant = '{variant.name}'"
        )
    source = variant.sources.get(host.platform) or variant.sources.get(ANY_PLATFORM)
    if source is None:
        known = ", ".join(sorted(variant.sources)) or "none"
        raise TargetError(
            f"{spec.type} {spec.version}, variant {variant.name}, has no source for {host.platform}, only for {known}; "
            f"add one in a catalog folder of your own"
        )
    return variant, source


def build_of(spec: Spec, variant: Variant, source: Source, interpreter: str, host: HostFacts, layout: Layout) -> Build:
    """Name the release by what is in it; where it is fetched from does not matter once its digest is known."""
    release = digest(
        {
            "source": _identity(source),
            "version": "" if source.files else spec.version,
            "platform": host.platform,
            "interpreter": interpreter,
            "bundled": host.bundled.get(source.name, "") if source.kind == "bundled" else "",
        }
    )
    content = digest(dict(source.files)) if source.files else ""
    return Build(variant, source, interpreter, release, posixpath.join(layout.releases(spec), release), content)


def _identity(source: Source) -> dict[str, t.Any]:
    if source.files:  # a commit that leaves them as they were is the same model
        return {"kind": source.kind, "name": source.name, "files": dict(source.files)}
    own = dataclasses.replace(brief_source(source), also=(), fetch="")
    if source.sha256:
        own = dataclasses.replace(own, url="", path="")
    return {**to_dict(own), "also": [_identity(one) for one in source.also]}


def binaries(variant: Variant) -> list[Source]:
    """The programs of the host that a build calls, as what a package manager brings."""
    return [Source("system-package", packages=packages, binary=name) for name, packages in variant.binaries.items()]


def model_path(build: Build) -> str:
    """The model's file, or its folder when the source is a whole repository."""
    return posixpath.join(build.path, build.source.name) if build.source.name else build.path


def target_of(
    spec: Spec,
    build: Build,
    host: HostFacts,
    layout: Layout,
    models: t.Mapping[str, Build],
    secrets: t.Mapping[str, str],
    render_unit: t.Callable[[ServiceDefinition], str],
) -> Target:
    """Render the generation of a component.

    models: the builds of the models of this host, by component. secrets: the value of every secret by name.
    render_unit: the service manager's own text for a definition.
    """
    target = Target(spec, build)
    if not target.has_service:
        return target
    if build.variant.idle:
        spec = dataclasses.replace(spec, idle=spec.idle or build.variant.idle, models={})
    missing = sorted(set(models_of(spec)) - set(models))
    if missing and not spec.idle:
        raise TargetError(f"serves model {missing[0]!r}, which is not among the components of this host")
    values = placeholders(spec, build, host, layout, models)
    health = dataclasses.replace(spec.health, path=fill(spec.health.path, values))
    spec = dataclasses.replace(spec, health=health)
    wanted = {*spec.secret_env.values(), *(file.secret for file in spec.files if file.secret)}
    if wanted - set(secrets):
        raise TargetError(f"secret {min(wanted - set(secrets))!r} was not given")
    paths = {name: model_path(models[name]) for name in spec.models}
    served = [{**values, "model": spec.models[name], "model_path": path} for name, path in sorted(paths.items())]
    contents = {
        "files/" + file.path: file_content(file, values, secrets, served)
        for file in spec.files
        if served or not file.each_model
    }
    if spec.secret_env:
        lines = [f"{key}={shlex.quote(secrets[name])}" for key, name in sorted(spec.secret_env.items())]
        contents[SECRETS] = Content("\n".join(lines) + "\n", secret=True)
    contents[START] = Content(start_script(spec, build, values, layout), executable=True)
    for program, command in spec.programs.items():
        contents["bin/" + program] = Content(program_script(command, values), executable=True)
    links = {
        posixpath.join(host.programs, program): layout.program(spec.name, program) for program in sorted(spec.programs)
    }
    contents[DESCRIPTION] = Content(describe(spec, build, values, links, tuple(paths.values())))
    contents[UNIT] = Content(render_unit(definition_of(spec, host, layout)))
    generation = digest({path: dataclasses.asdict(without(content, "text")) for path, content in contents.items()})
    return Target(spec, build, generation, contents, links)


def placeholders(
    spec: Spec, build: Build, host: HostFacts, layout: Layout, models: t.Mapping[str, Build]
) -> t.Mapping[str, str]:
    served = models_of(spec)
    model = models.get(served[0]) if len(served) == 1 else None
    return {
        "release": build.path,
        "files": posixpath.join(layout.current(spec.name), "files"),
        "data": layout.data(spec.name),
        "prefix": layout.prefix,
        "python": host.python,
        "address": spec.address,
        "port": str(spec.port),
        "model": spec.served_name or spec.model or (spec.models[served[0]] if model else ""),
        "model_path": model_path(model) if model else "",
    }


def fill(text: str, values: t.Mapping[str, str]) -> str:
    """Replace the known placeholders and nothing else: other braces belong to the program that reads the text."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def file_content(
    file: File,
    values: t.Mapping[str, str],
    secrets: t.Mapping[str, str],
    served: t.Sequence[t.Mapping[str, str]] = (),
) -> Content:
    """served: the placeholders for each model that the component serves on demand."""
    if file.secret:
        return Content(secrets[file.secret] + "\n", secret=True)
    if file.each_model:
        return Content("".join(fill(file.content, one) for one in served))
    if file.template:
        return Content(fill(file.content, values))
    return Content(file.content, text_sha256=file.content_sha256)


def command_of(spec: Spec, build: Build, values: t.Mapping[str, str]) -> list[str]:
    return [fill(word, values) for word in (build.variant.command or spec.command)]


def start_script(spec: Spec, build: Build, values: t.Mapping[str, str], layout: Layout) -> str:
    """What the service manager runs: one file, so that one rename switches environment, arguments and release."""
    lines = ["#!/bin/sh", MARK]
    if spec.secret_env:
        lines.append(f"set -a; . {shlex.quote(posixpath.join(layout.current(spec.name), SECRETS))}; set +a")
    for key, value in sorted({**build.variant.env, **spec.env}.items()):
        lines.append(f"export {key}={shlex.quote(fill(value, values))}")
    lines.append(f"cd {shlex.quote(values['data'])} || exit 1")
    lines.append("exec " + " ".join(shlex.quote(word) for word in command_of(spec, build, values)))
    return "\n".join(lines) + "\n"


def program_script(command: t.Sequence[str], values: t.Mapping[str, str]) -> str:
    words = " ".join(shlex.quote(fill(word, values)) for word in command)
    return f'#!/bin/sh\n{MARK}\nexec {words} "$@"\n'


def describe(
    spec: Spec, build: Build, values: t.Mapping[str, str], links: t.Iterable[str] = (), paths: t.Sequence[str] = ()
) -> str:
    """generation.json: what a rollback, an uninstall or a person needs to know about a generation.

    paths: of the models that are served on demand.
    """
    return (
        json.dumps(
            {
                "name": spec.name,
                "type": spec.type,
                "kind": spec.kind,
                "fleet": spec.fleet,
                "version": spec.version,
                "variant": build.variant.name,
                "release": build.release,
                "release_path": build.path,
                "model": spec.model,
                "model_path": values["model_path"],
                "served_name": spec.served_name,
                "address": spec.address,
                "port": spec.port,
                "health": spec.health.path,
                "links": list(links),
                **({"gpus": list(spec.gpus)} if spec.gpus else {}),
                **({"models": dict(spec.models), "model_paths": list(paths)} if spec.models else {}),
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )


def definition_of(spec: Spec, host: HostFacts, layout: Layout) -> ServiceDefinition:
    service = spec.service
    return ServiceDefinition(
        name=spec.name,
        fleet=spec.fleet,
        description=f"rbee {spec.kind} {spec.name} of fleet {spec.fleet}",
        start=posixpath.join(layout.current(spec.name), START),
        user=account_of(spec, host.account),
        group=account_of(spec, host.account),
        groups=host.groups if service.devices else (),
        data_dir=layout.data(spec.name),
        prefix=layout.prefix,
        stop_timeout=service.stop_timeout,
        reload_signal=service.reload_signal,
        capabilities=service.capabilities,
        nofile=service.nofile,
        devices=service.devices,
        scope=host.scope,
        privileged=service.privileged,
        schedule=service.schedule,
        spread=service.spread,
    )


def account_of(spec: Spec, account: str) -> str:
    """The user that a component runs as and that its data belongs to, empty for the user that runs us.

    account: the service user. What runs as root must not read what others may write. The queen has a user of her own,
    since processes of one user can read each other's files and memory: hers hold the key, and workers run what they
    are sent.
    """
    if not account or spec.service.privileged:
        return ""
    return queens_account(account) if spec.kind == QUEEN else account


def queens_account(account: str) -> str:
    """Her user. account: the service user."""
    return f"{account}-{QUEEN}"
