# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``haproxy.cfg`` of the queen. Pure."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_errors import (
    GENERATED,
    GENERATED_HIVE,
    generated,
    perhaps_served,
    refuse,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import (
    MIB,
    Gateway,
    GatewayHive,
    GatewayWorker,
    model_backend,
)
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_load import TABLE, table
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import endpoint, quoted, slug
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import headers

# With larger bodies than this the default memory holds too few requests to be of use.
LARGEST_REQUEST_BYTES = 64 * MIB

_THREADS = 4
_PAGE = 4096
_HEADER_BYTES = 64 << 10  # room for the headers of one request beside its body
_REWRITE_BYTES = 8 << 10  # room that HAProxy keeps free for headers that rules add
# Measured at worst, per connection: an answer that the client does not fetch fills one buffer at the worker's side, one
# at the client's and one between; a body fills two. Per thread: scratch buffers of converters and answers.
_BUFFERS_PER_CONNECTION = 3
_BUFFERS_PER_THREAD = 3
_FEWEST_CONNECTIONS, _MOST_CONNECTIONS = 8, 4096


def buffer_bytes(body_bytes: int) -> int:
    """``tune.bufsize``: a whole body with its headers and HAProxy's own reserve, in whole pages."""
    return -(-(body_bytes + _HEADER_BYTES + _REWRITE_BYTES) // _PAGE) * _PAGE


def max_connections(body_bytes: int, memory_bytes: int) -> int:
    """``maxconn``: as many connections as fit into the memory if every one of them fills all the buffers it can get."""
    buffers = memory_bytes // buffer_bytes(body_bytes) - _THREADS * _BUFFERS_PER_THREAD
    return min(max(buffers // _BUFFERS_PER_CONNECTION, _FEWEST_CONNECTIONS), _MOST_CONNECTIONS)


def _section(head: str, lines: t.Iterable[str]) -> str:
    return "\n".join([head, *(f"    {line}" if line else "" for line in lines)]) + "\n"


def config(gateway: Gateway, largest_answer: int) -> str:
    """largest_answer: bytes of the largest file that is answered, which a buffer has to hold as well."""
    sections = [
        f"# The queen of the fleet {json.dumps(gateway.fleet)}. Rendered: changes made here are lost.\n",
        _global(gateway, max(gateway.max_request_bytes, largest_answer)),
        _defaults(),
        _frontend(gateway),
        *(_model(gateway, model) for model in gateway.models),
        *(_worker(worker) for worker in gateway.workers),
        *(_hive(hive) for hive in gateway.hives),
        _section(f"backend {TABLE}", [table(gateway)]),
    ]
    return "\n".join(sections)


def _global(gateway: Gateway, body_bytes: int) -> str:
    lines = [
        "default-path config",
        "log stdout format raw local0 info",
        f"nbthread {_THREADS}",
        "# A request is read whole to find its model, so a buffer holds one, and maxconn keeps all buffers together",
        f"# within {gateway.memory_bytes // MIB} MiB.",
        f"tune.bufsize {buffer_bytes(body_bytes)}",
        f"tune.maxrewrite {_REWRITE_BYTES}",
        f"maxconn {max_connections(body_bytes, gateway.memory_bytes)}",
        "# After a reload the old process lives on until its streams have ended, but not for ever.",
        "hard-stop-after 2h",
    ]
    return _section("global", lines)


def _defaults() -> str:
    lines = [
        "mode http",
        "log global",
        "# Neither queries nor headers nor bodies are logged: they may hold secrets.",
        'log-format "%ci %HM %HP status=%ST bytes=%B backend=%b server=%s queue_ms=%Tw first_ms=%Tr ms=%Ta end=%ts"',
        "option dontlognull",
        "option http-no-delay",
        "# A client that hangs up leaves the queue, and its worker stops.",
        "option abortonclose",
        "# Each request gets a connection of its own: a kept one may be closed by the worker just when a request goes",
        "# out on it, and a request that a worker has seen is never sent again. Retries after an answer of 503 would",
        "# copy a whole buffer for every request.",
        "option http-server-close",
        "# A refused connection is tried again every second, at another worker where there is one, for longer than it",
        "# takes to notice that a worker is down: 3 s and twice 1 s.",
        "retry-on conn-failure",
        "retries 6",
        "option redispatch 1",
        "# Silence is normal while a long prompt is read, so timeouts are long, and probes notice a peer that is gone.",
        "option clitcpka",
        "clitcpka-idle 60s",
        "clitcpka-intvl 15s",
        "clitcpka-cnt 4",
        "option srvtcpka",
        "srvtcpka-idle 60s",
        "srvtcpka-intvl 15s",
        "srvtcpka-cnt 4",
        "timeout client 2h",
        "timeout server 2h",
        "timeout tunnel 24h",
        "timeout queue 10m",
        "timeout client-fin 30s",
        "timeout server-fin 30s",
        "timeout http-request 10s",
        "timeout http-keep-alive 10s",
        "timeout connect 5s",
        "timeout check 5s",
        "# A name that does not resolve takes its worker out, not the gateway.",
        "default-server init-addr last,libc,none maxconn 256 inter 3s fastinter 1s downinter 1s fall 3 rise 1",
    ]
    lines += generated(GENERATED)
    return _section("defaults", lines)


def _frontend(gateway: Gateway) -> str:
    limit = gateway.max_request_bytes
    static = "http-request return status 200 content-type application/json"
    too_large = refuse(
        413, "request_too_large", f"The body is larger than {limit} bytes.", f"if is_api {{ req.body_size gt {limit} }}"
    )
    unknown_model = "http-request return status 404 content-type application/json lf-file unknown-model.json"
    workers = ", ".join(worker.path for worker in gateway.workers) or "none"
    hives = ", ".join(hive.alias for hive in gateway.hives) or "none"
    lines = [
        "# HTTP/1.1 only: an HTTP/2 connection could hold many requests, and maxconn counts connections.",
        f"bind {endpoint(gateway.bind, gateway.port)} proto h1",
        "acl is_read method GET HEAD",
        "acl is_health path /health",
        "acl is_static path / /health /metrics /v1/info /v1/models /v1/hives /v1/load",
        "acl is_static path_beg /v1/models/",
        "acl is_worker path_beg /workers/",
        "acl is_hive path_beg /hives/",
        "acl is_api path_beg /v1/",
        "acl is_routed var(txn.backend) -m found",
        "",
        "http-request set-log-level silent if is_health",
        f"{static} string {quoted(json.dumps({'status': 'ok'}))} if is_health is_read",
    ]
    if gateway.page:
        lines += [
            "# The page holds no data, and asks for the key itself.",
            f"http-request return status 200 content-type 'text/html; charset=utf-8' file page.html"
            f"{headers(gateway.page)} if {{ path / }} is_read",
        ]
    if gateway.api_key_secret:
        needs = "A valid API key is needed: Authorization: Bearer <key>."
        lines += [
            refuse(
                401,
                "invalid_api_key",
                needs,
                "unless { http_auth_bearer -m str -f keys }",
                header="WWW-Authenticate Bearer",
            ),
            "http-request del-header Authorization",
        ]
    lines += [
        "",
        "# Answered here.",
        refuse(405, "method_not_allowed", "Only GET is possible.", "if is_static !is_read", header="Allow GET,HEAD"),
        f"{static} file info.json if {{ path /v1/info }}",
        f"{static} file hives.json if {{ path /v1/hives }}",
        f"{static} file models.json if {{ path /v1/models }}",
        f"{static} lf-file load.json if {{ path /v1/load }}",
        refuse(404, "not_found", "This queen has no page.", "if { path / }"),
        "http-request use-service prometheus-exporter if { path /metrics }",
        "http-request set-var(txn.model) path,regsub(^/v1/models/,),url_dec if is_static",
        "http-request set-var(txn.card) var(txn.model),url_enc,map_str(models.card.map) if is_static",
        f"{static} lf-string %[var(txn.card)] if is_static {{ var(txn.card) -m found }}",
        f"{unknown_model} if is_static",
        "",
        "# Any worker by name; its bodies are passed on as they come.",
        "http-request set-var(txn.backend) path,field(3,/,2),map_str(workers.map) if is_worker",
        refuse(404, "worker_not_found", f"No such worker. Known workers: {workers}", "if is_worker !is_routed"),
        "",
        "# The agent of any hive, which only reports.",
        "http-request set-var(txn.backend) path,field(3,/),map_str(hives.map) if is_hive",
        refuse(404, "hive_not_found", f"No such hive. Known hives: {hives}", "if is_hive !is_routed"),
        refuse(405, "method_not_allowed", "Only GET is possible.", "if is_hive !is_read", header="Allow GET,HEAD"),
        "",
        refuse(404, "not_found", "No such path.", "if !is_worker !is_hive !is_api"),
        "",
        "# By the model in the body.",
        refuse(405, "method_not_allowed", "Only POST is possible.", "if is_api !{ method POST }", header="Allow POST"),
        too_large,
        "http-request wait-for-body time 2m if is_api",
        too_large,
        "http-request set-var(txn.model) req.body,json_query('$.model') if is_api",
        "http-request set-var(txn.backend) var(txn.model),url_enc,map_str(models.map) if is_api",
        f"{unknown_model} if is_api !is_routed {{ var(txn.model) -m found }}",
        "http-request set-var(txn.backend) req.body,map_reg(models.regex.map) if is_api !is_routed",
        refuse(
            400,
            "model_unreadable",
            "The body must be JSON with a string field 'model'.",
            "if is_api !is_routed",
            param="model",
        ),
        "",
        f"http-request track-sc0 var(txn.backend) table {TABLE} if !is_hive",
        "use_backend %[var(txn.backend)]",
    ]
    return _section("frontend queen", lines)


def _model(gateway: Gateway, model: str) -> str:
    lines = ["balance leastconn"]
    serving = [worker for worker in gateway.workers if model in worker.models]
    for worker in serving:
        name = f"{slug(worker.hive)}:{slug(worker.name)}"
        lines.append(f"server {name} {endpoint(worker.address, worker.port)} track {worker.backend}/worker")
    if all(worker.perhaps for worker in serving):
        lines += generated(perhaps_served([worker.path for worker in serving]))
    return _section(f"backend {model_backend(model)}", lines)


def _worker(worker: GatewayWorker) -> str:
    lines = ["http-request set-path %[path,regsub(^/workers/[^/]+/[^/]+/?,/)]"]
    if worker.health_path:
        lines += [
            "option httpchk",
            f"http-check send meth GET uri {quoted(worker.health_path)}",
            "http-check expect status 200",
        ]
    server = f"server worker {endpoint(worker.address, worker.port)} check"
    if worker.agent_port:
        lines.append("# The hive's agent answers ready or drain; while it is down, the worker stays as it was.")
        server += f' agent-check agent-port {worker.agent_port} agent-inter 500ms agent-send "{worker.name}\\n"'
    lines.append(server)
    return _section(f"backend {worker.backend}", lines)


def _hive(hive: GatewayHive) -> str:
    lines = [
        "http-request set-path %[path,regsub(^/hives/[^/]+/?,/)]",
        "# The agent answers within 8 seconds, or not at all; what it answers is soon old.",
        "retries 1",
        "timeout server 10s",
        "timeout queue 5s",
        "option httpchk",
        "http-check send meth GET uri /health",
        "http-check expect status 200",
        f"server agent {endpoint(hive.address, hive.port)} check maxconn 16",
        *generated(GENERATED_HIVE),
    ]
    return _section(f"backend {hive.backend}", lines)
