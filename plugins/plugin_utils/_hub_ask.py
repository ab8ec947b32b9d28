# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks Hugging Face what a branch of a repository is at the moment, from the controller, without its client."""

from __future__ import annotations

import concurrent.futures
import http.client
import re
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import read_info
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, without_secrets
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin, pin_of

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Model

ENDPOINT = "https://huggingface.co"
TIMEOUT = 15.0  # seconds for one answer
AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024  # bytes of an answer
_TRUE = {"1", "on", "yes", "true"}  # as the hub's client reads its variables


class Unknown(Exception):
    """The hub does not tell; the message says why."""


def ask(models: t.Sequence[Model], token: str, environment: t.Mapping[str, str]) -> dict[str, Pin | Unknown]:
    """What each model is, or why that is not known, by name.

    token: empty for none. environment: its HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN count, and proxies as always.
    Raises SourceError when the hub says that a model is not what is declared.
    """
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda model: _ask(model, token or environment.get("HF_TOKEN", ""), environment), models)
        return {model.name: answer for model, answer in zip(models, answers, strict=True)}


def _ask(model: Model, token: str, environment: t.Mapping[str, str]) -> Pin | Unknown:
    if environment.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        return Unknown("HF_HUB_OFFLINE is set")
    endpoint = (environment.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    shown = without_secrets(endpoint)
    if not re.match(r"https?://", endpoint):
        return Unknown(f"HF_ENDPOINT is {shown!r}, expected an http or https URL")
    repository, revision = urllib.parse.quote(model.name, safe="/"), urllib.parse.quote(model.revision, safe="")
    request = urllib.request.Request(f"{endpoint}/api/models/{repository}/revision/{revision}?blobs=true")
    if token:  # to nobody to whom the hub may redirect
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read(_LARGEST).decode()
    except urllib.error.HTTPError as error:
        return Unknown(_refused(error, model, shown, bool(token)))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return Unknown(f"{shown} cannot be reached from the controller: {without_secrets(str(reason))}")
    try:
        commit, files = read_info(text)
    except SourceError as error:
        return Unknown(f"{shown}: {error}")
    return pin_of(model, commit, files)


def _refused(error: urllib.error.HTTPError, model: Model, shown: str, token: bool) -> str:
    said = error.headers.get("X-Error-Message", "") if error.headers else ""
    with error:
        if error.code in (401, 403):
            known = "with this token" if token else "without a token (hf_token in rbee.conf)"
            return f"{shown} does not show {model.name} to the controller {known}"
        if error.code == 404 and error.headers.get("X-Error-Code") == "RevisionNotFound":
            return f"{model.name} has no revision {model.revision}; correct 'revision' in models.conf"
        return f"{shown} answers {error.code} {said or error.reason}"
