# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker's stand-in: serve.py ADDRESS PORT ARGUMENT FILE. Answers every GET with what it was started with."""

import http.server
import json
import os
import signal
import sys

VERSION, MODE = "@VERSION@", "@MODE@"
ADDRESS, PORT, ARGUMENT, FILE = sys.argv[1:5]
asked = 0
said = ""


def read(*_signal):
    global said
    with open(FILE) as stream:
        said = stream.read()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        well = MODE == "well" or (MODE == "waking" and asked > 2)
        about = {
            "version": VERSION,
            "argument": ARGUMENT,
            "environment": os.environ.get("GREETING", ""),
            "file": said,
            "key": os.environ.get("KEY", ""),
            "pid": os.getpid(),
        }
        body = json.dumps(about if well else {"error": "the model does not load"}).encode()
        self.send_response(200 if well else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


sys.stderr.write(f"version {VERSION} is {MODE}\n")
if MODE == "dying":
    sys.exit("out of memory")
read()
signal.signal(signal.SIGUSR2, read)
http.server.HTTPServer((ADDRESS, int(PORT)), Handler).serve_forever()
