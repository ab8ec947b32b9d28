# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks Hugging Face what a repository is at the moment, without its client."""

from __future__ import annotations

import concurrent.futures
import http.client
import re
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.rbee.fleet.plugins.module_utils._fetch_rules import split_credentials
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import RemoteFile, read_info
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, without_secrets

ENDPOINT = "https://huggingface.co"
TIMEOUT = 15.0  # seconds for one answer
AT_ONCE = 8
_LARGEST = 64 * 1024 * 1024  # bytes of an answer
_TRUE = {"1", "on", "yes", "true"}  # as the hub's client reads its variables

Commit = tuple[str, tuple[RemoteFile, ...]]
"""A commit, and all files of it."""


class Unknown(SourceError):
    """The hub does not tell; the message says why."""


def infos(
    wanted: t.Mapping[str, str], token: str, environment: t.Mapping[str, str]
) -> dict[str, t.Union[Commit, Unknown]]:
    """What each repository is, or why that is not known, by name. wanted: revision by name. The rest as of info()."""

    def ask(name: str) -> t.Union[Commit, Unknown]:
        try:
            return info(name, wanted[name], token, environment)
        except Unknown as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(ask, wanted)))


def info(name: str, revision: str, token: str, environment: t.Mapping[str, str]) -> Commit:
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
    try:
        address, credentials = split_credentials(asked)
        request = urllib.request.Request(address)
        if token or credentials:  # they go to nobody to whom the hub may redirect
            request.add_unredirected_header("Authorization", f"Bearer {token}" if token else credentials)
        with urllib.request.build_opener().open(request, timeout=TIMEOUT) as answer:
            text = answer.read(_LARGEST).decode()
    except urllib.error.HTTPError as error:
        raise Unknown(_refused(error, name, revision, shown, bool(token))) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unknown(f"{shown} cannot be reached: {without_secrets(str(reason))}") from error
    try:
        return read_info(text)
    except SourceError as error:
        raise Unknown(f"{shown}: {error}") from None


def _refused(error: urllib.error.HTTPError, name: str, revision: str, shown: str, token: bool) -> str:
    said = error.headers.get("X-Error-Message", "") if error.headers else ""
    with error:
        if error.code in (401, 403):
            known = "with this token" if token else "without a token (hf_token in rbee.conf)"
            return f"{shown} does not show {name} {known}"
        if error.code == 404 and error.headers.get("X-Error-Code") == "RevisionNotFound":
            return f"{name} has no revision {revision}; correct 'revision' in models.conf"
        return f"{shown} answers {error.code} {said or error.reason}"
