# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a model is and what its format is, before anything is sent to a host. Asks where it comes from."""

from __future__ import annotations

import os
import typing as t
import urllib.error

from ansible.module_utils.urls import open_url
from ansible_collections.rbee.fleet.plugins.module_utils import _hub_info
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, human
from ansible_collections.rbee.fleet.plugins.module_utils._spec import ANY_PLATFORM
from ansible_collections.rbee.fleet.plugins.plugin_utils import _fleet, _keys
from ansible_collections.rbee.fleet.plugins.plugin_utils._fitting import Needed
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_offer import GGUF, SAFETENSORS, Offer, offer_of
from ansible_collections.rbee.fleet.plugins.plugin_utils._model_specs import model_spec
from ansible_collections.rbee.fleet.plugins.plugin_utils._models import fits
from ansible_collections.rbee.fleet.plugins.plugin_utils._secrets import resolve_secret
from ansible_collections.rbee.fleet.plugins.plugin_utils._wanted import models_from

PREFERRED = "q4_k_m"  # of several GGUF files, what llama.cpp's makers recommend between size and quality
SECONDS = 10.0  # for one question


def needed(
    name: str, keys: t.Mapping[str, str] | None, fleet: _fleet.Fleet, folder: str
) -> tuple[dict[str, str], Needed]:
    """What declares the model, and what it needs. keys: what is known of the first, None where it is declared.

    Raises ConfigError, SecretError, SourceError or OSError.
    """
    declares = dict(keys or {})
    model = next((model for model in fleet.models if model.name == name), None)
    model = model or models_from([{"name": name, **declares}], folder, f"model {name}")[0]
    source = model_spec(fleet, model).variants[0].sources[ANY_PLATFORM]
    if model.source == _keys.HUGGINGFACE:
        token = resolve_secret(HUB_TOKEN, fleet.hf_token) if fleet.hf_token else ""
        _commit, files = _hub_info.info(source.repository, source.revision, token, os.environ)
        offer = offer_of(source, files)
        if offer.format == GGUF and not source.name:
            declares["file"] = choice_of(name, offer)
            return declares, Needed(name, offer.choices[declares["file"]], GGUF)
        return declares, Needed(name, offer.bytes, offer.format)
    kind = GGUF if fits(model, GGUF) else SAFETENSORS
    size = os.stat(source.path).st_size if source.path else _announced(source.url)
    return declares, Needed(name, size, kind)


def choice_of(name: str, offer: Offer) -> str:
    """The GGUF file of a repository that names none. Raises SourceError where nothing speaks for one of them."""
    files = list(offer.choices)
    liked = [file for file in files if PREFERRED in file.lower()]
    if len(files) == 1 or len(liked) == 1:
        return (liked or files)[0]
    listed = ", ".join(f"{file} ({human(size)})" for file, size in offer.choices.items())
    raise SourceError(f"{name} has several files; name one with -e file=…: {listed}")


def _announced(url: str) -> int | None:
    """The size that a server names before it sends a file, None where it does not."""
    try:
        with open_url(url, method="HEAD", timeout=SECONDS) as answer:
            length = answer.headers.get("Content-Length") or ""
    except urllib.error.HTTPError as error:
        if error.code in (403, 405, 501):  # of HEAD; a download may work
            return None
        raise SourceError(f"{url} answered {error.code}") from error
    return int(length) if length.isdigit() else None
