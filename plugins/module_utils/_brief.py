# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long texts of a specification, and the digests that stand for them. Pure.

What a host needs to see that nothing changed is the digest: of the lock of a Python environment, and of a file that is
written as it is. So a run sends a specification in brief first, and in full only where the host has something to do.
What is named after its content counts the digest of a long text as the text, and has the same name either way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import File, Source, Spec

LONG = 1024  # characters: a shorter text travels as it is

_Item = t.TypeVar("_Item")


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def without(item: _Item, key: str) -> _Item:
    """A dataclass where a long text in *key* is replaced by its digest in ``<key>_sha256``; any other as it is."""
    text = getattr(item, key)
    if len(text) <= LONG:
        return item
    return t.cast(_Item, dataclasses.replace(t.cast(t.Any, item), **{key: "", f"{key}_sha256": sha256_of(text)}))


def brief(spec: Spec) -> Spec:
    """A specification without its long texts, but for those in which the host fills something in."""
    return dataclasses.replace(
        spec,
        files=tuple(_file(file) for file in spec.files),
        variants=tuple(
            dataclasses.replace(
                variant, sources={platform: brief_source(source) for platform, source in variant.sources.items()}
            )
            for variant in spec.variants
        ),
    )


def brief_source(source: Source) -> Source:
    env = source.env
    return dataclasses.replace(source, env=without(env, "requirements")) if env else source


def is_brief(spec: Spec) -> bool:
    """Whether a long text of a specification is missing."""
    envs = (source.env for variant in spec.variants for source in variant.sources.values())
    return any(file.content_sha256 for file in spec.files) or any(env and env.requirements_sha256 for env in envs)


def _file(file: File) -> File:
    return file if file.template or file.each_model else without(file, "content")
