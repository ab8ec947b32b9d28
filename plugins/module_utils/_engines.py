# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inference engines that somebody else started: which one a command line runs, and what it was told. Pure.

The options are those of ``vllm serve --help``, ``llama-server --help``, ComfyUI's ``comfy/cli_args.py`` and
``ollama serve --help``. Whatever may be a secret is dropped here, on the host, and only its name is kept.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import typing as t

VLLM, LLAMA_CPP, COMFYUI, OLLAMA = "vllm", "llama-cpp", "comfyui", "ollama"

# The roles that an option can have
MODEL, FILE, REVISION, URL, NAMES, PORT, DEVICES, FOLDER, DROPPED = (
    "model", "file", "revision", "url", "names", "port", "devices", "folder", "dropped",
)  # fmt: skip
_FLAGS = frozenset(
    {"--metrics", "--disable-auto-launch", "--auto-launch"}
)  # have no value; ours are given by the catalog
_OPTIONS: t.Mapping[str, t.Mapping[str, str]] = {
    VLLM: {
        "--model": MODEL,
        "--revision": REVISION,
        "--served-model-name": NAMES,
        "--port": PORT,
        "--host": DROPPED,
        "--download-dir": FOLDER,
    },
    LLAMA_CPP: {
        "-m": MODEL, "--model": MODEL,
        "-hf": MODEL, "-hfr": MODEL, "--hf-repo": MODEL,
        "-hff": FILE, "--hf-file": FILE,
        "-mu": URL, "--model-url": URL,
        "-a": NAMES, "--alias": NAMES,
        "--port": PORT, "--host": DROPPED, "--metrics": DROPPED,
        "-dev": DEVICES, "--device": DEVICES,
        "--models-dir": FOLDER, "--models-preset": FOLDER,
    },
    COMFYUI: {
        "--port": PORT, "--listen": DROPPED,
        "--base-directory": FOLDER, "--cuda-device": DEVICES,
        "--disable-auto-launch": DROPPED, "--auto-launch": DROPPED,
    },
    OLLAMA: {},
}  # fmt: skip
_LISTS = frozenset({"--served-model-name", "--api-key"})  # of vLLM: take words until the next option
_DEFAULT_PORT = {VLLM: 8000, LLAMA_CPP: 8080, COMFYUI: 8188, OLLAMA: 11434}
# Variables that say the same as an option, and the beginnings of the names of those that are worth keeping
_VARIABLES: t.Mapping[str, t.Mapping[str, str]] = {
    LLAMA_CPP: {
        "LLAMA_ARG_MODEL": MODEL,
        "LLAMA_ARG_HF_REPO": MODEL,
        "LLAMA_ARG_HF_FILE": FILE,
        "LLAMA_ARG_MODEL_URL": URL,
        "LLAMA_ARG_ALIAS": NAMES,
        "LLAMA_ARG_PORT": PORT,
        "LLAMA_ARG_HOST": DROPPED,
        "LLAMA_ARG_ENDPOINT_METRICS": DROPPED,
        "LLAMA_ARG_DEVICE": DEVICES,
        "LLAMA_ARG_MODELS_DIR": FOLDER,
        "LLAMA_ARG_MODELS_PRESET": FOLDER,
    },
}
_KEPT = {
    VLLM: ("VLLM_", "NCCL_", "PYTORCH_", "OMP_NUM_THREADS"),
    LLAMA_CPP: ("LLAMA_", "GGML_", "OMP_NUM_THREADS"),
    COMFYUI: ("PYTORCH_",),
    OLLAMA: ("OLLAMA_",),
}
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")

_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_SECRET_NAME = re.compile(r"(^|[-_])(api[-_]?key|key|token|password|passwd|secret|credentials?)([-_]|$)", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"://[^/\s]*@|\b(sk-|hf_)[A-Za-z0-9_-]{16,}|(api_?key|token|secret|password)\"?\s*[:=]", re.IGNORECASE
)
_COMFYUI_ONLY = ("--base-directory", "--extra-model-paths-config", "--front-end-version", "--disable-auto-launch",
                 "--preview-method", "--cuda-device", "--output-directory", "--lowvram", "--highvram")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Engine:
    """What an engine was told.

    type: as in the catalog, or that it would have there. port: what it was told, else its default.
    model: a repository, a path or empty. file, revision: of the repository. url: where the model is from.
    names: what clients may call the model. visible: of ``VISIBLE``, the variable that is set, with its value.
    order: in which CUDA counts GPUs (``CUDA_DEVICE_ORDER``).
    devices: the numbers among those, of an option. folder: of ComfyUI's data, llama.cpp's models (or the file that
    lists them), vLLM's downloads.
    arguments, env: the rest. hidden: names of options and variables that were left out, for they may hold a secret.
    """

    type: str
    port: int
    model: str = ""
    file: str = ""
    revision: str = ""
    url: str = ""
    names: tuple[str, ...] = ()
    visible: t.Optional[tuple[str, str]] = None
    order: str = ""
    devices: tuple[int, ...] = ()
    folder: str = ""
    arguments: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    hidden: tuple[str, ...] = ()


def recognise(argv: t.Sequence[str], environ: t.Mapping[str, str], folder: str = "") -> t.Optional[Engine]:
    """The engine that a command line runs; None for every other program. folder: in which it runs."""
    found = _program(list(argv), folder)
    if found is None:
        return None
    kind, words = found
    told, arguments, hidden = _read(kind, words)
    env: dict[str, str] = {}
    for name, value in sorted(environ.items()):
        role = _VARIABLES.get(kind, {}).get(name)
        if not role and not name.startswith(_KEPT[kind]):
            continue
        if _SECRET_NAME.search(name) or _SECRET_VALUE.search(value):
            hidden.append(name)
        elif role:
            told.setdefault(role, [value])
        else:
            env[name] = value
    devices = _numbered(_one(told, DEVICES))
    if DEVICES in told and not devices:  # of another kind than CUDA and ROCm, or none
        arguments += ["--device", _one(told, DEVICES)]
    port = _number(told.get(PORT))
    if kind == OLLAMA:
        port = _number([environ.get("OLLAMA_HOST", "").rstrip("/").rpartition(":")[2]])
        env.pop("OLLAMA_HOST", None)
    return Engine(
        type=kind,
        port=port or _DEFAULT_PORT[kind],
        model=_one(told, MODEL),
        file=_one(told, FILE),
        revision=_one(told, REVISION),
        url=_one(told, URL),
        names=tuple(name for item in told.get(NAMES, ()) for name in item.split(",") if name),
        visible=next(((name, environ[name]) for name in VISIBLE if name in environ), None),
        order=environ.get("CUDA_DEVICE_ORDER", ""),
        devices=devices,
        folder=_one(told, FOLDER),
        arguments=tuple(arguments),
        env=env,
        hidden=tuple(dict.fromkeys(hidden)),
    )


def _program(argv: list[str], folder: str) -> t.Optional[tuple[str, list[str]]]:
    """The engine and the words after it."""
    if not argv or not argv[0]:
        return None
    name, rest = posixpath.basename(argv[0]), argv[1:]
    if _PYTHON.fullmatch(name):
        while rest and rest[0].startswith("-") and rest[0] != "-m":
            if rest[0] == "-c":
                return None
            rest = rest[2:] if rest[0] in ("-W", "-X") else rest[1:]
        if len(rest) > 1 and rest[0] == "-m":
            return _module(rest[1], rest[2:])
        if not rest:
            return None
        script, rest = rest[0], rest[1:]
        name = posixpath.basename(script)
        if script.endswith("vllm/entrypoints/openai/api_server.py"):
            return VLLM, rest
        if name == "main.py":
            place = posixpath.join(folder, script).lower()
            own = {word.partition("=")[0] for word in rest} & set(_COMFYUI_ONLY)
            return (COMFYUI, rest) if "comfyui" in place or own else None
    if name in (VLLM, OLLAMA) and rest[:1] == ["serve"]:
        return name, rest[1:]
    if name == "llama-server" or name.startswith("llama-server-"):
        return LLAMA_CPP, rest
    return None


def _module(name: str, rest: list[str]) -> t.Optional[tuple[str, list[str]]]:
    if name == "vllm.entrypoints.openai.api_server":
        return VLLM, rest
    if name in ("vllm", "vllm.entrypoints.cli.main") and rest[:1] == ["serve"]:
        return VLLM, rest[1:]
    return None


def _read(kind: str, words: list[str]) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """What the words say, by role; those that are left; and the names of options that may hold a secret."""
    told: dict[str, list[str]] = {}
    left: list[str] = []
    hidden: list[str] = []
    at = 0
    if kind == VLLM and words and not words[0].startswith("-"):
        told[MODEL] = [words[0]]
        at = 1
    while at < len(words):
        option, equals, value = words[at].partition("=")
        if not option.startswith("-"):
            _keep(words[at], left, hidden)
            at += 1
            continue
        name = option.replace("_", "-") if kind == VLLM else option
        at += 1
        values = [value] if equals else []
        role = _OPTIONS[kind].get(name)
        secret = bool(_SECRET_NAME.search(name.lstrip("-"))) or name == "-hft"
        if not equals and name not in _FLAGS and (role or secret):
            many = kind == VLLM and name in _LISTS
            while at < len(words) and not _is_option(words[at]) and (many or not values):
                values.append(words[at])
                at += 1
        if secret or (role and any(_SECRET_VALUE.search(value) for value in values)):
            hidden.append(name)
        elif role:
            told[role] = values
        else:
            _keep(option + equals + value, left, hidden)
    return told, left, hidden


def _is_option(word: str) -> bool:
    """A negative number is a value."""
    return bool(re.match(r"-(?!\d)", word))


def _keep(word: str, left: list[str], hidden: list[str]) -> None:
    """Keep a word, unless it looks like a secret; then the option before it goes with it."""
    if not _SECRET_VALUE.search(word):
        left.append(word)
        return
    option = word.partition("=")[0]
    if not option.startswith("-"):
        option = left.pop() if left and left[-1].startswith("-") else "an argument"
    hidden.append(option)


def _one(told: t.Mapping[str, t.Sequence[str]], role: str) -> str:
    values = told.get(role) or ("",)
    return values[-1]


def _numbered(text: str) -> tuple[int, ...]:
    """``CUDA0,CUDA2`` of llama.cpp, ``0,2`` of ComfyUI."""
    words = [re.fullmatch(r"(?:CUDA|ROCm)?(\d{1,3})", word.strip()) for word in text.split(",")]
    return tuple(int(word[1]) for word in words if word) if all(words) else ()


def _number(values: t.Optional[t.Sequence[str]]) -> int:
    text = values[-1] if values else ""
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536 else 0
