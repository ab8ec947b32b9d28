# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``fetch = "controller"``: hosts in network namespaces without a way out get all they need from the controller."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import types
import typing as t
import zipfile

import pytest
from ansible_collections.rbee.fleet.plugins.action.components import ActionModule
from ansible_collections.rbee.fleet.plugins.module_utils import _host, _supply
from ansible_collections.rbee.fleet.plugins.module_utils._apply import Apply
from ansible_collections.rbee.fleet.plugins.module_utils._interpreter import find_interpreter
from ansible_collections.rbee.fleet.plugins.module_utils._layout import USER, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._needs import Item, Need
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Plan
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, quiet
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Health, PythonEnv, Source, Spec, Variant, to_dict
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey
from ansible_collections.rbee.fleet.plugins.module_utils._target import build_of
from ansible_collections.rbee.fleet.plugins.plugin_utils import _collection, _parcels
from ansible_collections.rbee.fleet.plugins.plugin_utils._depot import Depot
from ansible_collections.rbee.fleet.tests.integration.pytest.hub_stand_in import Hub, Repository
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import FLEET, HERE, TREE, Host, free_port
from ansible_collections.rbee.fleet.tests.integration.pytest.test_pyenv import make_wheel

# A network of its own that has nothing but loopback, until its standard input ends.
ISLAND = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo here && exec cat"]

ENGINE = """
import sys
sys.path.insert(0, sys.argv[1] + "/env/lib/python%d.%d/site-packages" % sys.version_info[:2])
import http.server, rbeeprobe, rbeeother

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
"""


class Internet:
    """An HTTP server that only the controller reaches: a package index and files. asked: how often, by path."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.asked = folder, collections.Counter[str]()
        internet = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                internet.asked[self.path] += 1
                super().do_GET()

            def log_message(self, *_arguments: object) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Internet:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def publish(self, name: str, data: bytes) -> Source:
        (self.folder / name).write_bytes(data)
        return Source("file", f"{self.url}/{name}", sha256=hashlib.sha256(data).hexdigest(), size=len(data), name=name)

    def package(self, name: str, requires: str = "") -> str:
        """Publishes a wheel and its metadata, as PyPI does (PEP 503, PEP 658); the line of a lock for it."""
        folder = self.folder / "simple" / name
        folder.mkdir(parents=True)
        digest = make_wheel(folder, name, "1.0", requires)
        file = f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(folder / file) as wheel:
            (folder / f"{file}.metadata").write_bytes(wheel.read(f"{name}-1.0.dist-info/METADATA"))
        (folder / "index.html").write_text(f'<a href="{file}#sha256={digest}" data-core-metadata="true">{file}</a>')
        return f"{name}==1.0 --hash=sha256:{digest}\n"

    def downloads(self) -> dict[str, int]:
        """How often each file was fetched, not counting what tells of them."""
        return {path: count for path, count in self.asked.items() if not path.endswith(("/", ".metadata"))}


class Controller(ActionModule):  # type: ignore[misc]
    """The action plugin, with a host of this machine that cannot reach the internet.

    island: the command before each command of the host. sent: bytes of each copy. cut_after: copies until it is cut.
    """

    def __init__(self, island: list[str], host: Host, **arguments: t.Any) -> None:
        shell = types.SimpleNamespace(tmpdir="", join_path=os.path.join)
        task = types.SimpleNamespace(args=arguments, tags=[], async_val=0, check_mode=False)
        super().__init__(task, types.SimpleNamespace(_shell=shell), None, None, None, None)
        self._tmp = host.artefacts / f"tmp-{time.monotonic_ns()}"
        self.calls: list[dict[str, t.Any]] = []
        self.sent: list[int] = []
        self.cut_after = sys.maxsize
        self._island = island

    def _is_pipelining_enabled(self, *_arguments: t.Any, **_more: t.Any) -> bool:
        return False

    def _execute_module(self, **call: t.Any) -> dict[str, t.Any]:
        self.calls.append(call["module_args"])
        driver = [sys.executable, "-S", str(HERE / "node_driver.py"), str(TREE), "converge"]
        text = json.dumps(call["module_args"])
        done = subprocess.run(
            [*self._island, *driver], input=text, capture_output=True, text=True, cwd="/", check=False
        )
        assert done.stdout, done.stderr
        return {"changed": False, **json.loads(done.stdout)}

    def _make_tmp_path(self, *_arguments: t.Any) -> None:
        self._tmp.mkdir()
        self._connection._shell.tmpdir = str(self._tmp)

    def _transfer_file(self, local_path: str, remote_path: str) -> str:
        if len(self.sent) == self.cut_after:
            raise ConnectionError("cut")
        self.sent.append(os.path.getsize(local_path))
        shutil.copyfile(local_path, remote_path)
        return remote_path

    def _fixup_perms2(self, *_arguments: t.Any, **_more: t.Any) -> None:
        """All is one user's."""

    def _remove_tmp_path(self, *_arguments: t.Any, **_more: t.Any) -> None:
        if self._tmp.is_dir():
            assert list(self._tmp.iterdir()) == []
            self._tmp.rmdir()


class World:
    """One controller and the hosts that it installs."""

    def __init__(
        self, internet: Internet, island: list[str], hf: pathlib.Path, uv: pathlib.Path, cache: pathlib.Path
    ) -> None:
        self.internet, self._island, self.cache = internet, island, cache
        wheel = internet.folder / "uv.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(uv, "uv-1.data/scripts/uv")
        source = dataclasses.replace(internet.publish("uv.whl", wheel.read_bytes()), kind="archive", name="")
        self.tools = {"uv": self._tool("uv", source), "huggingface": self._hf(hf)}

    def _hf(self, hf: pathlib.Path) -> Spec:
        program = self.internet.folder / "hf.zip"
        with zipfile.ZipFile(program, "w") as archive:
            about = zipfile.ZipInfo("bin/hf")
            about.external_attr = 0o755 << 16
            archive.writestr(about, f'#!/bin/sh\nexec {hf}/bin/hf "$@"\n')
        return self._tool(
            "huggingface", dataclasses.replace(self.internet.publish("hf.zip", program.read_bytes()), kind="archive")
        )

    def _tool(self, name: str, source: Source, version: str = "1") -> Spec:
        return Spec(name, name, "tool", FLEET, version, (Variant("default", {"any": source}),))

    def add_python(self, minor: str, program: str) -> None:
        """A stand-in for a Python that is unpacked: it runs one that is here. minor: of its version, as in 3.11."""
        path = self.internet.folder / "python.zip"
        with zipfile.ZipFile(path, "w") as archive:
            about = zipfile.ZipInfo(f"bin/python{minor}")
            about.external_attr = 0o755 << 16
            archive.writestr(about, f'#!/bin/sh\nexec {program} "$@"\n')
        source = dataclasses.replace(self.internet.publish("python.zip", path.read_bytes()), kind="archive", name="")
        self.tools["python"] = self._tool("python", source, f"{minor}.99")

    def worker(self, name: str = "w") -> Spec:
        """An archive and an environment of two packages, both of which it needs to answer."""
        archive = self.internet.folder / "engine.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("engine.py", ENGINE)
        lock = self.internet.package("rbeeprobe", "rbeeother") + self.internet.package("rbeeother")
        source = self.internet.publish("engine.zip", archive.read_bytes())
        source = dataclasses.replace(source, kind="archive", name="", env=PythonEnv(requirements=lock))
        command = ("{python}", "{release}/engine.py", "{release}", "{address}", "{port}")
        where = {"address": "127.0.0.1", "port": free_port(), "health": Health("/health", 60)}
        return Spec(name, "e", "worker", FLEET, "1", (Variant("v", {"any": source}),), command, **where)

    def model(self, source: Source, name: str = "m") -> Spec:
        return Spec(name, "model", "model", FLEET, "1", (Variant("v", {"any": source}),))

    def controller(self, host: Host, *specs: Spec, **options: t.Any) -> Controller:
        tools = {**host.request().tools, **self.tools}
        values = {"fleet": FLEET, "scope": USER, "prefix": str(host.prefix), "fetch": "controller", **options}
        components = [to_dict(spec) for spec in specs]
        return Controller(
            self._island, host, components=components, tools=[to_dict(tool) for tool in tools.values()], **values
        )

    def install(self, host: Host, *specs: Spec, **options: t.Any) -> tuple[dict[str, t.Any], Controller]:
        controller = self.controller(host, *specs, **options)
        return controller.run(task_vars={"inventory_hostname": host.prefix.name}), controller


@pytest.fixture(scope="module")
def island() -> t.Iterator[list[str]]:
    """The beginning of a command that runs where no way leads out."""
    try:
        held = subprocess.Popen(ISLAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("unshare is missing")
    with held:
        if held.stdout is None or held.stdout.readline() != b"here\n":
            pytest.skip("network namespaces need root and the program ip")
        yield ["nsenter", f"--net=/proc/{held.pid}/ns/net"]


@pytest.fixture
def internet(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Internet]:
    folder = tmp_path / "internet"
    folder.mkdir()
    with Internet(folder) as found:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{found.url}/simple/")
        yield found


@pytest.fixture
def world(
    internet: Internet,
    island: list[str],
    huggingface_environment: pathlib.Path,
    uv: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setenv("RBEE_CACHE", str(tmp_path / "cache"))
    return World(internet, island, huggingface_environment, uv, tmp_path / "cache")


@pytest.fixture
def second(host: Host, supervisor_environment: pathlib.Path, tmp_path: pathlib.Path) -> t.Iterator[Host]:
    artefacts = tmp_path / "second"
    artefacts.mkdir()
    found = Host(host.prefix.with_name("q"), artefacts, supervisor_environment)
    yield found
    found.close()


def test_a_host_without_a_way_out_is_installed_and_a_second_run_sends_nothing(host: Host, world: World) -> None:
    worker = world.worker()
    answer, first = world.install(host, worker)
    assert [item["state"] for item in answer["components"]] == ["installed"], answer
    assert [call.keys() & {"take", "supplies"} for call in first.calls] == [set(), {"take"}, {"supplies"}]
    assert world.internet.downloads() == {
        "/uv.whl": 1,
        "/engine.zip": 1,
        "/simple/rbeeprobe/rbeeprobe-1.0-py3-none-any.whl": 1,
        "/simple/rbeeother/rbeeother-1.0-py3-none-any.whl": 1,
    }
    assert os.listdir(host.layout.brought) == []
    answer, again = world.install(host, worker)
    assert ("failed" in answer, answer["changed"], len(again.calls), again.sent) == (False, False, 1, [])


def test_a_python_is_brought_where_the_host_has_none_that_fits(host: Host, world: World) -> None:
    own = find_interpreter(">=3.9")
    minor = own.version.rpartition(".")[0]
    worker = world.worker()
    ((name, source),) = worker.variants[0].sources.items()
    env = dataclasses.replace(source.env or PythonEnv(), requires=f"=={minor}.99")
    variant = dataclasses.replace(worker.variants[0], sources={name: dataclasses.replace(source, env=env)})
    worker = dataclasses.replace(worker, variants=(variant,))
    answer, _controller = world.install(host, worker)
    assert f"no Python =={minor}.99 on this host" in answer["components"][0]["reason"]
    world.add_python(minor, own.path)
    answer, _controller = world.install(host, worker)
    assert [item["state"] for item in answer["components"]] == ["installed"], answer
    assert any(step.startswith("fetch tool python ") for step in answer["host"]["steps"])
    program = pathlib.Path((host.receipt("w") or {})["interpreter"])
    assert program.is_file() and host.prefix / "tools" / "python" in program.parents
    answer, again = world.install(host, worker)
    assert ("failed" in answer, answer["changed"], again.sent) == (False, False, [])


def test_no_way_leads_out_of_such_a_host(internet: Internet, island: list[str]) -> None:
    ask = [sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('{internet.url}')"]
    assert subprocess.run([*island, *ask], capture_output=True, check=False).returncode == 1
    assert subprocess.run(ask, capture_output=True, check=False).returncode == 0


def test_hosts_at_once_share_one_download(host: Host, second: Host, world: World) -> None:
    worker = world.worker()
    other = dataclasses.replace(worker, port=free_port())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = [pool.submit(world.install, host, worker), pool.submit(world.install, second, other)]
        answers = [future.result()[0] for future in both]
    assert [answer["components"][0]["state"] for answer in answers] == ["installed", "installed"]
    assert set(world.internet.downloads().values()) == {1}


def test_a_later_host_needs_no_download_at_all(host: Host, second: Host, world: World) -> None:
    worker = world.worker()
    world.install(host, worker)
    world.internet.asked.clear()
    shutil.rmtree(world.cache / "uv")  # what uv remembers of the index
    answer, _controller = world.install(second, dataclasses.replace(worker, port=free_port()))
    assert [item["state"] for item in answer["components"]] == ["installed"]
    assert world.internet.asked == {}


def test_an_index_that_has_moved_its_files_is_asked_again(host: Host, second: Host, world: World) -> None:
    worker = world.worker()
    world.install(host, worker)
    shutil.rmtree(world.cache / "cache")
    (record,) = (world.cache / "resolved").iterdir()
    record.write_text(record.read_text().replace(world.internet.url, f"{world.internet.url}/old"))
    answer, _controller = world.install(second, dataclasses.replace(worker, port=free_port()))
    assert [item["state"] for item in answer["components"]] == ["installed"]


def test_a_file_of_the_controller_that_is_not_the_declared_one_is_refused(world: World) -> None:
    path = world.cache.parent / "m.gguf"
    path.write_bytes(b"other weights")
    source = Source("file", path=str(path), sha256=hashlib.sha256(b"weights").hexdigest(), name="m.gguf")
    with pytest.raises(SourceError, match=f"has the sha256 {hashlib.sha256(b'other weights').hexdigest()}, expected"):
        Depot(str(world.cache), {}).obtain(Need(source))


def test_a_folder_of_the_controller_is_brought_as_one_archive(world: World) -> None:
    source = Source("file", path=str(_collection.ROOT), sha256=_collection.digest())
    ((item, path),) = Depot(str(world.cache), {}).obtain(Need(source)).items()
    assert (item.sha256, pathlib.Path(path).name) == (source.sha256, source.sha256)
    assert tarfile.is_tarfile(path)


def test_what_is_damaged_in_the_cache_is_fetched_again(host: Host, world: World) -> None:
    source = world.internet.publish("m.gguf", b"weights")
    world.install(host, world.model(source))
    (world.cache / "cache" / source.sha256).write_bytes(b"wrong!!")
    answer, _controller = world.install(host, world.model(source), force=True)
    assert not answer.get("failed")
    assert world.internet.downloads() == {"/m.gguf": 2}
    assert next(host.prefix.glob("models/m/*/m.gguf")).read_bytes() == b"weights"


def test_a_run_that_is_cut_off_leaves_what_had_arrived_to_the_next(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_parcels.pack, "__defaults__", (1,))  # every file travels alone
    models = [world.model(world.internet.publish(f"{name}.gguf", name.encode() * size), name) for name, size in
              (("a", 10), ("b", 20), ("c", 30))]  # fmt: skip
    cut = world.controller(host, *models)
    cut.cut_after = 2
    failed = cut.run(task_vars={"inventory_hostname": "p"})
    assert failed["failed"]
    assert "on the controller: cut" in failed["msg"]
    answer, controller = world.install(host, *models)
    assert [item["state"] for item in answer["components"]] == ["installed"] * 3
    assert (cut.sent, controller.sent) == ([10, 20], [30])


def test_a_model_of_the_hub_is_fetched_once_for_all_hosts(
    host: Host, second: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"config.json": b"{}", "tokenizer/words.txt": b"a b", "model.safetensors": os.urandom(1 << 20)}
    with Hub() as hub:
        hub.repositories["org/m"] = Repository(files, frozenset({"model.safetensors"}), token="hf_secret")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        model = world.model(Source("huggingface", repository="org/m", revision="main"))
        for one in (host, second):
            answer, _controller = world.install(one, model, secrets={"hf_token": "hf_secret"})
            assert not answer.get("failed"), answer
            (tree,) = one.prefix.glob("models/m/*")
            assert {name: (tree / name).read_bytes() for name in files} == files
            assert not (one.prefix / "tools" / "huggingface").exists()
        assert sorted(request.path for request in hub.asked) == sorted(files)


def test_a_missing_system_package_is_named_and_not_installed(tmp_path: pathlib.Path) -> None:
    request, layout = Request(FLEET, fetch="controller"), Layout(str(tmp_path))
    facts = _host.facts(request.scope, sys.executable, {})
    found = Survey(layout, facts, types.SimpleNamespace(), {}, {}, {}, {}, {}, {}, Plan("host"))
    source = Source("system-package", binary="rbee-none", packages={"apt": ["rbee-none"]})
    spec = Spec("q", "q", "queen", FLEET, "1", (Variant("v", {"any": source}),))
    build = build_of(spec, spec.variants[0], source, "", facts, layout)
    (tmp_path / "staging").mkdir()
    with pytest.raises(SourceError, match="install it, as root: apt-get install rbee-none"):
        Apply(request, found, types.SimpleNamespace())._builder.build(spec, build, quiet)


def test_what_arrives_damaged_is_refused(tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(b"wrong")
    prefix = tmp_path / "opt" / "p"
    with pytest.raises(SourceError, match="arrived damaged"):
        _supply.take(str(prefix), {str(copy): hashlib.sha256(b"right").hexdigest()})
    assert os.listdir(Layout(str(prefix)).brought) == []


def test_what_was_damaged_after_it_had_arrived_is_refused(tmp_path: pathlib.Path) -> None:
    layout, part = Layout(str(tmp_path / "p")), Source("file", url="https://example.com/m.gguf")
    item = Item("m.gguf", hashlib.sha256(b"right").hexdigest(), 5)
    (tmp_path / "copy").write_bytes(b"right")
    _supply.take(layout.prefix, {str(tmp_path / "copy"): item.sha256})
    supply = _supply.Supply(layout, "controller", "linux-x86_64", {Need(part).id: [item]})
    assert supply.files(part) == {"m.gguf": os.path.join(layout.brought, item.sha256)}
    pathlib.Path(layout.brought, item.sha256).write_bytes(b"wrong")
    with pytest.raises(SourceError, match="gone or damaged; run again"):
        supply.files(part)
    assert [need.source for need in supply.lacking(part, "")] == [part]


def test_a_file_that_is_not_what_was_declared_reaches_no_host(host: Host, world: World) -> None:
    source = dataclasses.replace(world.internet.publish("m.gguf", b"weights"), sha256="0" * 64)
    controller = world.controller(host, world.model(source))
    failed = controller.run(task_vars={"inventory_hostname": "p"})
    assert failed["failed"]
    assert "is not the expected file" in failed["msg"]
    assert controller.sent == []
