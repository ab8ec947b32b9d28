# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's store of what hosts need: fetched once, whatever the number of hosts, verified on every use.

Several processes, one for each host, may use it at once. All of it may be deleted at any time that none does.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import os
import pathlib
import shutil
import sys
import tarfile
import tempfile
import threading
import typing as t
import urllib.parse

from ansible_collections.rbee.fleet.plugins.module_utils import _fetch, _host, _hub, _pyenv, _store
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._interpreter import find_interpreter
from ansible_collections.rbee.fleet.plugins.module_utils._layout import USER, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import ENVIRONMENT, FROM_HOST, Item, Need
from ansible_collections.rbee.fleet.plugins.module_utils._release import Builder
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Progress, SourceError, quiet
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Spec, to_dict
from ansible_collections.rbee.fleet.plugins.module_utils._supply import Supply
from ansible_collections.rbee.fleet.plugins.module_utils._target import build_of, choose
from ansible_collections.rbee.fleet.plugins.plugin_utils import _collection
from ansible_collections.rbee.fleet.plugins.plugin_utils._wheels import (
    Wheel,
    choose_wheels,
    host_tags,
    locked_digests,
    uv_platform,
)

AT_ONCE = 8  # downloads of wheels

Stock = dict[Item, str]
"""The path on the controller of each file of what was asked for."""


def default_folder() -> str:
    """``$RBEE_CACHE``, by default ``~/.cache/rbee``."""
    return os.path.abspath(os.path.expanduser(os.environ.get("RBEE_CACHE") or "~/.cache/rbee"))


class Depot:
    """folder: where everything is kept. tools: specifications of uv and of the client of Hugging Face, by name.

    token: for Hugging Face, empty for none. Methods raise SourceError, StoreError, TargetError or OSError.
    """

    def __init__(self, folder: str, tools: t.Mapping[str, Spec], token: str = "", progress: Progress = quiet) -> None:
        self._layout, self._tools, self._token, self._progress = Layout(folder), tools, token, progress
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for path in (self._layout.cache, self._layout.staging, self._at("resolved"), self._at("locks")):
            _store.make_folder(path)

    def obtain(self, need: Need, anew: bool = False) -> Stock:
        """What the need asks for. anew: ask what a branch of a model repository holds now, also when it was fetched."""
        if need.source.kind == ENVIRONMENT:
            return self._wheels(need)
        if need.source.kind == HUGGINGFACE:
            return self._model(need, anew)
        source = need.source
        if source.path:
            return self._local(source.path, source.sha256)
        name = os.path.basename(urllib.parse.urlsplit(source.url).path)
        return self._artefact(Wheel(name, source.url, source.sha256, source.size))

    @contextlib.contextmanager
    def parcel(self, files: t.Mapping[str, str]) -> t.Iterator[str]:
        """A tar archive of files under other names, while the block runs. files: path by name."""
        with tempfile.NamedTemporaryFile(dir=self._layout.staging, suffix=".tar") as file:
            with tarfile.open(fileobj=file, mode="w:") as archive:
                for name, path in files.items():
                    archive.add(path, name, recursive=False)
            file.flush()
            yield file.name

    def _local(self, path: str, sha256: str) -> Stock:
        if os.path.isdir(path):
            path = self._packed(path)
        if not os.path.isfile(path):
            raise SourceError(f"{path} is not a file on the controller; correct the path in the configuration")
        found = _store.hash_file(path)
        if sha256 and found != sha256:
            raise SourceError(f"{path} has the sha256 {found}, expected is {sha256}; correct one of the two")
        return {Item(os.path.basename(path), found, os.path.getsize(path)): path}

    def _packed(self, folder: str) -> str:
        """The collection in a folder as one archive."""
        with tempfile.NamedTemporaryFile(dir=self._layout.staging, delete=False) as file:
            _collection.write(file.file, pathlib.Path(folder))
        found = self._cached(_store.hash_file(file.name))
        os.replace(file.name, found)
        return found

    def _artefact(self, wanted: Wheel) -> Stock:
        """A file by its URL. ``_fetch`` keeps other processes out and continues what they left unfinished."""
        with tempfile.TemporaryDirectory(dir=self._layout.staging) as folder:
            dest = os.path.join(folder, "file")
            found = _fetch.fetch(
                wanted.url, dest, wanted.sha256, wanted.size, progress=self._progress, cache_dir=self._layout.cache
            )
            if not wanted.sha256:
                os.replace(dest, self._cached(found.sha256))
        return {Item(wanted.name, found.sha256, found.bytes): self._cached(found.sha256)}

    def _wheels(self, need: Need) -> Stock:
        known = self._recorded(need)
        if known is not None:
            with contextlib.suppress(SourceError):  # an index may have moved its files; then it is asked again
                return self._fetch_wheels(known)
        with self._alone(need.id):
            wheels = self._recorded(need)
            if wheels is None or wheels == known:
                wheels = self._resolve(need)
                self._record(need, wheels)
        return self._fetch_wheels(wheels)

    def _fetch_wheels(self, wheels: t.Sequence[Wheel]) -> Stock:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            stocks = list(pool.map(self._artefact, wheels))
        return {item: path for stock in stocks for item, path in stock.items()}

    def _resolve(self, need: Need) -> list[Wheel]:
        env = need.source.env
        if env is None:
            raise SourceError("an environment needs requirements")
        self._progress("choosing Python packages", 0, 0)
        platform = uv_platform(need.platform, need.glibc)
        pylock = _pyenv.resolve(self._uv(), env, need.python, platform, self._at("uv"))
        tags = host_tags(need.platform, need.python, need.glibc)
        return choose_wheels(pylock, tags, locked_digests(env.requirements))

    def _model(self, need: Need, anew: bool) -> Stock:
        with self._alone(need.id):
            known = None if anew else self._recorded(need)
            if known is not None:
                stock = {Item(file.name, file.sha256, file.size): self._cached(file.sha256) for file in known}
                if all(os.path.isfile(path) and _store.hash_file(path) == item.sha256 for item, path in stock.items()):
                    return stock
                # What is damaged here is so there too: they are two names of one file.
                shutil.rmtree(_hub.work_folder(self._layout.cache, need.source), ignore_errors=True)
            stock = self._fetch_model(need)
            self._record(need, [Wheel(item.name, "", item.sha256, item.size) for item in stock])
            return stock

    def _fetch_model(self, need: Need) -> Stock:
        stock = {}
        work = _hub.work_folder(self._layout.cache, need.source)  # stays: a branch that moved shares files with it
        hf = os.path.join(self._tool(HUGGINGFACE), "bin", "hf")
        with tempfile.TemporaryDirectory(dir=self._layout.staging) as folder:
            _hub.fetch_model(hf, need.source, folder, work, self._token, self._progress, find=self._found)
            for where, _folders, names in os.walk(folder):
                for path in (os.path.join(where, name) for name in names):
                    item = Item(os.path.relpath(path, folder), _store.hash_file(path), os.path.getsize(path))
                    os.replace(path, self._cached(item.sha256))
                    stock[item] = self._cached(item.sha256)
        return stock

    def _found(self, sha256: str) -> str:
        path = self._cached(sha256)
        return path if os.path.isfile(path) else ""

    def _uv(self) -> str:
        return _pyenv.uv_program(self._tool("uv"))

    def _tool(self, name: str) -> str:
        """The folder of a tool for this machine, built like those of a host."""
        if name not in self._tools:
            raise SourceError(f"the controller needs {name}: pass the tools that the inventory has (rbee_tools)")
        spec, facts = self._tools[name], _host.facts(USER, sys.executable, {})
        variant, source = choose(spec, facts)
        interpreter = find_interpreter(source.env.requires).path if source.env else ""
        build = build_of(spec, variant, source, interpreter, facts, self._layout)
        supply, stop = Supply(self._layout, FROM_HOST, facts.platform, {}), threading.Event()
        with self._alone(f"tool-{name}"):
            if _store.tree_fault(build.path, deep=True):
                hub = functools.partial(self._tool, HUGGINGFACE)
                builder = Builder(self._layout, self._uv, hub, "", supply, False, lambda _packages: None, stop)
                builder.build(spec, build, self._progress)
        return build.path

    # Files of the store

    def _at(self, *parts: str) -> str:
        return os.path.join(self._layout.prefix, *parts)

    def _cached(self, sha256: str) -> str:
        return os.path.join(self._layout.cache, sha256)

    def _recorded(self, need: Need) -> list[Wheel] | None:
        """What a need came to last time; None when that is not known or not to be read."""
        with contextlib.suppress(_store.StoreError, KeyError, TypeError):
            known = _store.read_json(self._at("resolved", f"{need.id}.json"))
            return [Wheel(**file) for file in known["files"]] if known else None
        return None

    def _record(self, need: Need, files: t.Sequence[Wheel]) -> None:
        about = {"need": to_dict(need), "files": to_dict(files)}
        _store.write_json(self._at("resolved", f"{need.id}.json"), about)

    @contextlib.contextmanager
    def _alone(self, name: str) -> t.Iterator[None]:
        """Keeps the processes of other hosts from doing the same at the same time; they find it done."""
        with open(self._at("locks", name), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
