# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queen as its clients find it: a real HAProxy in front of stand-ins for workers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
import socket
import threading
import typing as t
from urllib.parse import quote

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_config import max_connections
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_fleet import MIB, Gateway, GatewayHive, GatewayWorker
from ansible_collections.rbee.fleet.plugins.plugin_utils._gateway_page import policy
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_queen import (
    KEY,
    Queen,
    check,
    wait_until,
)
from ansible_collections.rbee.fleet.tests.integration.pytest.gateway_stub import EVENTS, StubWorker
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.page_browser import PAGE
from ansible_collections.rbee.fleet.tests.integration.pytest.page_stand_in import AgentStandIn, component, state

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

CHAT = "/v1/chat/completions"
LIMIT = 2 * MIB
ODD_NAMES = (
    "meta-llama/Llama-3",
    "a b",
    "café",
    "模型",
    "🐝",
    "q\"uo'te",
    "back\\slash",
    "100%",
    "[x](y)*^$",
    "#1",
    "a,b",
)


def worker(stub: StubWorker, *models: str, port: int = 0) -> GatewayWorker:
    return GatewayWorker("h1", stub.name, "stub", "127.0.0.1", port or stub.port, models, "/health")


def fleet(*workers: GatewayWorker, **changes: t.Any) -> Gateway:
    hives = (GatewayHive("h1", "127.0.0.1", 8600),)
    return Gateway("lab", hives=hives, workers=workers, api_key_secret="key", max_request_bytes=LIMIT, **changes)


Start = t.Callable[[Gateway], Queen]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> t.Iterator[Start]:
    queens: list[Queen] = []

    def begin(gateway: Gateway) -> Queen:
        folder = tmp_path / str(len(queens))
        folder.mkdir()
        queens.append(Queen(folder, gateway))
        queens[-1].wait()
        return queens[-1]

    yield begin
    for queen in queens:
        queen.close()


@pytest.fixture
def stub() -> t.Iterator[StubWorker]:
    server = StubWorker("one")
    yield server
    server.close()


@pytest.fixture
def other() -> t.Iterator[StubWorker]:
    server = StubWorker("other")
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_stub() -> t.Iterator[StubWorker]:
    server = StubWorker("shared")
    yield server
    server.close()


@pytest.fixture(scope="module")
def queen(tmp_path_factory: pytest.TempPathFactory, shared_stub: StubWorker) -> t.Iterator[Queen]:
    """For tests that only ask: one worker that serves ``m`` and models with odd names."""
    queen = Queen(tmp_path_factory.mktemp("queen"), fleet(worker(shared_stub, "m", *ODD_NAMES)))
    queen.wait()
    yield queen
    queen.close()


# Answered by the queen herself.


def test_health_is_open_and_everything_else_needs_the_key(queen: Queen) -> None:
    assert queen.get("/health", key=None).json == {"status": "ok"}
    for key in (None, "wrong", "", KEY[:-1], KEY + "x"):
        for path in (
            *("/v1/models", "/v1/info", "/v1/hives", "/v1/load", "/metrics", "/", "//health"),
            *("/workers/h1/shared/", "/hives/h1/v1/state"),
        ):
            answer = queen.get(path, key)
            assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
        assert queen.post(CHAT, {"model": "m"}, key).status == 401


def test_the_key_goes_no_further_than_the_queen(queen: Queen, shared_stub: StubWorker) -> None:
    assert queen.post(CHAT, {"model": "m"}).status == 200
    assert queen.get(f"/workers/h1/shared/?token={KEY}").status == 200
    assert "authorization" not in shared_stub.seen[-1][2] and "authorization" not in shared_stub.seen[-2][2]
    wait_until(lambda: "/workers/h1/shared/" in queen.log.read_text(), "the request in the log")
    assert KEY not in queen.log.read_text()
    assert [path.name for path in queen.files.iterdir() if KEY in path.read_text()] == ["keys"]


def test_the_fleet_can_be_read(queen: Queen) -> None:
    assert {model["id"] for model in queen.get("/v1/models").json["data"]} == {"m", *ODD_NAMES}
    hive = queen.get("/v1/hives").json["data"][0]
    assert (hive["path"], hive["workers"][0]["path"]) == ("/hives/h1/", "/workers/h1/shared/")
    info = queen.get("/v1/info").json
    assert (info["fleet"], info["workers"], info["max_request_bytes"]) == ("lab", 1, LIMIT)


@pytest.mark.parametrize("name", ["m", *ODD_NAMES])
def test_one_model_can_be_read(queen: Queen, name: str) -> None:
    assert queen.get(f"/v1/models/{quote(name)}").json["id"] == name
    assert queen.get(f"/v1/models/{quote(name, safe='')}").json["id"] == name


def test_metrics_show_each_worker(queen: Queen) -> None:
    assert b'haproxy_server_status{proxy="worker:h1:shared"' in queen.get("/metrics").body


# The page for people.

HTML = "<!doctype html><title>t</title><style>a{}</style><script>'use strict'</script>"


def test_the_page_needs_no_key_and_says_what_it_may_do(start: Start) -> None:
    queen = start(fleet(page=HTML))
    for path in ("/", "/?x=1"):
        answer = queen.get(path, key=None)
        assert (answer.status, answer.body.decode()) == (200, HTML)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == policy(HTML)
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert answer.headers["cache-control"] == "no-cache"
    head = queen.request("HEAD", "/", key=None)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(HTML)))
    assert queen.post("/", {}, key=None).status == 401
    assert queen.post("/", {}).status == 405


def test_a_queen_without_a_page_says_so(queen: Queen) -> None:
    answer = queen.get("/")
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


def test_the_page_and_a_large_fleet_are_answered_whole_however_small_a_request_may_be(start: Start) -> None:
    hives = tuple(GatewayHive(f"hive-{number:03}", "127.0.0.1", 1) for number in range(300))
    workers = tuple(
        GatewayWorker(hive.alias, f"w{number}", "x", "127.0.0.1", 1, (f"m-{number}",), "/health", 1)
        for hive in hives
        for number in range(2)
    )
    gateway = dataclasses.replace(fleet(*workers), hives=hives, page=PAGE, max_request_bytes=1024)
    queen = start(gateway)
    assert queen.get("/", key=None).body.decode() == PAGE
    assert len(queen.get("/v1/hives").json["data"]) == 300
    assert len(queen.get("/v1/load").json["workers"]) == 600
    assert queen.post(CHAT, {"model": "m-0", "prompt": "x" * 1024}).status == 413
    assert "w1" in queen.get("/workers/hive-000/nope").json["error"]["message"]


def test_the_page_alone_fits_the_smallest_buffer(start: Start) -> None:
    queen = start(Gateway("lab", page=PAGE, max_request_bytes=1024))
    assert queen.get("/").body.decode() == PAGE


# Agents of hives.


@pytest.fixture
def agent() -> t.Iterator[AgentStandIn]:
    server = AgentStandIn(state(component("w")))
    yield server
    server.close()


def behind(*agents: AgentStandIn) -> Gateway:
    hives = (GatewayHive(f"a-{index}", "127.0.0.1", agent.port) for index, agent in enumerate(agents))
    return dataclasses.replace(fleet(), hives=tuple(hives))


def test_an_agent_is_reached_by_its_hive_without_the_prefix(start: Start, agent: AgentStandIn) -> None:
    queen = start(behind(agent))
    assert queen.get("/hives/a-0/v1/state").json == agent.state
    assert queen.request("HEAD", "/hives/a-0/v1/state").status == 200
    assert queen.get("/hives/a-0/metrics?a=b").status == 404
    assert queen.get("/hives/a-0").status == 404
    assert agent.seen == ["/v1/state", "/v1/state", "/metrics?a=b", "/"]


def test_an_agent_is_only_read_and_only_by_a_known_name(start: Start, agent: AgentStandIn) -> None:
    queen = start(behind(agent))
    for path in ("/hives/", "/hives/a", "/hives/a-00/v1/state", "/hives/../a-0/v1/state"):
        error = queen.get(path).json["error"]
        assert (error["code"], "Known hives: a-0" in error["message"]) == ("hive_not_found", True)
    for method in ("POST", "PUT", "DELETE"):
        answer = queen.request(method, "/hives/a-0/v1/state", b"{}")
        assert (answer.status, answer.headers["allow"]) == (405, "GET,HEAD")
    assert agent.seen == []


def test_a_dead_agent_is_said_and_hides_no_other(start: Start, agent: AgentStandIn) -> None:
    dead = AgentStandIn(state(), free_port())
    queen = start(behind(agent, dead))
    dead.close()

    def is_down() -> bool:
        answer = queen.get("/hives/a-1/v1/state")
        assert (answer.status, answer.json["error"]["code"]) == (503, "hive_down")
        return "server=<NOSRV>" in queen.log.read_text()  # HAProxy knows, and does not even try

    wait_until(is_down, "the agent to count as down")
    assert queen.get("/hives/a-0/v1/state").status == 200


# What is going on.


def loads(queen: Queen) -> dict[str, dict[str, t.Any]]:
    return {model["id"]: model for model in queen.get("/v1/load").json["models"]}


def test_the_load_counts_requests_and_those_who_can_take_them(start: Start, stub: StubWorker) -> None:
    dead = GatewayWorker("h1", "dead", "stub", "127.0.0.1", free_port(), ("m",), "/health")
    queen = start(fleet(worker(stub, "m", *ODD_NAMES), dead))
    assert loads(queen).keys() == {"m", *ODD_NAMES}
    for _time in range(3):
        assert queen.post(CHAT, {"model": "m"}).status == 200
    assert queen.post(CHAT, {"model": ODD_NAMES[0]}).status == 200
    assert queen.get("/workers/h1/one/").status == 200
    wait_until(lambda: loads(queen)["m"]["up"] == 1, "the dead worker to count as down")
    found = loads(queen)
    assert found["m"] == {"id": "m", "workers": 2, "up": 1, "requests": 3, "active": 0, "waiting": 0}
    assert (found[ODD_NAMES[0]]["requests"], found["a b"]["requests"]) == (1, 0)
    assert queen.get("/v1/load").json["workers"] == [
        {"hive": "h1", "name": "one", "up": True, "requests": 1},
        {"hive": "h1", "name": "dead", "up": False, "requests": 0},
    ]
    stub.hold.clear()
    with queen.stream({"model": "m"}):
        assert loads(queen)["m"]["active"] == 1


# Routing by model.


def ascii_only(name: str) -> str:
    return json.dumps(name)


def as_is(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def as_php(name: str) -> str:
    return json.dumps(name).replace("/", "\\/")


def all_escaped(name: str) -> str:
    units = name.encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'


@pytest.mark.parametrize("spell", [ascii_only, as_is, as_php, all_escaped])
@pytest.mark.parametrize("name", ["m", *ODD_NAMES])
def test_a_model_is_found_in_every_spelling_of_its_name(queen: Queen, name: str, spell: t.Callable[[str], str]) -> None:
    body = f'{{"messages":[{{"role":"user","content":"hi"}}], "model" : {spell(name)}}}'.encode()
    assert queen.post(CHAT, body).json == {"worker": "shared", "path": CHAT, "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/rerank", f"{CHAT}?x=1"])
def test_every_other_api_path_is_routed_the_same_way(queen: Queen, path: str) -> None:
    assert queen.post(path, {"model": "m"}).json["path"] == path


@pytest.mark.parametrize("size", [300_000, LIMIT])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_model_behind_a_giant_prompt_is_found_and_the_body_arrives_whole(
    queen: Queen, size: int, chunked: bool
) -> None:
    start, end = b'{"prompt":"', b'","model":"m"}'
    body = start + b"word\\n" * ((size - len(start) - len(end)) // 6)
    body += b"." * (size - len(body) - len(end)) + end
    sent = (body[i : i + 65536] for i in range(0, size, 65536)) if chunked else body
    answer = queen.post(CHAT, sent)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()


def test_a_model_behind_deep_nesting_is_found(queen: Queen) -> None:
    body = f'{{"tools":{"[" * 60}{"]" * 60},"model":"m"}}'.encode()
    assert queen.post(CHAT, body).status == 200


@pytest.mark.parametrize("nested", [{"model": "a b"}, [{"model": "a b"}], '{"model": "a b"}'])
def test_only_the_model_of_the_request_itself_counts(queen: Queen, nested: t.Any) -> None:
    answer = queen.post(CHAT, {"input": nested, "model": "nobody's"})
    assert answer.status == 404 and "nobody's" in answer.json["error"]["message"]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(queen: Queen) -> None:
    with queen.raw() as client:
        client.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b'{"model":"m"}')
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


# Refusals.


def test_an_unknown_model_is_answered_with_the_known_ones(queen: Queen) -> None:
    answer = queen.post(CHAT, {"model": 'gpt"4%[x]'})
    error = answer.json["error"]
    assert (answer.status, error["type"], error["code"]) == (404, "invalid_request_error", "model_not_found")
    assert error["param"] == "model" and 'gpt"4%[x]' in error["message"]
    assert all(name in error["message"] for name in ODD_NAMES)
    assert queen.get("/v1/models/nope").json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"model=m", b"[]", b"{}", b'{"model":', b'{"model":null}', b'{"model":["m"]}', b"\0\xff"]
)
def test_a_body_without_a_readable_model_is_a_bad_request(queen: Queen, body: bytes) -> None:
    answer = queen.post(CHAT, body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "model_unreadable")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", CHAT), ("PUT", CHAT), ("POST", "/v1/models"), ("POST", "/health")]
)
def test_a_wrong_method_is_told_the_right_one(queen: Queen, method: str, path: str) -> None:
    answer = queen.request(method, path)
    assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == ("POST" if path == CHAT else "GET,HEAD")


def test_an_unknown_path_or_worker_is_not_found(queen: Queen) -> None:
    assert queen.get("/v2").json["error"]["code"] == "not_found"
    answer = queen.get("/workers/h1/nope/")
    assert (answer.status, answer.json["error"]["code"]) == (404, "worker_not_found")
    assert "h1/shared" in answer.json["error"]["message"]


def test_an_announced_body_beyond_the_limit_is_refused_before_it_is_sent(queen: Queen) -> None:
    with queen.raw() as client:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {LIMIT + 1}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_beyond_the_limit_is_refused(queen: Queen) -> None:
    chunks = (b"x" * 65536 for _i in range(LIMIT // 65536 + 1))
    answer = queen.post(CHAT, chunks)
    assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")


# A worker by its name.


def test_a_worker_is_reached_by_name_without_the_prefix(queen: Queen) -> None:
    assert queen.get("/workers/h1/shared/a/b?c=d").json["path"] == "/a/b?c=d"
    assert queen.get("/workers/h1/shared").json["path"] == "/"


def test_a_body_of_any_size_and_kind_reaches_a_worker_by_name(queen: Queen) -> None:
    body = b"\xff" * (3 * LIMIT)
    assert queen.post("/workers/h1/shared/upload", body).json["sha256"] == hashlib.sha256(body).hexdigest()


def test_a_websocket_goes_through_to_a_worker(queen: Queen) -> None:
    with queen.raw() as client:
        client.sendall(
            f"GET /workers/h1/shared/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = client.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ") and head.endswith(b"\r\n\r\n")
        for message in (b"one", b"two"):
            client.sendall(message)
            assert client.recv(100) == message


# Streams.


def test_an_event_arrives_before_the_next_one_is_made(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m")))
    stub.hold.clear()
    with queen.stream({"model": "m"}) as response:
        assert response.readline() == b"data: first\n"
        stub.hold.set()
        assert response.read().split() == [b"data:", b"second", b"data:", b"last"]


def test_a_stream_survives_a_reload_and_new_requests_see_the_new_fleet(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "old")))
    stub.hold.clear()
    with queen.stream({"model": "old"}) as response:
        assert response.readline() == b"data: first\n"
        queen.reload(fleet(worker(stub, "new")))
        assert queen.post(CHAT, {"model": "old"}).status == 404
        stub.hold.set()
        assert response.read().split()[-1] == EVENTS[-1].encode()
    assert queen.post(CHAT, {"model": "new"}).status == 200


def test_no_connection_is_refused_during_a_reload(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m0")))
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                assert queen.get("/health").status == 200
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for number in range(1, 4):
            queen.reload(fleet(worker(stub, f"m{number}")))
    finally:
        done.set()
        thread.join()
    assert failures == []


def test_a_client_that_hangs_up_stops_its_worker(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m")))
    stub.hold.clear()
    with queen.stream({"model": "m"}) as response:
        assert response.readline() == b"data: first\n"
    assert stub.hung_up.wait(120)


# Several workers, and workers that fail.


def test_a_new_request_goes_to_the_worker_with_fewer(start: Start, stub: StubWorker, other: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m"), worker(other, "m")))
    stub.hold.clear()
    other.hold.clear()
    with queen.stream({"model": "m"}), queen.stream({"model": "m"}):
        assert len(stub.seen) == len(other.seen) == 1


def test_requests_for_a_worker_that_is_gone_are_answered_by_another(start: Start, stub: StubWorker) -> None:
    dead = GatewayWorker("h1", "dead", "stub", "127.0.0.1", free_port(), ("m",), "/health")
    queen = start(fleet(dead, worker(stub, "m")))
    assert [queen.post(CHAT, {"model": "m"}).status for _i in range(6)] == [200] * 6


def test_what_a_worker_answers_is_passed_on_as_it_is_errors_too(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m")))
    stub.loading = True
    answer = queen.post(CHAT, {"model": "m"})
    assert (answer.status, answer.json) == (503, {"error": "loading"})


def test_a_request_that_a_worker_has_seen_is_never_sent_again(
    start: Start, stub: StubWorker, other: StubWorker
) -> None:
    queen = start(fleet(worker(stub, "m"), worker(other, "m")))
    stub.broken = other.broken = True
    answer = queen.post(CHAT, {"model": "m"})
    assert (answer.status, answer.json["error"]["code"]) == (502, "bad_gateway")
    assert len(stub.seen) + len(other.seen) == 1


def test_when_no_worker_is_up_the_client_is_told_to_come_back(start: Start, stub: StubWorker) -> None:
    queen = start(fleet(worker(stub, "m", port=free_port())))
    for path in (CHAT, "/workers/h1/one/x"):
        answer = queen.post(path, {"model": "m"})
        assert (answer.status, answer.json["error"]["code"]) == (503, "no_worker_up")
        assert int(answer.headers["retry-after"]) > 0


def test_a_worker_that_comes_up_late_is_used(start: Start) -> None:
    port = free_port()
    queen = start(fleet(GatewayWorker("h1", "late", "stub", "127.0.0.1", port, ("m",), "/health")))
    assert queen.post(CHAT, {"model": "m"}).status == 503
    late = StubWorker("late", port)
    try:
        wait_until(lambda: queen.post(CHAT, {"model": "m"}).status == 200, "the late worker to be used")
    finally:
        late.close()


def test_a_host_name_that_does_not_resolve_takes_only_its_worker_out(start: Start, stub: StubWorker) -> None:
    lost = GatewayWorker("h2", "lost", "stub", "no-such-host.invalid", 8080, ("lost",), "/health", perhaps=True)
    queen = start(fleet(lost, worker(stub, "m")))
    assert queen.post(CHAT, {"model": "m"}).status == 200
    answer = queen.post(CHAT, {"model": "lost"})
    assert answer.status == 503
    assert "h2/lost serves it on demand, if the build there can" in answer.json["error"]["message"]


# Limits.


def test_memory_stays_bounded_under_more_large_bodies_than_fit(start: Start, stub: StubWorker) -> None:
    memory = 256 * MIB
    queen = start(dataclasses.replace(fleet(worker(stub, "m")), memory_bytes=memory))
    fit = max_connections(LIMIT, memory)
    body = b'{"prompt":"' + b"x" * (LIMIT - 64) + b'","model":"m"}'
    statuses: list[int] = []
    stub.hold.clear()
    clients = [threading.Thread(target=lambda: statuses.append(queen.post(CHAT, body).status)) for _i in range(2 * fit)]
    for client in clients:
        client.start()
    stub.wait_for_requests(fit)
    stub.hold.set()
    for client in clients:
        client.join()
    assert statuses == [200] * len(clients)
    assert queen.peak_memory() < memory


@pytest.mark.parametrize(
    "gateway",
    [
        Gateway("empty"),
        Gateway('sp ace "q" \n', bind="::1", hives=(GatewayHive("h", "::1", 1),)),
        fleet(GatewayWorker("h-1", "w.2", "x", "::1", 1, ODD_NAMES, "/it's?a=b c")),
    ],
    ids=["empty", "odd fleet", "odd names"],
)
def test_haproxy_accepts_every_fleet(tmp_path: pathlib.Path, gateway: Gateway) -> None:
    assert check(tmp_path, gateway) == ""


def test_a_fleet_without_workers_answers_that_it_knows_no_model(start: Start) -> None:
    answer = start(fleet()).post(CHAT, {"model": "m"})
    assert answer.status == 404 and "Known models: none" in answer.json["error"]["message"]


def test_one_connection_cannot_hold_many_requests(queen: Queen) -> None:
    with queen.raw() as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_the_queen_listens_on_her_address_alone(start: Start) -> None:
    port = start(fleet()).gateway.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))
