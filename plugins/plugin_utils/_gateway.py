# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen: a fleet as the files of an HAProxy instance.

Pure: the same fleet gives the same bytes. The configuration is for HAProxy 2.6 and newer and is started with
``haproxy -W -db -f <folder>/haproxy.cfg``. It reads its other files from the folder it lies in (``default-path``), so
that it holds no path of a host and a new generation can be checked before it is switched to.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import GATEWAY_FILE, WORKERS_FILE, File
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_config import config
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_errors import unknown_model
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import Gateway, GatewayHive, model_backend
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_load import load
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import key, keys, pattern
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import PAGE


def render(gateway: Gateway) -> tuple[File, ...]:
    """The files of the queen's generation; ``haproxy.cfg`` is the one to start HAProxy with."""
    models = gateway.models
    answers = [
        File("models.json", _json({"object": "list", "data": [_card(model) for model in models]})),
        File("hives.json", _json({"object": "list", "data": [_hive(gateway, hive) for hive in gateway.hives]})),
        File("info.json", _json(_info(gateway))),
        File("load.json", load(gateway)),
        File("unknown-model.json", unknown_model(models)),
    ]
    if gateway.page:
        answers.append(File(PAGE, gateway.page))
    files = [
        File(GATEWAY_FILE, config(gateway, max(len(answer.content.encode()) for answer in answers))),
        File("models.map", "".join(f"{spelt} {model_backend(model)}\n" for model in models for spelt in keys(model))),
        File("models.regex.map", "".join(f"{pattern(model)} {model_backend(model)}\n" for model in models)),
        File("models.card.map", "".join(f"{key(model)} {_json(_card(model))}\n" for model in models)),
        File(WORKERS_FILE, "".join(f"{worker.path} {worker.backend}\n" for worker in gateway.workers)),
        File("hives.map", "".join(f"{hive.alias} {hive.backend}\n" for hive in gateway.hives)),
        *answers,
    ]
    if gateway.api_key_secret:
        files.append(File("keys", secret=gateway.api_key_secret))
    return tuple(files)


def _json(value: t.Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _card(model: str) -> dict[str, t.Any]:
    """A model in OpenAI's shape; when it was made is not known here."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "rbee"}


def _hive(gateway: Gateway, hive: GatewayHive) -> dict[str, t.Any]:
    workers = [
        {
            "name": worker.name,
            "type": worker.type,
            "address": worker.address,
            "port": worker.port,
            "models": list(worker.models),
            "path": f"/workers/{worker.path}/",
        }
        for worker in gateway.workers
        if worker.hive == hive.alias
    ]
    return {
        "alias": hive.alias,
        "address": hive.address,
        "port": hive.port,
        "path": hive.path,
        "workers": workers,
    }


def _info(gateway: Gateway) -> dict[str, t.Any]:
    return {
        "service": "rbee-queen",
        "fleet": gateway.fleet,
        "hives": len(gateway.hives),
        "workers": len(gateway.workers),
        "models": list(gateway.models),
        "max_request_bytes": gateway.max_request_bytes,
    }
