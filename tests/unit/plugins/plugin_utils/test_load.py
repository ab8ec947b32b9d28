# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a configuration folder."""

from __future__ import annotations

import io
import pathlib
import shutil
import tarfile

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _collection
from ansible_collections.rbee.fleet.plugins.plugin_utils._errors import ConfigError
from ansible_collections.rbee.fleet.plugins.plugin_utils._load import load, load_locked

HIVE = '[[hive]]\nalias = "gpu-1"\nhostname = "10.0.0.1"\n'
ENGINE = """kind = "worker"
summary = "An engine of the user"
port = 9100
command = ["{release}/run"]
[[release]]
version = "3"
[release.source.any]
kind = "file"
name = "run"
path = "/srv/run"
"""


PULL = '[pull]\nrepository = "https://git.example.com/fleet.git"\n'


def mistakes(folder: pathlib.Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(str(folder))
    return [str(mistake) for mistake in refused.value.mistakes]


def test_hives_conf_is_all_that_a_folder_needs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_text(HIVE + 'workers = ["llama-cpp"]')
    fleet, catalog = load(str(tmp_path))
    assert fleet.hives[0].workers[0].version == catalog.get("llama-cpp").latest


def test_a_catalog_beside_the_configuration_adds_types(tmp_path: pathlib.Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "my-engine.toml").write_text(ENGINE)
    (tmp_path / "hives.conf").write_text(HIVE + 'workers = ["my-engine"]')
    assert load(str(tmp_path))[0].hives[0].workers[0].port == 9100


def test_mistakes_of_a_catalog_are_told_with_its_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "my-engine.toml").write_text(ENGINE.replace("port = 9100", "prot = 9100"))
    (tmp_path / "hives.conf").write_text(HIVE)
    assert any(mistake.startswith("catalog/my-engine.toml:3: prot: ") for mistake in mistakes(tmp_path))


def test_an_empty_folder_lacks_hives_conf(tmp_path: pathlib.Path) -> None:
    assert mistakes(tmp_path) == ["hives.conf:1: not found; it declares the hives and has to be there"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_bytes(b"\xef\xbb\xbf" + HIVE.encode())
    assert load(str(tmp_path))[0].hives[0].alias == "gpu-1"


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_bytes(HIVE.encode() + b"# caf\xe9\n")
    assert mistakes(tmp_path) == ["hives.conf:4: is not UTF-8, as TOML has to be"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").mkdir()
    assert mistakes(tmp_path) == ["hives.conf:1: cannot be read: Is a directory"]


def test_what_is_temporary_is_not_for_the_lock(tmp_path: pathlib.Path) -> None:
    """Which is in git, where others have no such hive, worker or model."""
    (tmp_path / "hives.conf").write_text(HIVE + 'workers = ["llama-cpp"]')
    (tmp_path / "models.conf").touch()
    wanted = load_locked(str(tmp_path)).wanted
    (tmp_path / ".rbee").mkdir()
    (tmp_path / ".rbee" / "temporary.conf").write_text(
        '[[hive]]\nalias = "gpu-1"\nworkers = [{ type = "vllm", model = "org/m" }]\n[[model]]\nname = "org/m"\n'
    )
    loaded = load_locked(str(tmp_path))
    assert [worker.type for worker in loaded.fleet.hives[0].workers] == ["llama-cpp", "vllm"]
    assert loaded.wanted == wanted
    assert not {"vllm", "huggingface", "org/m"}.intersection(loaded.unlocked)
    (tmp_path / "models.conf").write_text('[[model]]\nname = "org/m"\nhives = ["gpu-1"]\n')
    assert {"huggingface", "org/m"} < set(load_locked(str(tmp_path)).unlocked)


# What a host that pulls gets


def test_a_fleet_that_pulls_brings_this_collection(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hives.conf").write_text(HIVE)
    _fleet, catalog = load(str(tmp_path))
    assert [variant.sources["any"].kind for variant in catalog.get("pull").variants("bundled")] == ["bundled"]
    (tmp_path / "rbee.conf").write_text(PULL)
    _fleet, catalog = load(str(tmp_path))
    (variant,) = catalog.get("pull").variants("bundled")
    source = variant.sources["any"]
    assert (source.kind, source.path) == ("archive", str(_collection.ROOT))
    assert source.sha256 == _collection.digest() and source.env and "ansible-core==" in source.env.requirements


def test_the_collection_is_the_same_wherever_it_lies(tmp_path: pathlib.Path) -> None:
    """A host that pulls computes from what was unpacked there what its controller computed from a clone."""
    packed = io.BytesIO()
    _collection.write(packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(tmp_path)
    place = tmp_path / "ansible_collections" / "rbee" / "fleet"
    assert {path.name for path in place.iterdir()} == {"catalog", "meta", "playbooks", "plugins", "roles"}
    (place / "MANIFEST.json").touch()
    (place / "plugins" / "modules" / "__pycache__").mkdir()
    (place / "plugins" / "modules" / "__pycache__" / "x.pyc").touch()
    (place / "plugins" / "modules" / "config.py").chmod(0o700)
    assert _collection.digest(place) == _collection.digest()
    shutil.copy(place / "catalog" / "queen.toml", place / "catalog" / "other.toml")
    assert _collection.digest(place) != _collection.digest()
