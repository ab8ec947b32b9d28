# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings one release onto the host: fetched, verified and built in a staging folder, then committed by one rename."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _bundle,
    _disk,
    _fetch,
    _hub,
    _models_here,
    _packages,
    _pyenv,
    _store,
    _unpack,
)
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._layout import Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import artefact, environment, model
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Limits, Progress, SourceError
from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, Source, Spec
from ansible_collections.rbee.fleet.plugins.module_utils._supply import Supply
from ansible_collections.rbee.fleet.plugins.module_utils._target import Build, binaries


class Builder:
    """Builds releases; one for a whole apply, used from several threads.

    uv: path of the uv program, asked for only when an environment is built. hub: folder of the client of Hugging Face,
    likewise. hub_token: for that, or empty. supply: what the controller brings. may_install: whether system packages
    may be installed. remember: told which ones were. stop: set when the apply is to end.
    """

    def __init__(
        self,
        layout: Layout,
        uv: t.Callable[[], str],
        hub: t.Callable[[], str],
        hub_token: str,
        supply: Supply,
        may_install: bool,
        remember: t.Callable[[t.Sequence[str]], None],
        stop: threading.Event,
    ) -> None:
        self._layout, self._uv, self._supply, self._stop = layout, uv, supply, stop
        self._hub, self._hub_token = hub, hub_token
        self._may_install, self._remember = may_install, remember

    def build(self, spec: Spec, build: Build, progress: Progress) -> None:
        """Raises SourceError or StoreError; nothing but the staging folder has changed then."""
        staged = _store.staging_folder(self._layout.staging)
        try:
            self._system(build, progress)
            self._fill(staged, spec, build, progress)
            about = {"type": spec.type, "version": spec.version, "variant": build.variant.name}
            _store.write_manifest(staged, {**about, "kind": build.source.kind, "interpreter": build.interpreter})
            _store.commit_tree(staged, build.path)
            if build.source.kind == HUGGINGFACE:
                _store.remove_tree(_hub.work_folder(self._layout.cache, build.source))
        except OSError as error:
            raise _disk.local_error(error, staged) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _fill(self, staged: str, spec: Spec, build: Build, progress: Progress) -> None:
        source = build.source
        if source.kind == "python":
            self._environment(staged, build, progress)
        elif source.kind == "archive":
            for part in (source, *source.also):
                _unpack.unpack(self._artefact(part, progress), staged, part.strip, progress=progress, stop=self._stop)
            if spec.kind == MODEL and source.name and not os.path.isfile(os.path.join(staged, source.name)):
                raise SourceError(f"the archive has no file {source.name}; correct the name in the configuration")
            if source.env:
                self._environment(os.path.join(staged, "env"), build, progress)
        elif source.kind == "file":
            _place(self._artefact(source, progress), os.path.join(staged, source.name))
        elif source.kind == HUGGINGFACE:
            self._model(staged, build, progress)
        elif source.kind == "system-package":
            self._package(staged, source, progress)
        elif source.kind == "bundled":
            path = os.path.join(staged, source.name)
            _store.write_atomic(path, _bundle.build(source.name), 0o755)
        else:
            raise SourceError(f"source kind {source.kind!r} of {spec.type} is not known to this version")

    def _system(self, build: Build, progress: Progress) -> None:
        """What the build takes from the system itself."""
        for soname, packages in build.variant.libraries.items():
            new = _packages.ensure_library(soname, packages, progress, self._stop, self._may_install)
            if new:
                self._remember(new)
        for source in binaries(build.variant):
            found = _packages.ensure_binary(source, progress, self._stop, self._may_install)
            if found.packages:
                self._remember(found.packages)

    def _environment(self, dest: str, build: Build, progress: Progress) -> None:
        if build.source.env is None:
            raise SourceError("a python source needs requirements")
        uv, env, cache = self._uv(), build.source.env, os.path.join(self._layout.cache, "uv")
        brought = self._supply.files(environment(build.source), build.interpreter) if env.requirements.strip() else None
        if brought is None:
            _pyenv.build_env(uv, dest, env, build.interpreter, progress, self._stop, cache)
            return
        with tempfile.TemporaryDirectory(dir=self._layout.staging) as wheels:
            for name, path in brought.items():
                _place(path, os.path.join(wheels, name))
            # uv's cache is of no use later: no other folder will hold these wheels.
            _pyenv.build_env(uv, dest, env, build.interpreter, progress, self._stop, wheels=wheels)

    def _model(self, staged: str, build: Build, progress: Progress) -> None:
        source = build.source
        brought = self._supply.files(model(source))
        if brought is None:
            work = _hub.work_folder(self._layout.cache, source)
            hf = os.path.join(self._hub(), "bin", "hf")
            known = _models_here.by_digest(os.path.dirname(build.path))
            _hub.fetch_model(
                hf,
                source,
                staged,
                work,
                self._hub_token,
                progress,
                self._stop,
                find=lambda sha256: known.get(sha256, ""),
            )
            return
        for name, path in brought.items():
            dest = os.path.join(staged, name)
            os.makedirs(os.path.dirname(dest), exist_ok=True)
            _place(path, dest)

    def _artefact(self, source: Source, progress: Progress) -> str:
        """The path of the verified file."""
        brought = self._supply.files(artefact(source))
        if brought is not None:
            return next(iter(brought.values()))
        url = pathlib.Path(source.path).as_uri() if source.path else source.url
        # Two files of one name may come from two places at once.
        name = source.sha256 or hashlib.sha256(url.encode()).hexdigest()
        dest = os.path.join(self._layout.cache, name)
        _fetch.fetch(url, dest, source.sha256, source.size, Limits(), progress, self._stop, self._layout.cache)
        return dest

    def _package(self, staged: str, source: Source, progress: Progress) -> None:
        found = _packages.ensure_binary(source, progress, self._stop, self._may_install)
        if found.packages:
            self._remember(found.packages)
        os.mkdir(os.path.join(staged, "bin"), 0o755)
        os.symlink(found.path, os.path.join(staged, "bin", source.binary))


def _place(cached: str, dest: str) -> None:
    """A second name for a cached file where the file system allows it: a model is not stored twice."""
    try:
        os.link(cached, dest)
    except OSError:
        shutil.copyfile(cached, dest)
    os.chmod(dest, 0o644)
