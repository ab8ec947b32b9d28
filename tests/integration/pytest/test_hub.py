# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of Hugging Face: the real client against a stand-in for the hub."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tarfile
import threading
import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils import _disk
from ansible_collections.rbee.fleet.plugins.module_utils._hub import fetch_model
from ansible_collections.rbee.fleet.plugins.module_utils._sources import NoSpace, SourceError, Stopped
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Source
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import Model
from ansible_collections.rbee.fleet.plugins.plugin_utils._hub_ask import ask
from ansible_collections.rbee.fleet.plugins.plugin_utils._lockfile import Pin
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import COMMIT, Hub, Repository, blob_id
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
TOKEN = "hf_never_in_a_list_of_processes"

CONFIG, VOCABULARY, WEIGHTS = b'{"model_type": "llama"}', b"a b c\n", os.urandom(3 * MIB)
FILES = {"config.json": CONFIG, "tokenizer/vocabulary.txt": VOCABULARY, "model.safetensors": WEIGHTS}
SOURCE = Source("huggingface", repository="org/model", revision="main")
SETTINGS = ("HF_", "HUGGING", "XDG_CACHE_HOME", "TRANSFORMERS_OFFLINE")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Hub]:
    for name in os.environ:
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    with Hub() as hub:
        hub.repositories["org/model"] = Repository(dict(FILES), frozenset({"model.safetensors"}))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@dataclasses.dataclass
class Place:
    """Where a model is fetched to, and the program that does it, which notes its arguments."""

    hf: pathlib.Path
    arguments: pathlib.Path
    work: pathlib.Path
    folder: pathlib.Path
    count: int = 0

    def fetch(self, source: Source = SOURCE, **options: t.Any) -> dict[str, bytes]:
        """The files that are there afterwards."""
        self.count += 1
        dest = self.folder / str(self.count)
        dest.mkdir()
        fetch_model(str(self.hf), source, str(dest), str(self.work), **options)
        return {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*") if path.is_file()}


@pytest.fixture
def place(huggingface_environment: pathlib.Path, tmp_path: pathlib.Path) -> Place:
    noted = tmp_path / "arguments"
    noted.touch()
    hf = tmp_path / "hf"
    hf.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {shlex.quote(str(noted))}\n'
        f'exec {shlex.quote(str(huggingface_environment))}/bin/hf "$@"\n'
    )
    hf.chmod(0o755)
    models = tmp_path / "models"
    models.mkdir()
    return Place(hf, noted, tmp_path / "cache" / "work", models)


# What arrives


def test_a_commit_of_a_repository_arrives_as_it_is(hub: Hub, place: Place) -> None:
    assert place.fetch(dataclasses.replace(SOURCE, revision=COMMIT)) == FILES


def test_one_file_of_a_repository_arrives_alone(hub: Hub, place: Place) -> None:
    assert place.fetch(dataclasses.replace(SOURCE, name="tokenizer/vocabulary.txt")) == {
        "tokenizer/vocabulary.txt": VOCABULARY
    }
    assert [asked.path for asked in hub.asked] == ["tokenizer/vocabulary.txt"]


def test_the_first_part_of_a_split_model_brings_the_others(hub: Hub, place: Place) -> None:
    parts = {f"q4/m-{number:05}-of-00002.gguf": bytes([number]) for number in (1, 2)}
    hub.repositories["org/model"].files.update(parts)
    assert place.fetch(dataclasses.replace(SOURCE, name="q4/m-00001-of-00002.gguf")) == parts


def test_what_arrives_is_stored_once_for_everybody_to_read_and_nothing_goes_to_the_home_folder(
    hub: Hub, place: Place, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert place.fetch() == FILES
    folder = place.folder / "1"
    weights = os.stat(folder / "model.safetensors")
    assert [path.stat().st_ino for path in place.work.rglob("model.safetensors")] == [weights.st_ino]
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*")} == {
        "config.json": 0o644,
        "model.safetensors": 0o644,
        "tokenizer": 0o755,
        "vocabulary.txt": 0o644,
    }
    assert list(home.iterdir()) == []


def test_progress_counts_bytes_of_all_files(hub: Hub, place: Place) -> None:
    hub.stall["model.safetensors"] = MIB
    said: collections.deque[tuple[str, int, int]] = collections.deque()
    stop = threading.Event()

    def progress(what: str, done: int, total: int) -> None:
        said.append((what, done, total))
        if hub.stalled.is_set() and arrived(place.work) == 2:
            stop.set()

    with pytest.raises(Stopped):
        place.fetch(progress=progress, stop=stop, timeout=300)
    what, done, total = said[-1]
    assert (what, total) == ("fetching org/model", sum(map(len, FILES.values())))
    assert len(CONFIG) + len(VOCABULARY) <= done < total


def arrived(work: pathlib.Path) -> int:
    """How many files the client has and, as it has noted, won't ask for again."""
    return sum(path.stat().st_size > 0 for path in work.rglob("*.metadata"))


# Going on


def test_a_download_that_was_ended_goes_on_where_it_was(hub: Hub, place: Place) -> None:
    weights = os.urandom(24 * MIB)  # the client writes 10 MiB at a time
    hub.repositories["org/model"].files["model.safetensors"] = weights
    hub.stall["model.safetensors"] = 21 * MIB
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        fetching = pool.submit(place.fetch, stop=stop)
        assert hub.stalled.wait(300)
        wait_until(lambda: arrived(place.work) == 2 and in_part(place.work) >= 20 * MIB, 300)
        stop.set()
        with pytest.raises(Stopped):
            fetching.result()
    hub.stall.clear()
    hub.asked.clear()
    assert place.fetch() == {**FILES, "model.safetensors": weights}
    assert [(asked.path, asked.range) for asked in hub.asked] == [("model.safetensors", f"bytes={20 * MIB}-")]


def in_part(work: pathlib.Path) -> int:
    """Bytes of files that have not arrived."""
    return sum(path.stat().st_size for path in work.rglob("*.incomplete"))


def test_files_that_arrived_are_not_asked_for_again(hub: Hub, place: Place) -> None:
    place.fetch()
    hub.asked.clear()
    assert place.fetch() == FILES
    assert hub.asked == []


def test_files_that_a_branch_no_longer_has_do_not_come_along(hub: Hub, place: Place) -> None:
    place.fetch()
    del hub.repositories["org/model"].files["config.json"]
    assert sorted(place.fetch()) == ["model.safetensors", "tokenizer/vocabulary.txt"]


# Verification


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_hub_lists_is_refused_and_fetched_again(hub: Hub, place: Place, path: str) -> None:
    hub.damaged.add(path)
    with pytest.raises(SourceError, match=f"^{path} of org/model is not the expected file: expected digest"):
        place.fetch()
    hub.damaged.clear()
    assert place.fetch() == FILES


def test_a_wrong_digest_in_the_configuration_is_known_before_the_download(hub: Hub, place: Place) -> None:
    with pytest.raises(SourceError, match=r"expected sha256 aaaa"):
        place.fetch(dataclasses.replace(SOURCE, name="model.safetensors", sha256="a" * 64))
    assert hub.asked == []


@pytest.mark.parametrize(("path", "data"), [("model.safetensors", WEIGHTS), ("config.json", CONFIG)])
def test_the_digest_of_the_configuration_is_compared(hub: Hub, place: Place, path: str, data: bytes) -> None:
    right = dataclasses.replace(SOURCE, name=path, sha256=hashlib.sha256(data).hexdigest())
    assert place.fetch(right) == {path: data}
    with pytest.raises(SourceError, match=r"is not the expected file"):
        place.fetch(dataclasses.replace(right, sha256="b" * 64))


def test_a_file_system_without_room_is_known_before_the_download(
    hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_disk, "free_space", lambda _path: 33 * MIB)
    with pytest.raises(NoSpace, match=r"3.0 MiB needed"):
        place.fetch()
    assert hub.asked == []


# The token


def test_a_gated_repository_needs_a_token_which_is_no_argument_and_stays_nowhere(hub: Hub, place: Place) -> None:
    hub.repositories["org/model"].token = TOKEN
    with pytest.raises(
        SourceError, match=r"^org/model is gated: accept its licence on http://.*/org/model, and set hf_token"
    ):
        place.fetch()
    with pytest.raises(SourceError, match=r"^org/model is gated"):
        place.fetch(token="hf_another")
    assert place.fetch(token=TOKEN) == FILES
    everything = [path for path in place.folder.parent.rglob("*") if path.is_file()]
    assert "download org/model" in place.arguments.read_text()
    assert [path for path in everything if TOKEN.encode() in path.read_bytes()] == []


def test_the_token_of_the_host_is_used_where_the_configuration_has_none(
    hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/model"].token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert place.fetch() == FILES


# Failures


def test_an_unknown_repository_is_named(hub: Hub, place: Place) -> None:
    with pytest.raises(SourceError, match=r"^http://.* has no model org/modle that is open to you: correct the name"):
        place.fetch(dataclasses.replace(SOURCE, repository="org/modle"))


def test_an_unknown_revision_is_named(hub: Hub, place: Place) -> None:
    with pytest.raises(SourceError, match=r"^org/model has no revision v9: correct 'revision' in models.conf$"):
        place.fetch(dataclasses.replace(SOURCE, revision="v9"))


def test_an_unknown_file_is_named_with_its_like(hub: Hub, place: Place) -> None:
    with pytest.raises(SourceError, match=r"has no file model.safetensor at revision main; near: model.safetensors"):
        place.fetch(dataclasses.replace(SOURCE, name="model.safetensor"))


def test_a_host_that_is_told_to_be_offline_says_so(hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match=r"^HF_HUB_OFFLINE is set on this host"):
        place.fetch()


def test_a_hub_that_cannot_be_reached_is_named(hub: Hub, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"^http://127.0.0.1:9 cannot be reached: check the network"):
        place.fetch()


# What is here already


def test_a_file_of_an_earlier_revision_is_not_fetched_again(hub: Hub, place: Place) -> None:
    place.fetch()
    known = {hashlib.sha256(WEIGHTS).hexdigest(): str(place.folder / "1" / "model.safetensors")}
    hub.repositories["org/model"].move("d" * 40, {"config.json": b"{}"})
    hub.asked.clear()
    place.work = place.work.with_name("other")
    found = place.fetch(find=lambda sha256: known.get(sha256, ""))
    assert found == {**FILES, "config.json": b"{}"}
    assert {asked.path for asked in hub.asked} == {"config.json", "tokenizer/vocabulary.txt"}


def test_a_file_that_was_damaged_here_is_fetched_again(hub: Hub, place: Place, tmp_path: pathlib.Path) -> None:
    (tmp_path / "damaged").write_bytes(bytes(len(WEIGHTS)))
    assert place.fetch(find=lambda _sha256: str(tmp_path / "damaged")) == FILES


# What the controller asks


def asked(model: Model, token: str = "", **environment: str) -> Pin | str:
    answer = ask([model], token, environment)[model.name]
    return answer if isinstance(answer, Pin) else str(answer)


def test_the_hub_tells_what_a_branch_is(hub: Hub) -> None:
    found = asked(Model("org/model"), HF_ENDPOINT=hub.url + "/")
    assert isinstance(found, Pin)
    assert (found.revision, found.commit, found.files.keys()) == ("main", COMMIT, FILES.keys())
    assert found.files["model.safetensors"] == f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"
    assert found.files["config.json"] == f"git:{blob_id(CONFIG)}"


def test_a_token_is_used_wherever_it_comes_from(hub: Hub) -> None:
    hub.repositories["org/model"].token = TOKEN
    assert isinstance(asked(Model("org/model"), TOKEN, HF_ENDPOINT=hub.url), Pin)
    assert isinstance(asked(Model("org/model"), HF_TOKEN=TOKEN, HF_ENDPOINT=hub.url), Pin)
    assert "does not show org/model without a token" in asked(Model("org/model"), HF_ENDPOINT=hub.url)


def test_a_redirection_is_followed_and_takes_no_token_along(hub: Hub) -> None:
    hub.renamed["org/old"] = hub.url
    assert isinstance(asked(Model("org/old"), TOKEN, HF_ENDPOINT=hub.url), Pin)
    hub.repositories["org/model"].token = TOKEN
    assert "does not show org/old" in asked(Model("org/old"), TOKEN, HF_ENDPOINT=hub.url)


@pytest.mark.parametrize(
    ("model", "environment", "said"),
    [
        (Model("org/model", revision="v9"), {}, "org/model has no revision v9; correct 'revision' in models.conf"),
        (Model("org/other"), {}, "does not show org/other without"),
        (Model("org/model"), {"HF_ENDPOINT": "http://a:b@127.0.0.1:9"}, "***@127.0.0.1:9 cannot be reached"),
        (Model("org/model"), {"HF_ENDPOINT": "file:///etc"}, "expected an http or https URL"),
        (Model("org/model"), {"HF_HUB_OFFLINE": "ON"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_it_does_not_tell_has_a_reason(hub: Hub, model: Model, environment: dict[str, str], said: str) -> None:
    found = asked(model, **{"HF_ENDPOINT": hub.url} | environment)
    assert isinstance(found, str) and said in found


# A whole run


@pytest.fixture
def fleet(huggingface_environment: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A configuration whose prefix is beside it, with the client that is here already."""
    folder = tmp_path / "fleet"
    (folder / "catalog").mkdir(parents=True)
    (folder / "rbee.yml").write_text("plugin: rbee.fleet.hives\n")
    (folder / "rbee.conf").write_text(
        f'[fleet]\nscope = "user"\nprefix = "{tmp_path}/prefix"\nhf_token = "env:THE_TOKEN"\n'
    )
    (folder / "hives.conf").write_text('[[hive]]\nalias = "here"\nhostname = "localhost"\nmodels = ["org/model"]\n')
    with tarfile.open(folder / "client.tar", "w") as archive:
        program = tarfile.TarInfo("bin/hf")
        text = f'#!/bin/sh\nexec {shlex.quote(str(huggingface_environment))}/bin/hf "$@"\n'.encode()
        program.size, program.mode = len(text), 0o755
        archive.addfile(program, io.BytesIO(text))
    sha256 = hashlib.sha256((folder / "client.tar").read_bytes()).hexdigest()
    (folder / "catalog" / "huggingface.toml").write_text(
        'kind = "tool"\nsummary = "hf"\n[[release]]\nversion = "1"\n[release.source.any]\nkind = "archive"\n'
        f'url = "file://{folder}/client.tar"\nsha256 = "{sha256}"\n'
    )
    return folder


PLAYBOOK = """
- hosts: rbee
  gather_facts: false
  tasks:
    - rbee.fleet.components:
        components: "{{ rbee_components | selectattr('kind', 'eq', 'model') }}"
        tools: "{{ rbee_tools }}"
        secrets: "{{ rbee_secrets }}"
        scope: "{{ rbee_fleet.scope }}"
        prefix: "{{ rbee_fleet.prefix }}"
"""


def install(fleet: pathlib.Path) -> subprocess.CompletedProcess[str]:
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_HOME": str(fleet.parent / "ansible"),
        "THE_TOKEN": TOKEN,
    }
    playbook = fleet / "playbook.yml"
    playbook.write_text(PLAYBOOK)
    return subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(fleet / "rbee.yml"), str(playbook), "-vvv"],
        env={**os.environ, **settings},
        cwd=fleet.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_model_that_a_hive_lists_is_installed_once(hub: Hub, fleet: pathlib.Path) -> None:
    hub.repositories["org/model"].token = TOKEN
    first = install(fleet)
    assert first.returncode == 0, first.stdout + first.stderr
    prefix = fleet.parent / "prefix"
    (release,) = (prefix / "models" / "model-org-model").iterdir()
    found = {str(path.relative_to(release)): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    assert found == {**FILES, ".rbee.json": found[".rbee.json"]}
    assert list((prefix / "cache").glob("hub-*")) == []
    assert [path for path in prefix.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in first.stdout + first.stderr

    hub.asked.clear()
    second = install(fleet)
    assert re.search(r"here .* changed=0 .* failed=0", second.stdout)
    assert hub.asked == []


def test_a_model_that_cannot_be_fetched_says_why(hub: Hub, fleet: pathlib.Path) -> None:
    hub.repositories.clear()
    failed = install(fleet)
    assert failed.returncode == 2
    said = " ".join((failed.stdout + failed.stderr).split())
    assert f"model-org-model failed: {hub.url} has no model org/model that is open to you" in said


def test_a_host_whose_python_is_too_old_for_the_client_lacks_such_models_only(hub: Hub, fleet: pathlib.Path) -> None:
    (fleet / "catalog" / "huggingface.toml").write_text(
        'kind = "tool"\nsummary = "hf"\n[[release]]\nversion = "1"\n[release.python]\nrequires = ">=9"\n'
        'requirements = "huggingface-hub==1"\n'
    )
    (fleet / "small.gguf").write_text("weights")
    (fleet / "models.conf").write_text(
        '[[model]]\nname = "org/model"\n[[model]]\nname = "small"\nsource = "file"\npath = "small.gguf"\n'
        f'sha256 = "{hashlib.sha256(b"weights").hexdigest()}"\nhives = ["here"]\n'
    )
    failed = install(fleet)
    assert "model-org-model failed: no Python >=9 on this host" in failed.stdout + failed.stderr
    (small,) = (fleet.parent / "prefix" / "models").glob("*/*/small.gguf")
    assert small.read_text() == "weights"
