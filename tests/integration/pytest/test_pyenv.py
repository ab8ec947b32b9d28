# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building environments with the real uv from wheels made on the spot, without a network."""

from __future__ import annotations

import base64
import hashlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
import zipfile

import pytest
from ansible_collections.rbee.fleet.plugins.module_utils._interpreter import (
    NoInterpreter,
    find_interpreter,
    open_to_services,
)
from ansible_collections.rbee.fleet.plugins.module_utils._processes import exists
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._pyenv import build_env
from ansible_collections.rbee.fleet.plugins.module_utils._sources import SourceError, Stopped
from ansible_collections.rbee.fleet.plugins.module_utils._spec import PythonEnv
from ansible_collections.rbee.fleet.tests.integration.pytest.node_host import wait_until

PYTHON = find_interpreter(">=3.9").path


def make_wheel(folder: pathlib.Path, name: str, version: str, requires: str = "", text: str = "") -> str:
    """A wheel with one module and one console script of its name; returns its digest. text: of the module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text or f"def main():\n    print({name!r}, {version!r})\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = []
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{file},sha256={digest},{len(text)}")
            wheel.writestr(file, text)
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(name="wheels")
def _wheels(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An index that is a folder; uv is kept off the network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    return folder


def output(*argv: str | os.PathLike[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_works_after_its_folder_was_renamed(
    uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    digest = make_wheel(wheels, "rbeeprobe", "1.0")
    staged, final = tmp_path / "staging" / "x", tmp_path / "releases" / "y"
    build_env(str(uv), str(staged), PythonEnv(requirements=f"rbeeprobe==1.0 --hash=sha256:{digest}\n"), PYTHON)
    final.parent.mkdir()
    staged.rename(final)
    (tmp_path / "current").symlink_to(final)
    assert output(final / "bin" / "rbeeprobe") == "rbeeprobe 1.0"
    assert output(tmp_path / "current" / "bin" / "rbeeprobe") == "rbeeprobe 1.0"
    assert output(final / "bin" / "python", "-c", "import sys; print(sys.prefix)") == str(final)
    assert list((tmp_path / "staging").iterdir()) == []


def test_nothing_in_an_environment_is_closed_to_others_or_open_to_writing(
    uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0")
    dest = tmp_path / "env"
    before = os.umask(0o077)
    try:
        build_env(str(uv), str(dest), PythonEnv(requirements="rbeeprobe==1.0\n"), PYTHON, cache=str(tmp_path / "cache"))
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in dest.rglob("*") if not path.is_symlink()}
    assert [path for path, mode in modes.items() if mode & 0o022 or not mode & 0o004] == []


def test_modules_are_compiled_so_that_nothing_is_written_later(
    uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0")
    build_env(str(uv), str(tmp_path / "env"), PythonEnv(requirements="rbeeprobe==1.0\n"), PYTHON)
    assert len(list((tmp_path / "env").rglob("__pycache__/rbeeprobe.*.pyc"))) == 1


def test_what_uv_says_of_its_work_is_progress(uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0")
    said: list[str] = []
    env = PythonEnv(requirements="rbeeprobe==1.0\n")
    build_env(str(uv), str(tmp_path / "env"), env, PYTHON, lambda what, _done, _total: said.append(what))
    assert said[:2] == ["making a virtual environment", "installing 1 Python package"]
    assert any(what.startswith("installing 1 Python package: installed 1 package in ") for what in said)


def test_an_empty_folder_is_filled(uv: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "env").mkdir(mode=0o700)
    build_env(str(uv), str(tmp_path / "env"), PythonEnv(), PYTHON)
    assert (tmp_path / "env" / "pyvenv.cfg").is_file()


def test_a_package_that_is_not_what_the_lock_says_is_refused(
    uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0")
    env = PythonEnv(requirements=f"rbeeprobe==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SourceError, match=r"(?s)[Hh]ash.*distrust the index"):
        build_env(str(uv), str(tmp_path / "env"), env, PYTHON)


def test_with_hashes_every_package_needs_one(uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make_wheel(wheels, "rbeeother", "1.0")
    digest = make_wheel(wheels, "rbeeprobe", "1.0", requires="rbeeother")
    env = PythonEnv(requirements=f"rbeeprobe==1.0 --hash=sha256:{digest}\n")
    with pytest.raises(SourceError, match="rbeeother"):
        build_env(str(uv), str(tmp_path / "env"), env, PYTHON)


def test_an_override_takes_a_dependency_out(uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0", requires="rbeeabsent")
    env = PythonEnv(requirements="rbeeprobe==1.0\n", overrides='rbeeabsent ; sys_platform == "never"\n')
    build_env(str(uv), str(tmp_path / "env"), env, PYTHON)
    assert output(tmp_path / "env" / "bin" / "rbeeprobe") == "rbeeprobe 1.0"


@pytest.mark.parametrize(
    ("said", "used"), [(None, ["--torch-backend", "cpu"]), ("", []), ("cu128", ["--torch-backend", "cu128"])]
)
def test_a_site_says_where_torch_comes_from(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str | None, used: list[str]
) -> None:
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    if said is not None:
        monkeypatch.setenv("UV_TORCH_BACKEND", said)
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\ncase $2 in install) echo "${UV_TORCH_BACKEND-unset} $*" >&2; exit 1;; esac\n')
    uv.chmod(0o755)
    with pytest.raises(SourceError) as failure:
        build_env(str(uv), str(tmp_path / "env"), PythonEnv(requirements="torch==2\n", torch_backend="cpu"), PYTHON)
    words = str(failure.value).splitlines()[0].split()
    assert words[words.index("failed:") + 1] == "unset"
    assert [word for word in words if word in ("--torch-backend", "cpu", "cu128")] == used


def test_a_missing_package_is_named_and_no_credential_of_the_index_is_shown(
    uv: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:topsecret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(SourceError, match="rbeeabsent") as failure:
        build_env(str(uv), str(tmp_path / "env"), PythonEnv(requirements="rbeeabsent==1.0\n"), PYTHON)
    assert "topsecret" not in str(failure.value)


@pytest.mark.parametrize(("said", "used"), [(None, "true"), ("false", "false")])
def test_uv_trusts_the_certificates_of_the_system_unless_told_otherwise(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str | None, used: str
) -> None:
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    if said:
        monkeypatch.setenv("UV_SYSTEM_CERTS", said)
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "certificates of the system: $UV_SYSTEM_CERTS" >&2\nexit 1\n')
    uv.chmod(0o755)
    with pytest.raises(SourceError, match=f"certificates of the system: {used}"):
        build_env(str(uv), str(tmp_path / "env"), PythonEnv(), PYTHON)


def test_a_project_in_the_current_folder_changes_nothing(
    uv: pathlib.Path, wheels: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(wheels, "rbeeprobe", "1.0")
    (tmp_path / "uv.toml").write_text("this is not TOML")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "elsewhere"))
    build_env(str(uv), str(tmp_path / "env"), PythonEnv(requirements="rbeeprobe==1.0\n"), PYTHON)
    assert output(tmp_path / "env" / "bin" / "rbeeprobe") == "rbeeprobe 1.0"


def test_a_stop_ends_a_build_and_all_its_processes(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    slow = tmp_path / "uv"
    slow.write_text(f'#!/bin/sh\ntrap "" TERM\nsleep 600 &\necho $! > {pipe}\nwait\n')
    slow.chmod(0o755)
    stop, pids = threading.Event(), []

    def stop_when_it_runs() -> None:
        pids.append(int(pipe.read_text()))
        stop.set()

    waiter = threading.Thread(target=stop_when_it_runs)
    waiter.start()
    with pytest.raises(Stopped):
        build_env(str(slow), str(tmp_path / "env"), PythonEnv(), PYTHON, stop=stop)
    waiter.join()
    wait_until(lambda: not exists(pids[0]))  # its new parent has to take note of its end


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(SourceError, match=r"sleep took longer than 0\.2 s"):
        run_program(["sleep", "600"], timeout=0.2)


def test_the_lines_of_a_program_are_heard_while_it_runs(tmp_path: pathlib.Path) -> None:
    """It waits for what the listener does."""
    heard: list[str] = []

    def hear(line: str) -> None:
        heard.append(line)
        (tmp_path / "heard").touch()

    script = f"printf 'one\\ntwo\\nhal' >&2; until test -e {tmp_path}/heard; do sleep 0.05; done; echo f >&2"
    done = run_program(["sh", "-c", script], timeout=60, hear=hear)
    assert heard == ["one", "two", "half"]
    assert done.stderr == "one\ntwo\nhalf\n"


def test_a_grandchild_that_keeps_the_output_open_delays_nobody() -> None:
    done = run_program(["sh", "-c", "sleep 600 & echo $!"], timeout=60)
    os.kill(int(done.stdout), signal.SIGKILL)
    assert done.status == 0


def test_the_interpreter_of_a_range_is_real_and_no_virtual_environment() -> None:
    found = find_interpreter(">=3.9", [sys.executable])
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    assert output(found.path, "-c", "import sys; print(sys.prefix == sys.base_prefix)") == "True"
    assert os.path.realpath(found.path) == found.path


def test_a_shim_is_asked_and_not_believed(tmp_path: pathlib.Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    with pytest.raises(NoInterpreter, match="found: none"):
        find_interpreter(">=3.12,<3.13", [str(shim)])


def test_no_interpreter_in_the_range_names_the_range_and_what_there_is() -> None:
    with pytest.raises(NoInterpreter) as failure:
        find_interpreter(">=2.7,<3.0", [sys.executable])
    assert ">=2.7,<3.0" in str(failure.value)
    assert ".".join(map(str, sys.version_info[:3])) in str(failure.value)


def test_an_interpreter_that_services_cannot_reach_is_passed_over(tmp_path: pathlib.Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "python3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert not open_to_services(str(program))
    assert open_to_services("/bin/sh")
