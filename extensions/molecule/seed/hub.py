# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a stand-in for each model of the seed's models.conf: ``hub.py http://ADDRESS:PORT``."""

from __future__ import annotations

import pathlib
import signal
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "integration" / "pytest"))

from hub_stand_in import Hub, Repository  # noqa: E402  # it lies beside the tests that it is for

MODELS = ("meta-llama/Llama-3-8b", "mistralai/Mistral-7B-v0.1", "stable-diffusion-v1-5")


def main() -> None:
    where = urllib.parse.urlsplit(sys.argv[1])
    with Hub(where.hostname or "", where.port or 0) as hub:
        for name in MODELS:
            hub.repositories[name] = Repository({"config.json": b"{}", "model.safetensors": name.encode()})
        signal.pause()


if __name__ == "__main__":
    main()
