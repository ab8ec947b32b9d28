# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the queen tells what is going on: a template that HAProxy fills in when it is asked. Pure.

HAProxy's Prometheus exporter tells the same and much more, but all of it: with 300 hives a few megabytes an answer.
Numbers come from sample fetches (``nbsrv``, ``be_conn``, ``queue``, ``srv_is_up``) and from a stick table that counts
requests by backend; both are in HAProxy's configuration manual.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayWorker, model_backend

TABLE = "requests"
_KEY_BYTES = 255


def table(gateway: Gateway) -> str:
    """The stick table of requests: one entry a backend, none of which is ever dropped."""
    size = max(len(gateway.models) + len(gateway.workers), 1)
    return f"stick-table type string len {_KEY_BYTES} size {size} store http_req_cnt"


def load(gateway: Gateway) -> str:
    """The answer to ``/v1/load`` as a log-format string."""
    models = [_model(gateway, model) for model in gateway.models]
    workers = [_worker(worker) for worker in gateway.workers]
    return f'{{"object":"load","models":[{",".join(models)}],"workers":[{",".join(workers)}]}}'


def _model(gateway: Gateway, model: str) -> str:
    backend = model_backend(model)
    return _object(
        {"id": model, "workers": sum(model in worker.models for worker in gateway.workers)},
        {
            "up": f"nbsrv({backend})",
            "requests": _requests(backend),
            "active": f"be_conn({backend})",
            "waiting": f"queue({backend})",
        },
    )


def _worker(worker: GatewayWorker) -> str:
    return _object(
        {"hive": worker.hive, "name": worker.name},
        {"up": f"srv_is_up({worker.backend}/worker),iif(true,false)", "requests": _requests(worker.backend)},
    )


def _requests(backend: str) -> str:
    return f"str({backend}),table_http_req_cnt({TABLE})"


def _object(known: t.Mapping[str, t.Any], asked: t.Mapping[str, str]) -> str:
    """known: values as they are. asked: expressions, each of which gives one JSON value."""
    first = json.dumps(known, ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
    rest = "".join(f',"{name}":%[{expression}]' for name, expression in asked.items())
    return f"{first[:-1]}{rest}}}"
