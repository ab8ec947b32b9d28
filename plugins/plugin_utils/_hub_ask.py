# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks Hugging Face what a repository is at the moment, from the controller, without its client."""

from __future__ import annotations

import concurrent.futures
import http.client
import re
import typing as t
import urllib.error
import urllib.parse

from ansible.module_utils.urls import open_url
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import read_info
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, without_secrets
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin, pin_of

if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile
    from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Model

ENDPOINT = "https://huggingface.co"
TIMEOUT = 15.0  # seconds for one answer
AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024  # bytes of an answer
_TRUE = {"1", "on", "yes", "true"}  # as the hub's client reads its variables


class Unknown(SourceError):
    """The hub does not tell; the message says why."""


def ask(models: t.Sequence[Model], token: str, environment: t.Mapping[str, str]) -> dict[str, Pin | Unknown]:
    """What each model is, or why that is not known, by name.

    token, environment: as of :func:`info`. Raises SourceError when the hub says that a model is not what is declared.
    """
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda model: _ask(model, token, environment), models)
        return {model.name: answer for model, answer in zip(models, answers, strict=True)}


def _ask(model: Model, token: str, environment: t.Mapping[str, str]) -> Pin | Unknown:
    try:
        commit, files = info(model.name, model.revision, token, environment)
    except Unknown as error:
        return error
    return pin_of(model, commit, files)


def info(name: str, revision: str, token: str, environment: t.Mapping[str, str]) -> tuple[str, tuple[RemoteFile, ...]]:
    """The commit that a revision of a repository is, and all files of it.

    token: empty for none. environment: its HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN count, and proxies as always.
    Raises Unknown.
    """
    token = token or environment.get("HF_TOKEN", "")
    if environment.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise Unknown("HF_HUB_OFFLINE is set")
    endpoint = (environment.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    shown = without_secrets(endpoint)
    if not re.match(r"https?://", endpoint):
        raise Unknown(f"HF_ENDPOINT is {shown!r}, expected an http or https URL")
    place = f"{urllib.parse.quote(name, safe='/')}/revision/{urllib.parse.quote(revision, safe='')}"
    asked = f"{endpoint}/api/models/{place}?blobs=true"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # The token goes to nobody to whom the hub may redirect.
        with open_url(asked, headers=headers, unredirected_headers=["Authorization"], timeout=TIMEOUT) as answer:
            text = answer.read(_LARGEST).decode()
    except urllib.error.HTTPError as error:
        raise Unknown(_refused(error, name, revision, shown, bool(token))) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unknown(f"{shown} cannot be reached from the controller: {without_secrets(str(reason))}") from error
    try:
        return read_info(text)
    except SourceError as error:
        raise Unknown(f"{shown}: {error}") from None


def _refused(error: urllib.error.HTTPError, name: str, revision: str, shown: str, token: bool) -> str:
    said = error.headers.get("X-Error-Message", "") if error.headers else ""
    with error:
        if error.code in (401, 403):
            known = "with this token" if token else "without a token (hf_token in rbee.conf)"
            return f"{shown} does not show {name} to the controller {known}"
        if error.code == 404 and error.headers.get("X-Error-Code") == "RevisionNotFound":
            return f"{name} has no revision {revision}; correct 'revision' in models.conf"
        return f"{shown} answers {error.code} {said or error.reason}"
