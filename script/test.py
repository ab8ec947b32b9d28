# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the test tiers one after the other and ends with a table of what ran.

A tier is a list of checks. A check passes, fails, or is skipped with the reason why this machine cannot run it; with
``CI=true`` in the environment a skipped check counts as failed. A pytest check counts each of its tests.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextvars
import ctypes.util
import dataclasses
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
import urllib.error
import urllib.request
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
BIN = pathlib.Path(sys.executable).parent

# ansible-core, its lock under requirements/, and the Python of the controller.
MATRIX = (
    ("core-2.18", "3.11"),
    ("core-2.19", "3.11"),
    ("core-2.20", "3.12"),
    ("core-2.21", "3.12"),
    ("core-2.21", "3.13"),
)
HOST_PYTHONS = ("3.9", "3.10")  # of hosts alone; the rows of the matrix have the newer ones

INSTALLERS = {
    "apt-get": "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends",
    "dnf": "dnf install -q -y",
    "zypper": "zypper --non-interactive install",
    "pacman": "pacman -S --noconfirm",
    "apk": "apk add",
}
# llama.cpp links to it.
LIBGOMP = {"apt-get": "libgomp1", "zypper": "libgomp1", "pacman": "gcc-libs"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AWX = "tests/integration/pytest/test_awx.py"

# How often the tier long repeats what other tiers do a few times.
KILLS, UPGRADES = "300", "10"


@dataclasses.dataclass
class Result:
    """What came of one check: counts of tests, wall time in seconds, and why it was skipped or failed."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.failed:
            return "FAILED"
        return "passed" if self.passed else "skipped"


class Skip(Exception):
    """The machine lacks what a check needs; the text says what."""


class Failure(Exception):
    """A check failed for a reason that its own output does not show."""


Check = t.Callable[[], Result]

# Where the commands of a check write to that runs beside others.
OUTPUT: contextvars.ContextVar[t.IO[str] | None] = contextvars.ContextVar("OUTPUT", default=None)
INSTALLING = threading.Lock()  # package managers refuse to run twice


def environment(**extra: str) -> dict[str, str]:
    """Returns the environment of every command: found collection, own programs first, nothing kept outside .cache/."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    clean.pop("PYTHONDONTWRITEBYTECODE", None)  # half of Ansible's start is compilation without it
    ours = {
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([str(BIN), clean.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
    }
    return {**clean, **ours, **extra}


def execute(
    command: t.Sequence[str], env: t.Mapping[str, str], cwd: pathlib.Path = ROOT
) -> subprocess.CompletedProcess[bytes]:
    out = OUTPUT.get()
    return subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)


def run(*command: str, cwd: pathlib.Path = ROOT, env: t.Mapping[str, str] | None = None) -> None:
    """Runs ``command`` with its output shown, or kept until the check ends. Raises `Failure` when it exits non-zero."""
    done = execute(command, env or environment(), cwd)
    if done.returncode:
        raise Failure(f"{os.path.basename(command[0])} exited with {done.returncode}")


def command_check(name: str, *command: str) -> Check:
    """A check that passes when ``command`` exits with 0."""

    def check() -> Result:
        run(*command)
        return Result(name, passed=1)

    return check


def pytest_result(name: str, report: pathlib.Path) -> Result:
    """Returns the counts of a pytest run from its JUnit report."""
    result = Result(name)
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        count = {key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
        result.failed += count["failures"] + count["errors"]
        result.skipped += count["skipped"]
        result.passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]
    return result


def pytest_check(name: str, python: pathlib.Path, *arguments: str, **extra: str) -> Result:
    """Runs pytest under ``python`` and counts its tests. extra: variables of its environment."""
    report = ROOT / "build" / "junit" / f"{re.sub(r'[^a-z0-9.]+', '-', name.lower())}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    done = execute(command, environment(**extra))
    if done.returncode == 5:
        raise Failure("pytest found no test")
    if not report.exists():
        raise Failure(f"pytest exited with {done.returncode} before it ran a test")
    result = pytest_result(name, report)
    if done.returncode and not result.failed:
        raise Failure(f"pytest exited with {done.returncode}")
    return result


def say(text: str) -> None:
    out = OUTPUT.get() or sys.stdout
    out.write(text)
    out.flush()


def bootstrap(lock: str, python: pathlib.Path) -> pathlib.Path:
    """Returns the interpreter of the environment that ``lock`` and ``python`` make."""
    command = [sys.executable, str(ROOT / "script" / "bootstrap.py"), lock, "--python", str(python)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip())
    return pathlib.Path(done.stdout.strip()) / "bin" / "python"


def interpreters() -> dict[str, pathlib.Path]:
    """Returns the real Python interpreters of this machine by version (``3.12``); a shim that cannot run is none."""
    folders = [pathlib.Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders += [pathlib.Path("/usr/bin"), pathlib.Path("/usr/local/bin")]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    folders += sorted(pyenv.glob("versions/*/bin"), reverse=True)
    folders += sorted(pathlib.Path.home().glob(".local/share/uv/python/*/bin"), reverse=True)
    found: dict[str, pathlib.Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            match = re.fullmatch(r"python(3\.\d+)", path.name)
            if not match or match[1] in found:
                continue
            code = "import os, sys; print('%d.%d' % sys.version_info[:2], os.path.realpath(sys._base_executable))"
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
            version_and_path = done.stdout.strip().split(" ", 1)
            if done.returncode == 0 and version_and_path[0] == match[1]:
                found[match[1]] = pathlib.Path(version_and_path[1])
    return found


def interpreter(version: str) -> pathlib.Path:
    """Returns the interpreter of ``version``. Raises `Skip` when this machine has none."""
    path = interpreters().get(version)
    if path is None:
        raise Skip(f"no Python {version} on this machine")
    return path


def stage(name: str) -> pathlib.Path:
    """Copies what git tracks or would track to a place that ansible-test accepts: no link, no git-ignored folder."""
    stage = ROOT / "build" / name / "ansible_collections" / "rbee" / "fleet"
    shutil.rmtree(stage, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for path in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / path, stage / path
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    subprocess.run(["git", "init", "-q"], cwd=stage, check=True)
    return stage


def provide_get_pip(home: pathlib.Path) -> None:
    """Puts a stand-in where ansible-test keeps the get-pip script, when the host it comes from is out of reach."""
    try:
        with urllib.request.urlopen("https://ci-files.testing.ansible.com/ansible-test/get-pip-25.2.py", timeout=10):
            return
    except (OSError, urllib.error.URLError):
        pass
    import pip

    # Without its metadata, so that the pip which runs does not take this copy for an installed one and remove it.
    package = home / "get-pip"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(pathlib.Path(pip.__file__).parent, package / "pip")
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(package)!r})\n"
        "from pip._internal.cli.main import main\n"
        "unknown = ('--no-setuptools', '--no-wheel')\n"
        "arguments = [argument for argument in sys.argv[1:] if argument not in unknown]\n"
        "sys.exit(main(['install', '--quiet', '--upgrade', '--force-reinstall', *arguments]))\n"
    )
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in ("24_2", "25_2"):
        (cache / f"get_pip_{version}.py").write_text(script, "utf-8")


def newest_row() -> tuple[str, str]:
    """The row of the matrix with the newest ansible-test that the Pythons of this machine allow."""
    found = interpreters()
    return next((row for row in reversed(MATRIX) if row[1] in found), MATRIX[0])


def ansible_test(command: str, *arguments: str) -> None:
    """Runs the newest ansible-test, on a copy and with a home of its own."""
    home = CACHE / f"ansible-test-{command}"
    home.mkdir(parents=True, exist_ok=True)
    provide_get_pip(home)
    inherited = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if "shims" not in folder]
    lock, version = newest_row()
    programs = bootstrap(lock, interpreter(version)).parent
    folders = [str(programs), *(str(path.parent) for path in interpreters().values()), *inherited]
    env = environment(HOME=str(home), PATH=os.pathsep.join(dict.fromkeys(folders)))
    run(
        str(programs / "ansible-test"),
        command,
        *arguments,
        "--color",
        "no",
        cwd=stage(f"ansible-test-{command}"),
        env=env,
    )


def sanity() -> Result:
    ansible_test("sanity", "--local")
    return Result("ansible-test sanity", passed=1)


def ansible_test_units() -> Result:
    """With the Python of ansible-test alone: the tier matrix has the others."""
    ansible_test("units", "--venv", "--python", newest_row()[1])
    return Result("ansible-test units", passed=1)


def unit() -> Result:
    return pytest_check("pytest", BIN / "python", "tests/unit")


def missing_libraries() -> list[str]:
    """The packages that a queen and a llama.cpp worker on this machine lack."""
    missing = [] if shutil.which("haproxy", path=environment()["PATH"]) else ["haproxy"]
    if not ctypes.util.find_library("gomp"):
        missing.append(LIBGOMP.get(package_manager(), "libgomp"))
    return missing


def provide_browser() -> None:
    """Installs Chromium for the tests of the queen's page, which say themselves that they were skipped without it."""
    if any(shutil.which(name, path=environment()["PATH"]) for name in BROWSERS):
        return
    try:
        install(["chromium"])
    except (Failure, Skip) as reason:
        sys.stdout.write(f"No chromium, so the tests of the queen's page are skipped: {reason}\n")


def provide_machines() -> None:
    """Installs what boots machines, and what a queen and a worker on this one need."""
    with INSTALLING:
        install(runpy.run_path(str(ROOT / "script" / "machines.py"))["missing_packages"]() + missing_libraries())


def integration() -> Result:
    install(missing_libraries())
    provide_browser()
    # They often wait for other processes. The tests of a file stay together, since they share what they install.
    workers = ("-n", "6", "--dist", "loadfile", "--no-loadscope-reorder")
    return pytest_check("pytest", BIN / "python", *workers, f"--ignore={AWX}", "tests/integration/pytest")


def awx() -> Result:
    """As AWX runs playbooks, in an environment of its own."""
    install(missing_libraries())
    return pytest_check("awx", BIN / "python", AWX)


def package_manager() -> str:
    """The package manager of this machine, empty when it is none of those we know."""
    return next((name for name in INSTALLERS if shutil.which(name, path=environment()["PATH"])), "")


def install(packages: t.Sequence[str]) -> None:
    """Installs what is missing here with the system's package manager."""
    manager = package_manager()
    if not packages:
        return
    if not manager:
        raise Skip(f"{', '.join(packages)} missing and so is a known package manager ({', '.join(INSTALLERS)})")
    run(*as_root(f"install {', '.join(packages)}"), "sh", "-c", f"{INSTALLERS[manager]} {' '.join(packages)}")


def as_root(purpose: str) -> list[str]:
    """What to put before a command that needs root."""
    if os.geteuid() == 0:
        return []
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        raise Skip(f"neither root nor sudo without a password is there to {purpose}")
    return ["sudo", "-n"]


def kills() -> Result:
    tests = "tests/integration/pytest/test_promises_kill.py"
    return pytest_check("kills", BIN / "python", "-rP", "-k", "random", tests, RBEE_KILLS=KILLS)


def long_tests() -> Result:
    install(missing_libraries())
    provide_browser()
    return pytest_check("long", BIN / "python", "-rP", "-m", "long", "tests/integration/pytest")


def scenario(name: str, **extra: str) -> Check:
    """extra: variables of its environment, which sudo would drop."""

    def check() -> Result:
        provide_machines()
        variables = [f"{key}={value}" for key, value in extra.items()]
        program = [sys.executable, str(ROOT / "script" / "machines.py"), "test", name]
        run(*as_root("boot machines"), "env", *variables, *program)
        return Result(name, passed=1)

    return check


def scenarios() -> list[str]:
    """The names of all, which begin with those that take longest."""
    names = sorted(path.parent.name for path in ROOT.glob("extensions/molecule/*/molecule.yml"))
    return sorted(names, key=lambda name: name not in ("guide", "faults"))


def demo() -> Result:
    script = ROOT / "script" / "demo"
    if not script.exists():
        raise Skip("script/demo does not exist")
    try:
        run(str(script))
        second = subprocess.run([script], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False)
        sys.stdout.write(second.stdout)
        recap = re.findall(r"changed=(\d+)", second.stdout)
        if second.returncode:
            raise Failure(f"the second run exited with {second.returncode}")
        if not recap or any(int(count) for count in recap):
            raise Failure(f"the second run was to report changed=0, found {recap or 'no recap'}")
    finally:
        run(str(script), "--down")
    return Result("demo, twice, then down", passed=1)


def figures(name: str) -> Check:
    def check() -> Result:
        provide_machines()
        program = [sys.executable, str(ROOT / "tests" / "bench" / f"{name}.py")]
        if name == "fleet":
            machines = [sys.executable, str(ROOT / "script" / "machines.py"), "run"]
            program = [*as_root("boot machines"), *machines, *program]
        run(*program)
        return Result(name, passed=1)

    return check


def matrix_row(lock: str, version: str) -> Check:
    name = f"{lock}, Python {version}"

    def check() -> Result:
        return pytest_check(name, bootstrap(lock, interpreter(version)), "tests/unit")

    return check


def host_row(version: str) -> Check:
    name = f"hosts, Python {version}"

    def check() -> Result:
        return pytest_check(name, bootstrap("hosts", interpreter(version)), "tests/unit/plugins/module_utils")

    return check


TIERS: dict[str, dict[str, Check]] = {
    "lint": {
        "ruff format": command_check("ruff format", str(BIN / "ruff"), "format", "--check", "."),
        "ruff check": command_check("ruff check", str(BIN / "ruff"), "check", "."),
        "mypy": command_check("mypy", str(BIN / "mypy")),
        "ansible-lint": command_check("ansible-lint", str(BIN / "ansible-lint"), "--offline", "--nocolor"),
        "antsibull-changelog": command_check("antsibull-changelog", str(BIN / "antsibull-changelog"), "lint"),
        "reference": command_check("reference", sys.executable, str(ROOT / "script" / "reference.py"), "--check"),
        "collection build": command_check(
            "collection build",
            str(BIN / "ansible-galaxy"),
            "collection",
            "build",
            "--force",
            "--output-path",
            str(ROOT / "build"),
        ),
    },
    "unit": {"pytest": unit},
    "sanity": {"ansible-test sanity": sanity, "ansible-test units": ansible_test_units},
    "integration": {"pytest": integration},
    "molecule": {name: scenario(name) for name in scenarios()},
    "demo": {"demo": demo},
    "matrix": {
        **{f"{lock}, Python {version}": matrix_row(lock, version) for lock, version in MATRIX},
        **{f"hosts, Python {version}": host_row(version) for version in HOST_PYTHONS},
        "AWX": awx,
    },
    "long": {
        "kills": kills,
        "pytest": long_tests,
        "rolling": scenario("rolling", RBEE_UPGRADES=UPGRADES),
        **{name: figures(name) for name in ("queen", "fleet", "status")},
    },
}
# Tiers that run together, and how many of their checks at the same time. What takes longest begins.
TOGETHER = (
    (("sanity", "lint", "unit", "matrix"), 2),
    (("integration",), 1),
    (("molecule",), 3),
    (("demo",), 1),
    (("long",), 1),
)
LONG = ("long",)  # run only when they are named; docs/figures.md has what the last run printed


def attempt(tier: str, name: str, check: Check) -> Result:
    """Runs one check and returns its result, whatever happened."""
    say(f"\n== {tier}: {name}\n")
    start = time.monotonic()
    try:
        result = check()
    except Skip as reason:
        fatal = os.environ.get("CI") == "true"
        result = Result(name, failed=int(fatal), skipped=int(not fatal), note=f"this machine cannot run it: {reason}")
    except (Failure, OSError, subprocess.CalledProcessError) as reason:
        result = Result(name, failed=1, note=str(reason))
    result.name = f"{tier}: {name}"
    result.seconds = time.monotonic() - start
    return result


def attempt_all(chosen: t.Collection[str]) -> list[Result]:
    """Runs the checks of the chosen tiers. Returns what came of them in the order of the tiers."""
    results = []
    for tiers, lanes in TOGETHER:
        checks = [(tier, name, check) for tier in tiers if tier in chosen for name, check in TIERS[tier].items()]
        if lanes == 1:
            results += [attempt(*check) for check in checks]
        else:
            with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
                results += pool.map(lambda check: attempt_apart(*check), checks)
    return sorted(results, key=lambda result: list(TIERS).index(result.name.split(":")[0]))


def attempt_apart(tier: str, name: str, check: Check) -> Result:
    """Runs one check beside others; its output comes as a whole when it has ended."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        OUTPUT.set(output)
        result = attempt(tier, name, check)
        output.seek(0)
        sys.stdout.write(output.read())
    sys.stdout.flush()
    return result


def summary(results: t.Sequence[Result]) -> str:
    """Returns the closing table; its last line counts the tests and stands alone."""
    width = max(len(result.name) for result in results)
    lines = ["", f"{'check':{width}}  {'result':7}  {'seconds':>7}  {'tests':>5}"]
    for result in results:
        tests = result.passed + result.failed + result.skipped
        row = f"{result.name:{width}}  {result.verdict:7}  {result.seconds:7.1f}  {tests:5}  {result.note}"
        lines.append(row.rstrip())
    passed, failed, skipped = (
        sum(getattr(result, key) for result in results) for key in ("passed", "failed", "skipped")
    )
    lines += ["", f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")]
    return "\n".join(lines) + "\n"


def main(arguments: t.Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="script/test", description="Run the tests and print what ran.")
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=f"{', '.join(TIERS)} (default: all but long)")
    chosen = parser.parse_args(arguments).tiers or [tier for tier in TIERS if tier not in LONG]
    for tier in chosen:
        if tier not in TIERS:
            parser.error(f"unknown tier {tier!r}, expected one of: {', '.join(TIERS)}")
    installed = []
    if {"integration", "matrix", "demo", "molecule", "long"} & set(chosen):
        installed.append("haproxy (its system user included), libgomp1")
    if "integration" in chosen:
        installed.append("chromium")
    if {"molecule", "long"} & set(chosen):
        installed.append("what boots machines (podman, crun, netavark, iptables, nftables, mmdebstrap)")
    if installed:
        sys.stdout.write(
            f"System-wide this installs {' and '.join(installed)} with the package manager where it is missing, and"
            " leaves it there. All else stays in .cache/ and build/ of the checkout.\n"
        )
    results = attempt_all(chosen)
    sys.stdout.write(summary(results))
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
