# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog: one TOML file a component type, saying where it comes from, how it starts and when it is ready. Pure.

``_catalog_keys`` holds the keys of the format; what no single key can tell is checked here. An entry becomes the same
dataclasses that specifications are made of.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import (
    ANY_PLATFORM,
    BUNDLED,
    GATEWAY_FILE,
    HIVE,
    PULL,
    TOOL,
    WORKER,
    File,
    Health,
    PythonEnv,
    Service,
    Source,
    Variant,
)
from ansible_collections.rbee.fleet.plugins.module_utils._versions import VersionError, in_range
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog_keys import ENTRY, KIND_KEYS, NAME, NO_MODEL, REQUIRED
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError, Mistake
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import Reader, suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import Document, Path, parse

# Filled in on the controller, which alone knows the fleet; the others on the host.
ALIAS, QUEEN_URL = "hive", "queen_url"
_OF_HIVES, _OF_MODELS = (ALIAS, QUEEN_URL), ("model", "model_path")
PLACEHOLDERS = ("release", "files", "data", "prefix", "python", "address", "port", *_OF_HIVES, *_OF_MODELS)

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?\s*(===?\s*[^\s*;,]+\s*(;.*)?$|@\s*\S+)")
PLAIN = (
    "kind", "summary", "port", "model", "model_format", "command", "model_command", "models_command", "check", "env",
    "programs",
)  # fmt: skip


class CatalogError(ConfigError):
    """Every mistake of a catalog entry."""


@dataclasses.dataclass(frozen=True)
class Release:
    """One build of one version. models_command: its own, or empty for that of the entry."""

    version: str
    variant: Variant
    models_command: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Entry:
    """A component type. Field by field as in ``docs/catalog.md``.

    port: the default one, 0 for tools. model: ``none``, ``optional`` or ``required``.
    model_command: appended to the command when a model is served. models_command: the same when several are, on demand.
    programs: command line by name in the PATH.
    releases: in the order of the file: newest version first, preferred variant first.
    """

    type: str
    kind: str
    releases: tuple[Release, ...]
    summary: str = ""
    port: int = 0
    model: str = NO_MODEL
    model_format: str = ""
    command: tuple[str, ...] = ()
    model_command: tuple[str, ...] = ()
    models_command: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[File, ...] = ()
    health: Health = dataclasses.field(default_factory=Health)
    service: Service = dataclasses.field(default_factory=Service)
    programs: t.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version once, newest first."""
        return tuple(dict.fromkeys(release.version for release in self.releases))

    @property
    def latest(self) -> str:
        return self.versions[0]

    @property
    def is_gateway(self) -> bool:
        """Whether it is a queen that reads what is rendered for HAProxy; another one only answers her health path."""
        return self.mentions("{files}/" + GATEWAY_FILE)

    @property
    def is_agent(self) -> bool:
        """Whether it is the hive's agent that the collection brings; another one only answers its health path."""
        sources = (source for release in self.releases for source in release.variant.sources.values())
        return self.kind == HIVE and any(source.kind == BUNDLED for source in sources)

    def mentions(self, text: str) -> bool:
        """Whether a text stands in anything that placeholders are filled in."""
        variants = [release.variant for release in self.releases]
        words = [*self.command, *self.model_command, *self.models_command, *self.check, *self.env.values()]
        words += [self.health.path, *(word for release in self.releases for word in release.models_command)]
        words += [word for command in self.programs.values() for word in command]
        words += [word for variant in variants for word in (*variant.command, *variant.env.values())]
        words += [file.content for file in self.files if file.template or file.each_model]
        return any(text in word for word in words)

    def variants(self, version: str) -> tuple[Variant, ...]:
        """The builds of a version in order of preference. Raises CatalogError, naming the known versions."""
        found = tuple(release.variant for release in self.releases if release.version == version)
        if not found:
            message = f"{self.type} has no version {version!r}; the catalog has {', '.join(self.versions)}"
            raise CatalogError([Mistake(f"{self.type}.toml", 1, "release", message)])
        return found

    def models_commands(self, version: str) -> dict[str, tuple[str, ...]]:
        """What each build of a version is started with to serve several models on demand; empty where it cannot."""
        return {
            release.variant.name: release.models_command or self.models_command
            for release in self.releases
            if release.version == version
        }


class Catalog:
    """The component types that are known, by name."""

    def __init__(
        self, entries: t.Mapping[str, Entry], of_versions: t.Mapping[tuple[str, str], Entry] | None = None
    ) -> None:
        """of_versions: by type and version, the entry that says how this version is run, where that is another one."""
        self._entries, self._of_versions = dict(entries), dict(of_versions or {})

    def get(self, type_name: str, version: str = "") -> Entry | None:
        """The entry of a type, as it is for one version of it; all releases of the type are in it."""
        entry = self._entries.get(type_name)
        own = self._of_versions.get((type_name, version))
        return dataclasses.replace(own, releases=entry.releases) if entry and own else entry

    def types(self, kind: str | None = None) -> tuple[str, ...]:
        """Sorted names, of one kind or of all."""
        return tuple(sorted(name for name, entry in self._entries.items() if kind in (None, entry.kind)))

    def bundling(self, name: str, path: str, sha256: str) -> Catalog:
        """This catalog, where what is bundled under a name is the archive of a folder of the controller."""
        known = Source("archive", path=path, sha256=sha256)

        def told(source: Source) -> Source:
            is_it = source.kind == BUNDLED and source.name == name
            return dataclasses.replace(known, env=source.env) if is_it else source

        def made(entry: Entry) -> Entry:
            releases = []
            for release in entry.releases:
                sources = {platform: told(source) for platform, source in release.variant.sources.items()}
                variant = dataclasses.replace(release.variant, sources=sources)
                releases.append(dataclasses.replace(release, variant=variant))
            return dataclasses.replace(entry, releases=tuple(releases))

        return Catalog({type_name: made(entry) for type_name, entry in self._entries.items()}, self._of_versions)

    def merged(self, other: Catalog) -> Catalog:
        """This catalog with the other's entries added; where both know a type, the other's entry stands as a whole."""
        kept = {key: entry for key, entry in self._of_versions.items() if key[0] not in other._entries}
        return Catalog({**self._entries, **other._entries}, {**kept, **other._of_versions})


def parse_entry(type_name: str, text: str, where: str, read_text: t.Callable[[str], str]) -> Entry:
    """The entry of ``type_name`` in ``text``.

    where: file name for errors. read_text: the content of a file named in the entry, relative to the entry's folder;
    it may raise OSError. Raises CatalogError with every mistake.
    """
    try:
        document = parse(where, text)
    except ConfigError as error:
        raise CatalogError(error.mistakes) from None
    return entry_of(type_name, document, read_text)


def entry_of(type_name: str, document: Document, read_text: t.Callable[[str], str]) -> Entry:
    """The same of a document."""
    reader = Reader(document, [])
    if not re.fullmatch(NAME, type_name):
        reader.wrong((), f"the file name is the type and must be like 'my-engine.toml', not {type_name!r}")
    found = reader.table((), document.data, ENTRY)
    releases = [_release(reader, ("release", index), item, read_text) for index, item in enumerate(found["release"])]
    known = _known(found["kind"])
    files = [_file(reader, name, content, read_text, known) for name, content in found["files"].items()]
    _check_entry(reader, found)
    if reader.mistakes:
        raise CatalogError(reader.mistakes)
    return Entry(
        type=type_name,
        releases=tuple(releases),
        files=tuple(files),
        health=Health(**found["health"]),
        service=Service(**found["service"]),
        **{key: found[key] for key in PLAIN},
    )


def _file(
    reader: Reader,
    name: str,
    given: str | dict[str, t.Any],
    read_text: t.Callable[[str], str],
    known: t.Sequence[str],
) -> File:
    if isinstance(given, str):
        return File(name, given)
    content = given["content"]
    if given["each_model"]:
        return File(name, given["each_model"], each_model=True)
    if given["file"]:
        path: Path = ("files", name, "file")
        content = _beside(reader, path, given["file"], read_text)
        _check_words(reader, path[:-1], {"file": content if given["template"] else ""}, known)
    return File(name, content, template=given["template"])


def _beside(reader: Reader, path: Path, name: str, read_text: t.Callable[[str], str]) -> str:
    """The text of a file that the entry names."""
    try:
        return read_text(name)
    except (OSError, UnicodeDecodeError) as error:
        reader.wrong(path, f"{name} cannot be read: {error}")
        return ""


def _release(reader: Reader, path: Path, found: dict[str, t.Any], read_text: t.Callable[[str], str]) -> Release:
    env = None
    if found["python"] is not None:
        env = _python(reader, path + ("python",), found["python"], read_text)
    if found["source"]:
        sources = {
            platform: _source(reader, path + ("source", platform), source, env)
            for platform, source in found["source"].items()
        }
    elif env:
        sources = {ANY_PLATFORM: Source("python", env=env)}
    else:
        sources = {}
        reader.wrong(path, "has nothing to install; give it [release.source.<platform>] or [release.python]")
    more = {key: found[key] for key in ("device", "command", "env", "libraries", "binaries")}
    variant = Variant(found["variant"], sources, **more)
    return Release(found["version"], variant, found["models_command"])


def _python(reader: Reader, path: Path, found: dict[str, t.Any], read_text: t.Callable[[str], str]) -> PythonEnv:
    try:
        in_range("3.11", found["requires"])
    except VersionError as error:
        reader.wrong(path + ("requires",), str(error))
    requirements, key = found["requirements"], "requirements"
    if bool(found["lock"]) == bool(requirements):
        reader.wrong(path, "expected exactly one of lock (a file beside the entry) and requirements (the text itself)")
    elif found["lock"]:
        key = "lock"
        requirements = _beside(reader, path + ("lock",), found["lock"], read_text)
    for line in unpinned(requirements):
        reader.wrong(path + (key,), f"expected every line pinned like name==1.2.3, not {line!r}")
    without = without_digest(requirements)
    if 0 < len(without) < len(_lines(requirements)):
        reader.wrong(path + (key,), f"expected a --hash=sha256:… on every line or on none; {without[0]!r} has none")
    return PythonEnv(found["requires"], requirements, found["torch_backend"], found["overrides"])


def unpinned(requirements: str) -> list[str]:
    """The lines of a requirements text that do not name one exact version or URL."""
    return [line for line in map(_pin, _lines(requirements)) if not _PINNED.match(line)]


def without_digest(requirements: str) -> list[str]:
    """The lines of a requirements text that accept any file of their version, so that an index decides what it is."""
    return [_pin(line) for line in _lines(requirements) if " --hash" not in line and "#sha256=" not in line]


@functools.lru_cache  # variants share a lock, and rbee.lock says what the catalog does
def _lines(requirements: str) -> tuple[str, ...]:
    """What each requirement of a text says, without comments."""
    lines = requirements.replace("\\\n", " ").splitlines()
    words = (re.split(r"(?:^|\s)#", line)[0].strip() if "#" in line else line.strip() for line in lines)
    return tuple(line for line in words if line)


def _pin(line: str) -> str:
    return line.partition(" --hash")[0].strip()


def _source(reader: Reader, path: Path, found: dict[str, t.Any], env: PythonEnv | None) -> Source:
    """A source whose keys are those its kind has."""
    kind = found["kind"]
    fields = KIND_KEYS.get(kind, ())
    given = [key for key, value in found.items() if value and key != "kind"] if kind else []
    for key in given:
        if key not in fields:
            reader.wrong(path + (key,), f"a source of kind {kind} has no such key; it has {', '.join(fields)}")
    if kind in ("archive", "file"):
        _check_origin(reader, path)
    for key in {"file": ("name",), "bundled": ("name",), "system-package": ("packages", "binary")}.get(kind, ()):
        _require(reader, path + (key,), f"a source of kind {kind} requires it")
    if env and kind not in ("archive", BUNDLED):
        reader.wrong(
            path, f"a release with [release.python] has no source, or one of kind archive or bundled, not {kind}"
        )
    also = tuple(_also(reader, path + ("also", index), item) for index, item in enumerate(found["also"]))
    return Source(**{**found, "also": also, "env": env})


def _also(reader: Reader, path: Path, found: dict[str, t.Any]) -> Source:
    _check_origin(reader, path)
    return Source(kind="archive", **found)


def _check_origin(reader: Reader, path: Path) -> None:
    given = [key for key in ("url", "path") if not _absent(reader, path + (key,))]
    if len(given) != 1:
        reader.wrong(path, "expected exactly one of url and path")
    elif given == ["url"]:
        _require(reader, path + ("sha256",), "what is downloaded is only accepted by its digest")


def _require(reader: Reader, path: Path, why: str) -> None:
    if _absent(reader, path):
        reader.wrong(path, f"missing; {why}")


def _absent(reader: Reader, path: Path) -> bool:
    """Whether the file has nothing there, or something empty. A wrong value is not absent: it is reported as wrong."""
    value: t.Any = reader.document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return True
    return value in ("", [], {})


def _check_entry(reader: Reader, found: dict[str, t.Any]) -> None:
    """What holds between the keys of an entry."""
    runs = found["kind"] != TOOL
    listens = runs and found["kind"] != PULL
    for key in (*(("command",) if runs else ()), *(("port",) if listens else ())):
        _require(reader, (key,), f"a {found['kind']} requires it")
    running = ("command", "model_command", "models_command", "check", "env", "files", "health", "service", "port")
    for key in (*running, "programs"):
        if not runs and key in reader.document.data:
            reader.wrong((key,), "a tool has nothing to run; remove it")
    if found["service"]["schedule"] and found["health"]["path"]:
        reader.wrong(
            ("service", "schedule"), "what ends after each run cannot be asked for its health; remove one of the two"
        )
    if found["model"] != NO_MODEL:
        _require(reader, ("model_command",), f"with model = {found['model']!r} it says how the model is served")
    if found["model"] == NO_MODEL:
        for key in ("model_command", "model_format"):
            if found[key]:
                reader.wrong((key,), "expected only with model = 'optional' or 'required'")
    if found["model"] != REQUIRED:
        several: list[Path] = [("models_command",)] if found["models_command"] else []
        several += [
            ("release", at, "models_command") for at, one in enumerate(found["release"]) if one["models_command"]
        ]
        for path in several:
            reader.wrong(path, "expected only with model = 'required'; it is for workers that were given no model")
    if reader.document.data.get("release") == []:
        reader.wrong(("release",), "expected at least one [[release]]")
    _check_releases(reader, found["release"])
    _check_placeholders(reader, found)


def _check_releases(reader: Reader, releases: t.Sequence[dict[str, t.Any]]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, release in enumerate(releases):
        path = ("release", index)
        identity = (release["version"], release["variant"])
        if identity in seen:
            reader.wrong(path, f"version {identity[0]} has a variant {identity[1]} already")
        seen.add(identity)
        earlier = [other["version"] for other in releases[:index]]
        if release["version"] in earlier and release["version"] != earlier[-1]:
            reader.wrong(path, f"keep the variants of version {identity[0]} together, newest version first")


def _check_placeholders(reader: Reader, found: dict[str, t.Any]) -> None:
    known = _known(found["kind"])
    for key in ("command", "models_command", "check"):
        _check_words(reader, (key,), found[key], known)
    _check_words(reader, ("model_command",), found["model_command"], (*known, *_OF_MODELS))
    _check_words(reader, ("env",), found["env"], known)
    for name, words in found["programs"].items():
        _check_words(reader, ("programs", name), words, known)
    _check_words(reader, ("health",), {"path": found["health"]["path"]}, known)
    for name, content in found["files"].items():
        if isinstance(content, dict) and content["each_model"]:
            _check_words(reader, ("files", name), {"each_model": content["each_model"]}, (*known, *_OF_MODELS))
        if isinstance(content, dict) and content["template"]:
            _check_words(reader, ("files", name), {"content": content["content"]}, known)
    for index, release in enumerate(found["release"]):
        for key in ("command", "models_command"):
            _check_words(reader, ("release", index, key), release[key], known)
        _check_words(reader, ("release", index, "env"), release["env"], known)


def _known(kind: str) -> tuple[str, ...]:
    """The placeholders of an entry of this kind, but for those that only a model_command has."""
    without = _OF_MODELS if kind in (HIVE, WORKER) else _OF_MODELS + _OF_HIVES
    return tuple(name for name in PLACEHOLDERS if name not in without)


def _check_words(
    reader: Reader, path: Path, words: t.Sequence[str] | t.Mapping[str, str], known: t.Sequence[str]
) -> None:
    for key, word in words.items() if isinstance(words, t.Mapping) else enumerate(words):
        for name in _PLACEHOLDER.findall(word or ""):
            if name in known:
                continue
            if name in _OF_MODELS:
                reader.wrong(path + (key,), f"{{{name}}} can only be used in model_command and each_model")
            elif name in _OF_HIVES:
                reader.wrong(path + (key,), f"{{{name}}} can only be used by a hive or a worker")
            else:
                reader.wrong(path + (key,), f"unknown placeholder {{{name}}}; {suggestion(name, known)}")
