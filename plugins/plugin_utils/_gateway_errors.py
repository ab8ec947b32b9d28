# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen's own errors, in OpenAI's shape, as rules and answers of HAProxy. Pure."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import quoted

# Those that HAProxy makes on its own.
GENERATED = {
    400: ("bad_request", "The request is not valid HTTP."),
    408: ("request_timeout", "The request did not arrive in time."),
    500: ("internal_error", "The gateway failed."),
    502: ("bad_gateway", "The worker broke off, or its answer is not valid HTTP."),
    503: ("no_worker_up", "No worker that could answer this is up. Try again later."),
    504: ("gateway_timeout", "The worker did not answer in time."),
}

# What differs where a hive's agent was to answer.
GENERATED_HIVE = {
    502: ("bad_gateway", "The agent of this hive broke off, or its answer is not valid HTTP."),
    503: ("hive_down", "The agent of this hive does not answer. Its workers may still serve."),
    504: ("gateway_timeout", "The agent of this hive did not answer in time."),
}


def error(status: int, code: str, message: str, param: str | None = None) -> str:
    """The body of an error."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    value = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unknown_model(models: t.Sequence[str]) -> str:
    """A log-format template; HAProxy fills in the name that was asked for, its first 200 bytes."""
    message = f"The model 'ASKED' is not served here. Known models: {', '.join(models) or 'none'}"
    template = error(404, "model_not_found", message, "model").replace("%", "%%")
    return template.replace("ASKED", "%[var(txn.model),bytes(0,200),json(utf8s)]", 1)


def perhaps_served(workers: t.Sequence[str]) -> dict[int, tuple[str, str]]:
    """What differs where nobody serves a model but workers that can do so in some builds only."""
    who = " and ".join(workers)
    hint = f"{who} serves it on demand, if the build there can; rbee.fleet.status tells."
    return {503: (GENERATED[503][0], f"No worker that could answer this is up. {hint}")}


def refuse(status: int, code: str, message: str, condition: str, param: str | None = None, header: str = "") -> str:
    """A rule that answers with an error; ``header`` is a name and a value."""
    body = quoted(error(status, code, message, param))
    extra = f" hdr {header}" if header else ""
    return f"http-request return status {status} content-type application/json string {body}{extra} {condition}"


def generated(errors: t.Mapping[int, tuple[str, str]]) -> list[str]:
    """Directives that give HAProxy's own errors a body; errors: code and message by status."""
    lines = []
    for status, (code, message) in errors.items():
        again = " hdr Retry-After 5" if status == 503 else ""
        body = quoted(error(status, code, message))
        lines.append(f"http-error status {status} content-type application/json string {body}{again}")
    return lines
