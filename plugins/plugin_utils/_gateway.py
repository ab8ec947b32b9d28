# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen: a fleet as the files of an HAProxy instance.

Pure: the same fleet gives the same bytes. The configuration is for HAProxy 2.6 and newer and is started with
``haproxy -W -db -f <folder>/haproxy.cfg``. It reads its other files from the folder it lies in (``default-path``), so
that it holds no path of a host and a new generation can be checked before it is switched to.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import File
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_names import (
    endpoint,
    key,
    keys,
    pattern,
    quoted,
    slug,
)

MIB = 1 << 20
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


@dataclasses.dataclass(frozen=True)
class GatewayHive:
    """A hive as clients see it: its name and where its agent listens."""

    alias: str
    address: str
    port: int


@dataclasses.dataclass(frozen=True)
class GatewayWorker:
    """A worker that the queen can reach.

    name: unique on its hive; like the hive's it stands in URL paths, so it has only letters that are not escaped there.
    models: names that clients may ask for; none for a worker that is reached by its own name only.
    health_path: answers 200 when the worker is ready; empty means that an accepted connection is enough.
    agent_port: where the hive's agent tells, at the same address, whether the worker is to get requests; 0 for nowhere.
    """

    hive: str
    name: str
    type: str
    address: str
    port: int
    models: tuple[str, ...] = ()
    health_path: str = ""
    agent_port: int = 0

    @property
    def path(self) -> str:
        """``<hive>/<name>``, as it stands in URLs."""
        return f"{self.hive}/{self.name}"

    @property
    def backend(self) -> str:
        """Name of the HAProxy backend that reaches this worker alone, as logs and metrics show it."""
        return f"worker:{slug(self.hive)}:{slug(self.name)}"


@dataclasses.dataclass(frozen=True)
class Gateway:
    """What the queen needs to know of a fleet.

    api_key_secret: name of the secret with the accepted keys, one a line; empty means that no key is asked for.
    max_request_bytes: largest body that is read to find its model.
    memory_bytes: what HAProxy may hold in buffers; bounds the number of connections.
    """

    fleet: str
    bind: str = "127.0.0.1"
    port: int = 8500
    api_key_secret: str = ""
    max_request_bytes: int = 8 * MIB
    memory_bytes: int = 4096 * MIB
    hives: tuple[GatewayHive, ...] = ()
    workers: tuple[GatewayWorker, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that a worker serves, sorted."""
        return tuple(sorted({model for worker in self.workers for model in worker.models}))


def render(gateway: Gateway) -> tuple[File, ...]:
    """The files of the queen's generation; ``haproxy.cfg`` is the one to start HAProxy with."""
    models = gateway.models
    files = [
        File("haproxy.cfg", _config(gateway)),
        File("models.map", "".join(f"{spelt} {model_backend(model)}\n" for model in models for spelt in keys(model))),
        File("models.regex.map", "".join(f"{pattern(model)} {model_backend(model)}\n" for model in models)),
        File("models.card.map", "".join(f"{key(model)} {_json(_card(model))}\n" for model in models)),
        File("workers.map", "".join(f"{worker.path} {worker.backend}\n" for worker in gateway.workers)),
        File("models.json", _json({"object": "list", "data": [_card(model) for model in models]})),
        File("hives.json", _json({"object": "list", "data": [_hive(gateway, hive) for hive in gateway.hives]})),
        File("info.json", _json(_info(gateway))),
        File("unknown-model.json", _unknown_model(models)),
    ]
    if gateway.api_key_secret:
        files.append(File("keys", secret=gateway.api_key_secret))
    return tuple(files)


def model_backend(model: str) -> str:
    """Name of the HAProxy backend that serves a model, as logs and metrics show it."""
    return f"model:{slug(model)}"


def buffer_bytes(max_request_bytes: int) -> int:
    """``tune.bufsize``: a whole request with its headers and HAProxy's own reserve, in whole pages."""
    return -(-(max_request_bytes + _HEADER_BYTES + _REWRITE_BYTES) // _PAGE) * _PAGE


def max_connections(max_request_bytes: int, memory_bytes: int) -> int:
    """``maxconn``: as many connections as fit into the memory if every one of them fills all the buffers it can get."""
    buffers = memory_bytes // buffer_bytes(max_request_bytes) - _THREADS * _BUFFERS_PER_THREAD
    return min(max(buffers // _BUFFERS_PER_CONNECTION, _FEWEST_CONNECTIONS), _MOST_CONNECTIONS)


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
    return {"alias": hive.alias, "address": hive.address, "port": hive.port, "workers": workers}


def _info(gateway: Gateway) -> dict[str, t.Any]:
    return {
        "service": "rbee-queen",
        "fleet": gateway.fleet,
        "hives": len(gateway.hives),
        "workers": len(gateway.workers),
        "models": list(gateway.models),
        "max_request_bytes": gateway.max_request_bytes,
    }


def _error(status: int, code: str, message: str, param: str | None = None) -> str:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return _json({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _unknown_model(models: t.Sequence[str]) -> str:
    """A log-format template; HAProxy fills in the name that was asked for, its first 200 bytes."""
    message = f"The model 'ASKED' is not served here. Known models: {', '.join(models) or 'none'}"
    template = _error(404, "model_not_found", message, "model").replace("%", "%%")
    return template.replace("ASKED", "%[var(txn.model),bytes(0,200),json(utf8s)]", 1)


def _refuse(status: int, code: str, message: str, condition: str, param: str | None = None, header: str = "") -> str:
    """A rule that answers with an error; ``header`` is a name and a value."""
    body = quoted(_error(status, code, message, param))
    extra = f" hdr {header}" if header else ""
    return f"http-request return status {status} content-type application/json string {body}{extra} {condition}"


def _section(head: str, lines: t.Iterable[str]) -> str:
    return "\n".join([head, *(f"    {line}" if line else "" for line in lines)]) + "\n"


def _config(gateway: Gateway) -> str:
    sections = [
        f"# The queen of the fleet {json.dumps(gateway.fleet)}. Rendered: changes made here are lost.\n",
        _global(gateway),
        _defaults(),
        _frontend(gateway),
        *(_model(gateway, model) for model in gateway.models),
        *(_worker(worker) for worker in gateway.workers),
    ]
    return "\n".join(sections)


def _global(gateway: Gateway) -> str:
    lines = [
        "default-path config",
        "log stdout format raw local0 info",
        f"nbthread {_THREADS}",
        "# A request is read whole to find its model, so a buffer holds one, and maxconn keeps all buffers together",
        f"# within {gateway.memory_bytes // MIB} MiB.",
        f"tune.bufsize {buffer_bytes(gateway.max_request_bytes)}",
        f"tune.maxrewrite {_REWRITE_BYTES}",
        f"maxconn {max_connections(gateway.max_request_bytes, gateway.memory_bytes)}",
        "# After a reload the old process lives on until its streams have ended, but not for ever.",
        "hard-stop-after 2h",
    ]
    return _section("global", lines)


# The answers of HAProxy itself.
_GENERATED = {
    400: ("bad_request", "The request is not valid HTTP."),
    408: ("request_timeout", "The request did not arrive in time."),
    500: ("internal_error", "The gateway failed."),
    502: ("bad_gateway", "The worker broke off, or its answer is not valid HTTP."),
    503: ("no_worker_up", "No worker that could answer this is up. Try again later."),
    504: ("gateway_timeout", "The worker did not answer in time."),
}


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
    for status, (code, message) in _GENERATED.items():
        body = quoted(_error(status, code, message))
        again = " hdr Retry-After 5" if status == 503 else ""
        lines.append(f"http-error status {status} content-type application/json string {body}{again}")
    return _section("defaults", lines)


def _frontend(gateway: Gateway) -> str:
    limit = gateway.max_request_bytes
    static = "http-request return status 200 content-type application/json"
    too_large = _refuse(
        413, "request_too_large", f"The body is larger than {limit} bytes.", f"if is_api {{ req.body_size gt {limit} }}"
    )
    unknown_model = "http-request return status 404 content-type application/json lf-file unknown-model.json"
    workers = ", ".join(worker.path for worker in gateway.workers) or "none"
    lines = [
        "# HTTP/1.1 only: an HTTP/2 connection could hold many requests, and maxconn counts connections.",
        f"bind {endpoint(gateway.bind, gateway.port)} proto h1",
        "acl is_read method GET HEAD",
        "acl is_health path /health",
        "acl is_static path /health /metrics /v1/info /v1/models /v1/hives",
        "acl is_static path_beg /v1/models/",
        "acl is_worker path_beg /workers/",
        "acl is_api path_beg /v1/",
        "acl is_routed var(txn.backend) -m found",
        "",
        "http-request set-log-level silent if is_health",
        f"{static} string {quoted(_json({'status': 'ok'}))} if is_health is_read",
    ]
    if gateway.api_key_secret:
        needs = "A valid API key is needed: Authorization: Bearer <key>."
        lines += [
            _refuse(
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
        _refuse(405, "method_not_allowed", "Only GET is possible.", "if is_static !is_read", header="Allow GET,HEAD"),
        f"{static} file info.json if {{ path /v1/info }}",
        f"{static} file hives.json if {{ path /v1/hives }}",
        f"{static} file models.json if {{ path /v1/models }}",
        "http-request use-service prometheus-exporter if { path /metrics }",
        "http-request set-var(txn.model) path,regsub(^/v1/models/,),url_dec if is_static",
        "http-request set-var(txn.card) var(txn.model),url_enc,map_str(models.card.map) if is_static",
        f"{static} lf-string %[var(txn.card)] if is_static {{ var(txn.card) -m found }}",
        f"{unknown_model} if is_static",
        "",
        "# Any worker by name; its bodies are passed on as they come.",
        "http-request set-var(txn.backend) path,field(3,/,2),map_str(workers.map) if is_worker",
        _refuse(404, "worker_not_found", f"No such worker. Known workers: {workers}", "if is_worker !is_routed"),
        _refuse(404, "not_found", "No such path.", "if !is_worker !is_api"),
        "",
        "# By the model in the body.",
        _refuse(405, "method_not_allowed", "Only POST is possible.", "if is_api !{ method POST }", header="Allow POST"),
        too_large,
        "http-request wait-for-body time 2m if is_api",
        too_large,
        "http-request set-var(txn.model) req.body,json_query('$.model') if is_api",
        "http-request set-var(txn.backend) var(txn.model),url_enc,map_str(models.map) if is_api",
        f"{unknown_model} if is_api !is_routed {{ var(txn.model) -m found }}",
        "http-request set-var(txn.backend) req.body,map_reg(models.regex.map) if is_api !is_routed",
        _refuse(
            400,
            "model_unreadable",
            "The body must be JSON with a string field 'model'.",
            "if is_api !is_routed",
            param="model",
        ),
        "use_backend %[var(txn.backend)]",
    ]
    return _section("frontend queen", lines)


def _model(gateway: Gateway, model: str) -> str:
    lines = ["balance leastconn"]
    for worker in gateway.workers:
        if model in worker.models:
            name = f"{slug(worker.hive)}:{slug(worker.name)}"
            lines.append(f"server {name} {endpoint(worker.address, worker.port)} track {worker.backend}/worker")
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
    if worker.models and worker.agent_port:
        lines.append("# The hive's agent answers ready or drain; while it is down, the worker stays as it was.")
        server += f' agent-check agent-port {worker.agent_port} agent-inter 500ms agent-send "{worker.name}\\n"'
    lines.append(server)
    return _section(f"backend {worker.backend}", lines)
