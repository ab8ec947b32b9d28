# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small catalog, and a reader of configurations against it.

The collection can only be imported once pytest is configured, which is after this file is read.
"""

from __future__ import annotations

import typing as t

import pytest


@pytest.fixture(scope="session")
def engines() -> t.Any:
    from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, Source, Variant
    from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog, Entry, Release

    def entry(name: str, kind: str, port: int, **more: t.Any) -> Entry:
        builds = (("cuda", "nvidia"), ("cpu", ""))
        variants = [Variant(build, {"any": Source("bundled", name=name)}, device) for build, device in builds]
        releases = tuple(Release(version, variant) for version in ("2.0", "1.0") for variant in variants)
        command = (name, "--port", "{port}") if port else ()
        command += ("{files}/haproxy.cfg",) if kind == "queen" else ()
        return Entry(name, kind, releases, port=port, command=command, health=Health("/health", 90), **more)

    served = {"model": "required", "model_command": ("--model", "{model_path}")}
    entries = (
        entry("queen", "queen", 8500),
        entry("hive", "hive", 8600),
        entry("llama-cpp", "worker", 8080, model_format="gguf", **served),
        entry(
            "vllm",
            "worker",
            8000,
            model_format="safetensors",
            env={"VLLM_NO_USAGE_STATS": "1", "LEVEL": "info"},
            **served,
        ),
        entry("comfyui", "worker", 8188),
        entry("uv", "tool", 0),
    )
    return Catalog({item.type: item for item in entries})


@pytest.fixture(scope="session")
def parse(engines: t.Any) -> t.Callable[..., t.Any]:
    """Reads texts given as ``hives=``, ``rbee=`` and ``models=``; without any, a fleet of one hive."""
    from ansible_collections.rbee.fleet.plugins.plugin_utils import _config

    def read(hives: str = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n', **others: str) -> t.Any:
        texts = {"hives.conf": hives} | {f"{name}.conf": text for name, text in others.items()}
        return _config.parse(texts, engines, "/etc/fleet")

    return read
