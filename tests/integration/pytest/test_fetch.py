# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching over a real socket from a server that drops, drips, lies and redirects."""

from __future__ import annotations

import collections.abc
import contextlib
import hashlib
import pathlib
import shutil
import socketserver
import ssl
import subprocess
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._fetch import Fetched, WrongDigest, fetch
from ansible_collections.rbee.fleet.plugins.module_utils._sources import (
    MIB,
    RESERVE,
    Limits,
    NoSpace,
    SourceError,
    Stopped,
)

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(backoff=0.01, seconds=600)

Answer = t.Callable[["Request"], None]


class Request:
    """One request as it came in, and the way to answer it byte by byte."""

    def __init__(self, handler: socketserver.StreamRequestHandler) -> None:
        self.line = handler.rfile.readline().decode().strip()
        self.headers: dict[str, str] = {}
        for line in iter(lambda: handler.rfile.readline().decode().strip(), ""):
            name, _colon, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self._file = handler.wfile
        self.gone = threading.Event()

    def send(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError:
            self.gone.set()

    def head(self, status: str, **headers: object) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode())

    @property
    def offset(self) -> int:
        return int(self.headers.get("range", "bytes=0-")[6:-1])


def whole(request: Request) -> None:
    """A well-behaved server without ranges."""
    request.head("200 OK", Content_Length=len(CONTENT))
    request.send(CONTENT)


def ranged(request: Request) -> None:
    """A well-behaved server with ranges."""
    if not request.offset:
        request.head("200 OK", Content_Length=len(CONTENT), ETag='"v1"')
    else:
        span = f"bytes {request.offset}-{len(CONTENT) - 1}/{len(CONTENT)}"
        request.head("206 Partial Content", Content_Length=len(CONTENT) - request.offset, Content_Range=span)
    request.send(CONTENT[request.offset :])


def drop(count: int, content: bytes = CONTENT) -> Answer:
    """The connection breaks after so many bytes."""

    def answer(request: Request) -> None:
        request.head("200 OK", Content_Length=len(content), ETag='"v1"')
        request.send(content[:count])

    return answer


def status(line: str, **headers: object) -> Answer:
    return lambda request: request.head(line, Content_Length=0, **headers)


class Server(socketserver.ThreadingTCPServer):
    """Gives the answers in their order, the last one ever after."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: pathlib.Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._scheme = "http"
        if certificate:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answers: list[Answer] = [whole]
        self.requests: list[Request] = []

    def url(self, path: str = "/model.gguf", user: str = "") -> str:
        return f"{self._scheme}://{user}127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of these tests."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = t.cast(Server, self.server)
        request = Request(self)
        server.requests.append(request)
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        answer(request)


@contextlib.contextmanager
def running(server: Server) -> collections.abc.Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    with server:
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(name="server")
def _server(monkeypatch: pytest.MonkeyPatch) -> collections.abc.Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running(Server()) as server:
        yield server


class Place:
    """A destination and a cache that can be looked at."""

    def __init__(self, root: pathlib.Path) -> None:
        self.dest, self.cache = root / "dest" / "model", root / "cache"
        self.said: list[str] = []

    def fetch(self, url: str, sha256: str = SHA256, limits: Limits = QUICK, **options: t.Any) -> Fetched:
        options.setdefault("cache_dir", str(self.cache))
        progress: t.Any = lambda what, _done, _total: self.said.append(what)  # noqa: E731
        return fetch(url, str(self.dest), sha256, limits=limits, progress=progress, **options)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir())

    def nothing_is_left(self) -> bool:
        return not [path for path in (*self.dest.parent.glob("*"), *self.cache.glob("*")) if path.is_file()]


@pytest.fixture(name="place")
def _place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def test_a_file_arrives_whole_and_is_kept_in_the_cache(server: Server, place: Place) -> None:
    fetched = place.fetch(server.url(), size=len(CONTENT))
    assert fetched == Fetched(str(place.dest), len(CONTENT), SHA256, False)
    assert place.dest.read_bytes() == CONTENT
    assert place.names() == [SHA256]


def test_a_wrong_digest_is_refused_named_twice_and_nothing_changes(server: Server, place: Place) -> None:
    place.dest.parent.mkdir()
    place.dest.write_text("old")
    expected = "0" * 64
    with pytest.raises(WrongDigest) as refusal:
        place.fetch(server.url(), expected)
    assert expected in str(refusal.value)
    assert SHA256 in str(refusal.value)
    assert place.dest.read_text() == "old"
    assert place.names() == []


def test_a_second_use_comes_from_the_cache_without_a_request(server: Server, place: Place) -> None:
    place.fetch(server.url())
    place.dest.unlink()
    assert place.fetch(server.url()).from_cache
    assert place.dest.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_cached_file_is_verified_on_every_use_and_fetched_again_when_damaged(server: Server, place: Place) -> None:
    place.fetch(server.url())
    (place.cache / SHA256).write_bytes(CONTENT[:-1] + b"!")
    assert not place.fetch(server.url()).from_cache
    assert place.dest.read_bytes() == CONTENT
    assert (place.cache / SHA256).read_bytes() == CONTENT


def test_a_damaged_cache_without_a_network_is_an_error_and_not_used(server: Server, place: Place) -> None:
    place.fetch(server.url())
    place.dest.unlink()
    (place.cache / SHA256).write_bytes(b"damaged")
    server.answers = [status("503 Unavailable")]
    with pytest.raises(SourceError, match="503"):
        place.fetch(server.url())
    assert place.nothing_is_left()


def test_a_broken_connection_is_continued_where_it_broke(server: Server, place: Place) -> None:
    server.answers = [drop(300_000), ranged]
    place.fetch(server.url())
    assert place.dest.read_bytes() == CONTENT
    assert server.requests[1].headers["range"] == "bytes=300000-"
    assert server.requests[1].headers["if-range"] == '"v1"'


def test_a_later_run_continues_what_an_ended_one_left(server: Server, place: Place) -> None:
    server.answers = [drop(300_000), status("503 Unavailable")]
    with pytest.raises(SourceError):
        place.fetch(server.url())
    server.requests.clear()
    server.answers = [ranged]
    place.fetch(server.url())
    assert server.requests[0].offset == 300_000
    assert place.names() == [SHA256]


def test_a_server_without_ranges_sends_everything_again(server: Server, place: Place) -> None:
    server.answers = [drop(300_000), whole]
    place.fetch(server.url())
    assert place.dest.read_bytes() == CONTENT


@pytest.mark.parametrize("line", ["416 Range Not Satisfiable", "206 Partial Content"])
def test_a_server_that_cannot_continue_is_asked_for_everything(server: Server, place: Place, line: str) -> None:
    server.answers = [drop(300_000), status(line), ranged]
    place.fetch(server.url())
    assert [request.offset for request in server.requests] == [0, 300_000, 0]
    assert place.dest.read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_meanwhile_is_fetched_from_its_start(server: Server, place: Place) -> None:
    other = bytes(len(CONTENT))
    server.answers = [drop(300_000, other), ranged]
    place.fetch(server.url())
    assert place.dest.read_bytes() == CONTENT


def test_passing_trouble_is_tried_again(server: Server, place: Place) -> None:
    server.answers = [status("503 Busy"), status("429 Slow down"), drop(0), whole]
    place.fetch(server.url())
    assert len(server.requests) == 4


def test_trouble_that_stays_ends_after_the_last_attempt(server: Server, place: Place) -> None:
    server.answers = [status("503 Busy")]
    with pytest.raises(SourceError, match=r"503 Busy \(5 tries\)"):
        place.fetch(server.url())
    assert len(server.requests) == 5
    assert place.nothing_is_left()


def test_a_missing_file_is_not_tried_again(server: Server, place: Place) -> None:
    server.answers = [status("404 Not Found")]
    with pytest.raises(SourceError, match="404 Not Found"):
        place.fetch(server.url())
    assert len(server.requests) == 1


@pytest.mark.parametrize("count", [0, 1000], ids=["header", "body"])
def test_a_server_that_drips_is_cut_off(server: Server, place: Place, count: int) -> None:
    def drip(request: Request) -> None:
        if count:
            request.head("200 OK", Content_Length=len(CONTENT))
            request.send(CONTENT[:count])
        else:
            request.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not request.gone.wait(0.05):
            request.send(b"x")

    server.answers = [drip]
    with pytest.raises(SourceError, match=r"bytes/s, less than 1024 \(2 tries\)"):
        place.fetch(server.url(), limits=Limits(attempts=2, backoff=0.01, window=0.4))


def test_a_server_that_only_is_slow_runs_into_the_time_limit(server: Server, place: Place) -> None:
    def steady(request: Request) -> None:
        request.head("200 OK")
        while not request.gone.wait(0.02):
            request.send(bytes(1000))

    server.answers = [steady]
    with pytest.raises(SourceError, match=r"took longer than 0\.5 s"):
        place.fetch(server.url(), limits=Limits(seconds=0.5, window=0.2))


def test_a_download_without_an_end_is_cut_at_the_limit_and_deleted(server: Server, place: Place) -> None:
    def endless(request: Request) -> None:
        request.head("200 OK")
        while not request.gone.is_set():
            request.send(bytes(65536))

    server.answers = [endless]
    with pytest.raises(SourceError, match="more than 3145728 bytes"):
        place.fetch(server.url(), limits=Limits(max_bytes=3 * MIB))
    assert place.nothing_is_left()


def test_more_bytes_than_expected_are_refused_before_they_are_fetched(server: Server, place: Place) -> None:
    with pytest.raises(SourceError, match="offers 1048576 bytes, expected 5"):
        place.fetch(server.url(), size=5)
    assert place.nothing_is_left()


def test_a_length_that_is_too_short_does_not_pass(server: Server, place: Place) -> None:
    def short(request: Request) -> None:
        request.head("200 OK", Content_Length=1000)
        request.send(CONTENT)

    server.answers = [short]
    with pytest.raises(WrongDigest):
        place.fetch(server.url())
    assert place.nothing_is_left()


def test_a_chunked_body_arrives_whole(server: Server, place: Place) -> None:
    def chunked(request: Request) -> None:
        request.head("200 OK", Transfer_Encoding="chunked")
        request.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(CONTENT), CONTENT))

    server.answers = [chunked]
    assert place.fetch(server.url()).bytes == len(CONTENT)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_away_from_http_is_refused(server: Server, place: Place, location: str) -> None:
    server.answers = [status("302 Found", Location=location)]
    with pytest.raises(SourceError, match=r"refused|not allowed"):
        place.fetch(server.url())
    assert len(server.requests) == 1


def test_a_redirect_is_followed_but_does_not_carry_credentials_to_another_server(server: Server, place: Place) -> None:
    with running(Server()) as other:
        server.answers = [status("302 Found", Location=other.url("/real"))]
        place.fetch(server.url(user="me:secret@"))
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert "authorization" not in other.requests[0].headers


def test_a_redirect_on_the_same_server_keeps_the_credentials(server: Server, place: Place) -> None:
    server.answers = [status("302 Found", Location="/real"), whole]
    place.fetch(server.url(user="me:secret@"))
    assert server.requests[1].headers["authorization"] == server.requests[0].headers["authorization"]


@pytest.fixture(name="certificate")
def _certificate(tmp_path: pathlib.Path) -> pathlib.Path:
    """A certificate for 127.0.0.1 that nobody has signed, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path / "server.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=rbee-test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


def test_an_untrusted_certificate_is_refused_at_once(certificate: pathlib.Path, place: Place) -> None:
    with running(Server(certificate)) as server, pytest.raises(SourceError, match="certificate is not trusted"):
        place.fetch(server.url())
    assert "again" not in "".join(place.said)


def test_a_certificate_of_the_hosts_own_authority_is_trusted(
    certificate: pathlib.Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running(Server(certificate)) as server:
        server.answers = [drop(300_000), ranged]
        place.fetch(server.url())
    assert place.dest.read_bytes() == CONTENT


def test_a_redirect_from_https_to_http_is_refused(
    server: Server, certificate: pathlib.Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running(Server(certificate)) as secure:
        secure.answers = [status("302 Found", Location=server.url())]
        with pytest.raises(SourceError, match="refused"):
            place.fetch(secure.url())
    assert server.requests == []


def test_a_stop_ends_a_tls_transfer_that_hangs(
    certificate: pathlib.Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    stop, released = threading.Event(), threading.Event()

    def hang(request: Request) -> None:
        request.head("200 OK", Content_Length=len(CONTENT))
        request.send(CONTENT[:1000])
        stop.set()
        released.wait(30)

    with running(Server(certificate)) as server:
        server.answers = [hang]
        try:
            with pytest.raises(Stopped):
                place.fetch(server.url(), stop=stop, limits=Limits())
        finally:
            released.set()


@pytest.mark.parametrize("line", ["404 Not Found", "503 Busy", "200 OK"])
def test_no_message_shows_a_credential(server: Server, place: Place, line: str) -> None:
    server.answers = [status(line)]
    with pytest.raises(SourceError) as failure:
        place.fetch(server.url("/model?sig=topsecret", user="me:topsecret@"))
    assert "topsecret" not in str(failure.value) + "".join(place.said)


def test_a_stop_ends_a_transfer_that_hangs(server: Server, place: Place) -> None:
    stop, released = threading.Event(), threading.Event()

    def hang(request: Request) -> None:
        request.head("200 OK", Content_Length=len(CONTENT))
        request.send(CONTENT[:1000])
        stop.set()
        released.wait(30)

    server.answers = [hang]
    try:
        with pytest.raises(Stopped):
            place.fetch(server.url(), stop=stop, limits=Limits())
    finally:
        released.set()


def test_two_that_want_the_same_file_fetch_it_once(server: Server, place: Place, tmp_path: pathlib.Path) -> None:
    def one(number: int) -> None:
        fetch(server.url(), str(tmp_path / str(number)), SHA256, limits=QUICK, cache_dir=str(place.cache))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / str(number)).read_bytes() == CONTENT for number in range(4)] == [True] * 4
    assert len(server.requests) == 1
    assert place.names() == [SHA256]


def test_a_file_of_the_host_is_copied_and_verified(place: Place, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "a b#c.tar"
    source.write_bytes(CONTENT)
    place.fetch(source.as_uri())
    assert place.dest.read_bytes() == CONTENT
    source.write_bytes(b"other")
    with pytest.raises(WrongDigest) as refusal:
        fetch(source.as_uri(), str(place.dest), SHA256, limits=QUICK)
    assert (place.dest.read_bytes(), source.read_bytes()) == (CONTENT, b"other")
    assert str(refusal.value).startswith(f"{source} is not the expected file: ")
    assert str(refusal.value).endswith("; correct sha256 if it is the right file, else put the right one there")


def test_a_missing_file_of_the_host_is_named(place: Place, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SourceError, match="absent cannot be read"):
        place.fetch((tmp_path / "absent").as_uri())


def test_without_a_digest_nothing_is_cached(server: Server, place: Place) -> None:
    assert place.fetch(server.url(), "").sha256 == SHA256
    assert place.names() == []
    assert not place.fetch(server.url(), "").from_cache


@contextlib.contextmanager
def small_disk(path: pathlib.Path, size: int) -> collections.abc.Iterator[pathlib.Path]:
    """A file system of its own with so many bytes."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "rbee-test", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_space_is_checked_before_the_first_byte_is_written(server: Server, tmp_path: pathlib.Path) -> None:
    with small_disk(tmp_path / "disk", RESERVE + len(CONTENT) // 2) as disk:
        place = Place(disk)
        with pytest.raises(NoSpace, match=r"1.0 MiB needed") as failure:
            place.fetch(server.url())
        assert failure.value.needed == len(CONTENT)
        assert str(disk) in str(failure.value)
        assert place.nothing_is_left()


def test_a_disk_that_fills_up_meanwhile_is_an_error_that_leaves_no_part(server: Server, tmp_path: pathlib.Path) -> None:
    with small_disk(tmp_path / "disk", RESERVE + 2 * MIB) as disk:
        place = Place(disk)
        full = threading.Event()

        def filling(request: Request) -> None:
            request.head("200 OK")
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(65536))
                    filler.flush()
            full.set()
            request.send(CONTENT)

        server.answers = [filling]
        with pytest.raises(NoSpace):
            place.fetch(server.url())
        assert full.wait(60)  # before that the disk is in use and cannot be unmounted
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]
