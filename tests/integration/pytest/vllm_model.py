# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a few kilobytes that vLLM serves with ``--load-format dummy``: it has a shape and a tokenizer, no weights.

Formats: ``config.json`` and ``tokenizer_config.json`` of Hugging Face's transformers, ``tokenizer.json`` of its
tokenizers, here byte-level BPE without merges: a token is a byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import tarfile
import typing as t

BOS, EOS = 256, 257
VOCABULARY = 258
SPECIAL = {BOS: "<s>", EOS: "</s>"}


def config() -> dict[str, t.Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "vocab_size": VOCABULARY,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }


def tokenizer() -> dict[str, t.Any]:
    special = [
        {"id": number, "content": text, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for number, text in SPECIAL.items()
    ]
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": bytewise,
        "decoder": bytewise,
        "model": {"type": "BPE", "vocab": {letter(byte): byte for byte in range(256)}, "merges": []},
    }


def letter(byte: int) -> str:
    """The printable character that byte-level BPE writes for a byte: itself, or the next beyond 255 that is free."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(256 + [other for other in range(256) if other not in printable].index(byte))


def tokenizer_config() -> dict[str, t.Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "model_max_length": 512,
        "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ",
    }


def archive(path: pathlib.Path) -> str:
    """Writes the model as a tar archive and returns its SHA-256."""
    files = {"config.json": config(), "tokenizer.json": tokenizer(), "tokenizer_config.json": tokenizer_config()}
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()
