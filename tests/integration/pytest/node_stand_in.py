# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker's stand-in: serve.py ADDRESS PORT ARGUMENT FILE. Answers every GET with what it was started with."""

import json
import os
import signal
import socketserver  # http.server takes longer to import than all else here
import sys

VERSION, MODE = "@VERSION@", "@MODE@"
ADDRESS, PORT, ARGUMENT, FILE = sys.argv[1:5]
asked = 0
said = ""


def read(*_signal):
    global said
    with open(FILE) as stream:
        said = stream.read()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global asked
        if not self.rfile.readline():
            return  # nothing was asked
        while self.rfile.readline().strip():
            pass
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
        status = "200 OK" if well else "503 Service Unavailable"
        self.wfile.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


sys.stderr.write(f"version {VERSION} is {MODE}\n")
if MODE == "dying":
    sys.exit("out of memory")
read()
signal.signal(signal.SIGUSR2, read)
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer((ADDRESS, int(PORT)), Handler).serve_forever()
