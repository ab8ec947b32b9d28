# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for an inference engine: answers every chat with the text of its model file."""

from __future__ import annotations

import argparse
import http.server
import json
import pathlib
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Readiness and chat completions as of OpenAI's API."""

    protocol_version = "HTTP/1.1"
    alias = ""
    text = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"status": "ok"})
        else:
            self.answer(404, {"error": {"message": "not found"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(200, {"object": "chat.completion", "model": self.alias, "choices": [choice]})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--alias", default="")
    parser.add_argument("--until", type=pathlib.Path, default="/", help="it starts to listen when there is such a path")
    options = parser.parse_args()
    Handler.alias = options.alias
    if options.model:
        Handler.text = options.model.read_text(encoding="utf-8").strip()
    while not options.until.exists():
        time.sleep(0.1)
    http.server.ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
