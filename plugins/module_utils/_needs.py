# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host asks its controller for, and what the controller says of what it has brought. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._digest import digest
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source, SpecError, decode, to_dict

FROM_HOST, FROM_CONTROLLER = "host", "controller"
ARTEFACT, ENVIRONMENT = "file", "python"  # the kinds of needs, with HUGGINGFACE


@dataclasses.dataclass(frozen=True)
class Need:
    """Something that a host lacks and that the controller is to bring.

    source: one file (kind ``file``), the wheels of an environment (``python``) or a model (``huggingface``).
    platform, python, glibc: of the host, for wheels: ``linux-x86_64``, ``3.11.7``, ``2.36``; empty for all else.
    """

    source: Source
    platform: str = ""
    python: str = ""
    glibc: str = ""

    @property
    def id(self) -> str:
        return digest(to_dict(self))


@dataclasses.dataclass(frozen=True)
class Item:
    """One file of what was brought. name: its path in there. size: bytes."""

    name: str
    sha256: str
    size: int


def is_brought(source: Source, fetch: str) -> bool:
    """Whether the controller fetches it for the host. fetch: who does so for all that does not say."""
    return (source.fetch or fetch) == FROM_CONTROLLER


def parts(source: Source) -> t.Iterator[Source]:
    """The sources of the needs that one source leads to, each with nothing but what matters for it."""
    if source.kind in ("archive", "file"):
        for one in (source, *source.also):
            yield artefact(one)
    if source.env and source.env.requirements.strip():
        yield environment(source)
    if source.kind == HUGGINGFACE:
        yield model(source)


def artefact(source: Source) -> Source:
    return Source(
        ARTEFACT, url=source.url, path=source.path, sha256=source.sha256, size=source.size, fetch=source.fetch
    )


def environment(source: Source) -> Source:
    return Source(ENVIRONMENT, env=source.env)


def model(source: Source) -> Source:
    return dataclasses.replace(source, size=0)


def need_from(data: t.Any) -> Need:
    """The inverse of ``to_dict``. Raises SpecError."""
    return t.cast(Need, decode(Need, data, "need"))


def supplies_from(data: t.Mapping[str, t.Any]) -> dict[str, tuple[Item, ...]]:
    """What was brought, by the id of the need. Raises SpecError."""
    supplies = {str(key): decode(tuple[Item, ...], value, f"supplies.{key}") for key, value in data.items()}
    for items in supplies.values():
        for item in items:
            if posixpath.isabs(item.name) or ".." in item.name.split("/"):
                raise SpecError(f"supplies: {item.name!r} would lie outside its folder")
    return supplies
