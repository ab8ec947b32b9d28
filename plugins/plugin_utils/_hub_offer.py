# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model repository has to offer, before anything of it is downloaded. Pure.

``_hub_info`` asks for the files; ``_hub_rules`` decides which of them a source brings.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile, choose_files
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source

GGUF, SAFETENSORS = "gguf", "safetensors"

_LATER_PART = re.compile(r".+-(?!00001-)\d{5}-of-\d{5}\.gguf")
_BESIDE = ("mmproj", "imatrix")  # GGUF files that are no model of their own


@dataclasses.dataclass(frozen=True)
class Offer:
    """What the download of a source would bring.

    bytes, files: of the whole download. format: what engines call it (``model_format`` of a catalog entry), ``gguf`` or
    ``safetensors``, empty for anything else. choices: of a source that names no file, the bytes of every GGUF model in
    it by the ``file`` that has to be named to get that one alone, smallest first.
    """

    bytes: int
    files: int
    format: str
    choices: t.Mapping[str, int] = dataclasses.field(default_factory=dict)


def offer_of(source: Source, files: t.Sequence[RemoteFile]) -> Offer:
    """source: of kind ``huggingface``. files: all of the repository. Raises SourceError, as the download would."""
    chosen = choose_files(source, files)
    return Offer(
        bytes=sum(file.size for file in chosen),
        files=len(chosen),
        format=format_of([file.path for file in chosen]),
        choices={} if source.name else _choices(source, files),
    )


def format_of(paths: t.Iterable[str]) -> str:
    """The format of a model of these files; of a repository that has both, safetensors, which need no choice."""
    endings = {posixpath.splitext(path)[1].lower() for path in paths}
    return next((known for known in (SAFETENSORS, GGUF) if f".{known}" in endings), "")


def _choices(source: Source, files: t.Sequence[RemoteFile]) -> dict[str, int]:
    found = {}
    for file in files:
        name = posixpath.basename(file.path).lower()
        if name.endswith(".gguf") and not name.startswith(_BESIDE) and not _LATER_PART.fullmatch(name):
            parts = choose_files(dataclasses.replace(source, name=file.path, sha256=""), files)
            found[file.path] = sum(part.size for part in parts)
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))
