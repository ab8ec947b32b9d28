# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chat worker's stand-in that takes its time and ends at once when told to: serve.py ADDRESS PORT WORD..."""

import http.server
import json
import sys
import time

VERSION, ANSWERS = "@VERSION@", 200  # the status of its health
STARTS, TAKES = 1, 1.5  # seconds until it listens, for an answer


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(ANSWERS, {"version": VERSION})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(TAKES)
        self._answer(200, {"version": VERSION, "address": sys.argv[1]})

    def _answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


time.sleep(STARTS)
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
