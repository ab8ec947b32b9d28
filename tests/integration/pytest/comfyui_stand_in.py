# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for ComfyUI's ``main.py``: the options of its ``comfy/cli_args.py``, the routes of its ``server.py``.

As there, the folder of custom nodes has to exist, the database is made where it is told, and a websocket is greeted
with the status of the queue.
"""

import argparse
import base64
import hashlib
import http.server
import json
import os
import sqlite3

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
GREETING = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "stand-in"}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options = argparse.Namespace()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/ws":
            self._greet()
        elif path == "/system_stats":
            self._answer({"system": {"comfyui_version": "stand-in", "argv": vars(self.options)}, "devices": []})
        elif path == "/queue":
            self._answer({"queue_running": [], "queue_pending": []})
        else:
            self.send_error(404)

    def _answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _greet(self):
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        text = json.dumps(GREETING).encode()
        self.wfile.write(bytes([0x81, len(text)]) + text)  # one unmasked frame of text, shorter than 126 bytes
        self.close_connection = True

    def log_message(self, *_arguments):
        pass


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--base-directory")
    parser.add_argument("--database-url")
    parser.add_argument("--disable-auto-launch", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    options = Handler.options = parser.parse_args()
    os.listdir(os.path.join(options.base_directory, "custom_nodes"))
    with sqlite3.connect(options.database_url.partition("sqlite:///")[2]) as database:
        database.execute("CREATE TABLE IF NOT EXISTS stand_in (x)")
    http.server.ThreadingHTTPServer((options.listen, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
