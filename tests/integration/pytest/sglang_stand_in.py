# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for SGLang: ``sglang serve`` with some of its options, and an OpenAI-compatible server that echoes."""

import argparse
import http.server
import json
import os


def main():
    parser = argparse.ArgumentParser(prog="sglang", allow_abbrev=False)
    parser.add_argument("action", choices=["serve"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=30000)
    parser.add_argument("--model-path", required=True)
    parser.add_argument("--served-model-name")
    parser.add_argument("--enable-metrics", action="store_true")
    options = parser.parse_args()
    os.listdir(options.model_path)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/metrics" and options.enable_metrics:
                self._answer("sglang:num_running_reqs 0\n")
            else:
                self._answer("", 200 if self.path == "/health" else 404)

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked["model"] != options.served_model_name:
                self._answer("", 404)
                return
            message = {"role": "assistant", "content": asked["messages"][-1]["content"]}
            self._answer(json.dumps({"model": asked["model"], "choices": [{"index": 0, "message": message}]}))

        def _answer(self, text, status=200):
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments):
            pass

    http.server.ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()
