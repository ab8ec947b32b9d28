# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that the queen answers to people: what goes along with it. Pure.

The page is one file whose only style and script stand between ``<style>``, ``</style>``, ``<script>`` and
``</script>``. The browser is told their digests, https://www.w3.org/TR/CSP3/, and runs nothing else: no data that ends
up in the page by mistake can become code.
"""

from __future__ import annotations

import base64
import hashlib
import re

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import quoted

PAGE = "page.html"  # in the folder of the configuration


def policy(page: str) -> str:
    """The Content-Security-Policy of a page: its own style and script, data of its own origin, nothing else."""
    rules = {
        "default-src": "'none'",
        "style-src": _digests(page, "style"),
        "script-src": _digests(page, "script"),
        "connect-src": "'self'",
        "img-src": "data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{rule} {value}" for rule, value in rules.items())


def headers(page: str) -> str:
    """The header fields of a page, as options of HAProxy's ``http-request return``."""
    fields = {
        "Content-Security-Policy": policy(page),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return "".join(f" hdr {name} {quoted(value)}" for name, value in fields.items())


def _digests(page: str, tag: str) -> str:
    """Sources that allow what stands between the tags, byte for byte."""
    texts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
