# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for upstream's queen-rbee and rbee-hive, by the name it is run as: their options, and some of their paths.

After rbee-keeper/rbee, bin/10_queen_rbee/src and bin/20_rbee_hive/src. They listen on all addresses, this on loopback.
@PYTHON@ and @VERSION@ are filled in.
"""

import argparse
import http.server
import json
import os
import sys
import threading
import time
import urllib.request

NAME, VERSION = os.path.basename(sys.argv[0]), "@VERSION@"
HIVES = []  # those that have called the queen


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        queen = NAME == "queen-rbee"
        if self.path == "/health":
            self._answer("" if queen else "ok", "text/plain")
        elif self.path == "/v1/info" and queen:
            port = int(os.environ["QUEEN_PORT"])
            self._answer(json.dumps({"base_url": os.environ["QUEEN_URL"], "port": port, "version": VERSION}))
        elif self.path == "/v1/heartbeats/stream" and queen:
            event = {"type": "queen", "hives_online": len(HIVES), "hive_ids": HIVES}
            self._answer(f"data: {json.dumps(event)}\n\n", "text/event-stream")
        elif self.path == "/v1/capabilities" and not queen:
            self._answer(json.dumps({"devices": [{"id": "CPU-0", "name": VERSION, "device_type": "cpu"}]}))
        else:
            self._answer("<!doctype html><title>rbee</title>", "text/html")

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        HIVES.append(said["hive_id"])
        self._answer(json.dumps({"status": "ok"}))

    def _answer(self, text, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_arguments):
        pass


def call(options):
    """Tell the queen, until she listens."""
    body = json.dumps({"hive_id": options.hive_id, "hive_url": f"http://127.0.0.1:{options.port}"}).encode()
    request = urllib.request.Request(f"{options.queen_url}/v1/hive/ready", body, {"Content-Type": "application/json"})
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60).close()
            return
        except OSError:
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(prog=NAME, allow_abbrev=False)
    parser.add_argument("-p", "--port", type=int)
    if NAME == "rbee-hive":
        parser.add_argument("--queen-url", default="http://localhost:7833")
        parser.add_argument("--hive-id", default="localhost")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    if NAME == "rbee-hive":
        threading.Thread(target=call, args=[options], daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
