# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP transfer with urllib: proxies and certificates from the environment, redirects within bounds, a watchdog.

A blocked read cannot be interrupted from Python, and a server that drips its header never trips a socket timeout.
So a watchdog thread cuts the connection when the caller stops the work, the time is up, or the server is too slow.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import typing as t
import urllib.error
import urllib.request

from ansible_collections.rbee.fleet.plugins.module_utils._fetch_rules import (
    TRANSIENT_STATUS,
    Transient,
    check_redirect,
    retry_after,
    same_server,
    split_credentials,
)
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits, SourceError, Stopped, without_secrets

_TICK = 0.2


class Watchdog:
    """Cuts one connection when it must end, and says why in ``reason``.

    deadline: on the clock of ``time.monotonic``. The rate is measured over each window of ``limits.window`` seconds.
    """

    def __init__(self, limits: Limits, deadline: float, stop: threading.Event) -> None:
        self.reason = ""
        self.received = 0
        self._limits, self._deadline, self._stop = limits, deadline, stop
        self._sock: t.Optional[socket.socket] = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fetch-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._done.set()
        self._thread.join()

    def watch(self, sock: socket.socket) -> None:
        """Names the connection to cut."""
        self._sock = sock
        if self.reason:
            self._cut()

    def check(self) -> None:
        """Raises the end that the watchdog called: Stopped, SourceError, or Transient for a slow server."""
        if self._stop.is_set():
            raise Stopped("stopped while fetching")
        if self.reason == "time":
            raise SourceError(f"it took longer than {self._limits.seconds:g} s, the limit")
        if self.reason:
            raise Transient(self.reason)

    def _watch(self) -> None:
        limits = self._limits
        since, seen = time.monotonic(), self.received
        while not self._done.wait(min(_TICK, limits.window / 4)):
            now = time.monotonic()
            if self._stop.is_set():
                self.reason = "stopped"
            elif now > self._deadline:
                self.reason = "time"
            elif now - since >= limits.window:
                rate = (self.received - seen) / (now - since)
                if rate < limits.min_rate:
                    self.reason = f"the server sends {rate:.0f} bytes/s, less than {limits.min_rate}"
                since, seen = now, self.received
            if self.reason:
                self._cut()

    def _cut(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                # The plain socket's own method: the TLS one would change state under the thread that reads.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to http or https, never from https to http; credentials stay with their own host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        check_redirect(req.full_url, newurl)
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        secret = req.unredirected_hdrs.get("Authorization")
        if following is not None and secret and same_server(req.full_url, newurl):
            following.add_unredirected_header("Authorization", secret)
        return following


def open_url(url: str, headers: t.Mapping[str, str], limits: Limits, watchdog: Watchdog) -> http.client.HTTPResponse:
    """The response to a GET, of status 200, 206 or 416. Raises Transient where another try may help, or SourceError."""
    address, authorization = split_credentials(url)
    request = urllib.request.Request(address, headers={"User-Agent": "rbee.fleet", "Accept-Encoding": "identity"})
    for name, value in headers.items():
        request.add_header(name, value)
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    try:
        return t.cast(http.client.HTTPResponse, _opener(watchdog).open(request, timeout=limits.connect))
    except urllib.error.HTTPError as error:
        if error.code == 416:
            return t.cast(http.client.HTTPResponse, error)
        with error:
            answer = without_secrets(f"the server answers {error.code} {error.reason}")
            if error.code in TRANSIENT_STATUS:
                raise Transient(answer, retry_after(error.headers.get("Retry-After", ""))) from error
            raise SourceError(answer) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        watchdog.check()
        cause = getattr(error, "reason", error)
        # An unknown certificate will be as unknown in a second; ssl may be absent, hence by name.
        if type(cause).__name__ == "SSLCertVerificationError":
            raise SourceError(f"its certificate is not trusted: {cause}; see SSL_CERT_FILE") from error
        if isinstance(error, (http.client.InvalidURL, UnicodeError)):
            raise SourceError("the URL cannot be read") from error
        raise Transient(str(cause) or type(cause).__name__) from error


def _opener(watchdog: Watchdog) -> urllib.request.OpenerDirector:
    """Only what a download needs: no file, ftp or data URLs; proxies as the environment says."""

    class Http(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            watchdog.watch(self.sock)

    class HttpHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> t.Any:
            return self.do_open(Http, req)

    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler(),
        HttpHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ]
    if hasattr(http.client, "HTTPSConnection"):

        class Https(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watchdog.watch(self.sock)

        class HttpsHandler(urllib.request.HTTPSHandler):
            def https_open(self, req: urllib.request.Request) -> t.Any:
                return self.do_open(Https, req)

        handlers.append(HttpsHandler())
    opener = urllib.request.OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler)
    return opener
