# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines for tests: podman containers that boot systemd and run sshd, driven by molecule over ssh.

Everything runs in namespaces of its own (mounts, network, processes) that end with this command, however it ends. What
the machines do can therefore not reach this machine's network, and no container, network, mount or process is left.
For the same reason the machines have no way out: what they install is served to them from ``.cache/machines``. A fleet
may also have this machine in it: what is written to /etc, /opt and /usr/local goes to memory and is gone at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import hashlib
import http.server
import itertools
import os
import pathlib
import platform
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "machines"
ARTEFACTS = CACHE / "artefacts"
BIN = pathlib.Path(sys.executable).parent
RECIPE = ROOT / "tests" / "machines" / "image.sh"
IMAGE = "localhost/rbee-fleet-machine"
PYTHON = "3.11"  # of the image's Debian 12
PORT = 8000  # where artefacts are served, on every address of the private network
MARK = pathlib.Path("/run/rbee-machines")  # on a file system that only the namespaces have
WRITTEN = ("/etc", "/opt", "/usr/local")  # where a local hive and its queen write
LANES = ("1", "2", "3")  # as many runs of a checkout go on at the same time, each in a lane of its own
LANE = os.environ.get("RBEE_MACHINES_LANE", LANES[0])
CGROUP = f"/rbee-machines-{hashlib.sha256(bytes(ROOT)).hexdigest()[:8]}-{LANE}"  # another checkout has another

# Debian's package of every program that is needed
PACKAGES = {
    "crun": "crun",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "netavark": "netavark",
    "nft": "nftables",
    "podman": "podman",
    "ssh": "openssh-client",
    "unshare": "util-linux",
}


class MachinesError(Exception):
    """What went wrong and what to do about it."""


@contextlib.contextmanager
def alone() -> t.Iterator[None]:
    """Waits until no other run of this checkout prepares what all of them use."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "preparing", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def take_lane() -> str:
    """Waits until one of this checkout's lanes is free. It is taken until the last process of the run has ended."""
    while True:
        for lane in LANES:
            lock = os.open(CACHE / f"lane-{lane}", os.O_RDWR | os.O_CREAT, 0o644)
            os.set_inheritable(lock, True)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return lane
        time.sleep(1)


def missing_packages() -> list[str]:
    folders = ["/usr/sbin", "/sbin", "/usr/lib/podman", "/usr/libexec/podman"]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
    return [package for program, package in PACKAGES.items() if not shutil.which(program, path=path)]


def check_machine() -> None:
    if os.geteuid() != 0:
        raise MachinesError("machines that boot systemd need root: run it with sudo")
    missing = missing_packages()
    if missing:
        raise MachinesError(f"missing here: {' '.join(missing)} (names of Debian's packages); install them")


def root_file_system() -> pathlib.Path:
    """The machines' root file system as a tar, built when the recipe is another."""
    key = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12]
    tar = CACHE / f"root-{key}.tar"
    if not tar.exists():
        for old in CACHE.glob("root-*.tar"):
            old.unlink()
        unfinished = tar.with_suffix(".unfinished")
        run("sh", str(RECIPE), str(unfinished))
        unfinished.rename(tar)
    return tar


def provide_artefacts() -> None:
    """Fetches what the machines install, once, checked against the digests that the catalog and the demo name."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    bootstrap = runpy.run_path(str(ROOT / "script" / "bootstrap.py"))
    demo = runpy.run_path(str(ROOT / "script" / "demo.py"))
    wheels = [bootstrap["UV_WHEELS"][platform.machine()], (demo["MODEL_URL"], demo["MODEL_SHA256"])]
    for url, sha256 in wheels:
        file = ARTEFACTS / url.rsplit("/", 1)[1]
        if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            content = bootstrap["download"](url)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise MachinesError(f"{url} does not have the sha256 {sha256}")
            file.write_bytes(content)
    for lock, version in itertools.product(
        ("xllamacpp", "huggingface", "supervisor", "pull"), sorted({PYTHON, own_python()})
    ):
        text = ROOT / "catalog" / "locks" / f"{lock}.txt"
        stamp = ARTEFACTS / f".{lock}-{version}-{hashlib.sha256(text.read_bytes()).hexdigest()[:12]}"
        if not stamp.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            target = ["--only-binary=:all:", "--python-version", version, "--implementation", "cp"]
            for glibc in (36, 35, 34, 31, 28, 17):
                target += ["--platform", f"manylinux_2_{glibc}_{platform.machine()}"]
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
                chosen.write(locked_for(version, text.read_text()))
                chosen.flush()
                run(*pip, *target, "--dest", str(ARTEFACTS), "--requirement", chosen.name)
            stamp.touch()


def locked_for(version: str, lock: str) -> str:
    """What a lock holds for a version of Python; pip itself would go by the Python that it runs on."""
    from pip._vendor.packaging.requirements import Requirement

    wanted = []
    for entry in lock.replace("\\\n", " ").splitlines():
        requirement, _gap, hashes = entry.partition(" --hash")
        if entry.strip() and not entry.startswith("#"):
            marker = Requirement(requirement.strip()).marker
            if marker is None or marker.evaluate({"python_version": version, "python_full_version": f"{version}.0"}):
                wanted.append(f"{requirement.split(';')[0]}{_gap}{hashes}")
    return "\n".join(wanted) + "\n"


def own_python() -> str:
    """Version of the Python that a hive on this machine takes, the system's own where there is one."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return output(shutil.which("python3", path="/usr/bin") or sys.executable, "-c", code).strip()


def run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise MachinesError(f"{command[0]} exited with {done.returncode}")


def output(*command: str) -> str:
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def enter(command: t.Sequence[str]) -> t.NoReturn:
    """Continues as `inside`, in new namespaces. The kernel ends all of their processes when this one ends."""
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    os.execvp("unshare", ["unshare", *namespaces, sys.executable, __file__, "inside", *command])


def inside(command: t.Sequence[str]) -> int:
    """The first process of the namespaces: makes them a place for podman, runs the command and reaps all orphans."""
    make_place()
    import_image()
    serve()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_HOME": f"{MARK}/ansible",
        "MOLECULE_EPHEMERAL_DIRECTORY": f"{MARK}/molecule",
        "CONTAINERS_CONF": str(ROOT / "tests" / "machines" / "containers.conf"),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]),
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),  # the checkout may be another user's
        "RBEE_MACHINES": f"{sys.executable} {__file__}",
        "RBEE_MACHINES_CGROUP": CGROUP,
        "RBEE_MACHINES_IMAGE": IMAGE,
        "RBEE_MACHINES_PORT": str(PORT),
    }
    child = os.posix_spawnp(command[0], list(command), environment)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            ended, status = os.wait()
            if ended == child:
                return os.waitstatus_to_exitcode(status)
    return 128 + signal.SIGINT


def clear_place() -> None:
    """Ends all processes of the namespaces but this one, and removes the machines' control groups."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    remove_groups()


def remove_groups() -> None:
    for folder, _folders, _files in os.walk(f"/sys/fs/cgroup{CGROUP}", topdown=False):
        os.rmdir(folder)


def scenarios(names: t.Sequence[str]) -> int:
    """Runs molecule scenarios one after the other, all of them unless some are named. Returns how many failed."""
    folder = ROOT / "extensions" / "molecule"
    failed = 0
    for name in names or sorted(path.parent.name for path in folder.glob("*/molecule.yml")):
        done = subprocess.run(["molecule", "test", "--scenario-name", name], cwd=ROOT, check=False)
        failed += bool(done.returncode)
        output("podman", "rm", "--force", "--all", "--time=0")
        output("podman", "network", "prune", "--force")
    return failed


def make_place() -> None:
    """Mounts what only these namespaces see: podman starts as after a boot, and writes nothing outside .cache."""
    storage = CACHE / f"storage-{LANE}"
    storage.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    MARK.mkdir()
    keep_writes_in_memory()
    for folder in ("/var/lib/containers", "/etc/containers/networks"):  # podman's
        os.makedirs(folder, exist_ok=True)
    for folder in ("/dev/shm", "/etc/containers/networks"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    run("mount", "--bind", str(storage), "/var/lib/containers")
    # The old /sys shows the interfaces of the network namespace that it was mounted in.
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    remove_groups()  # of a killed run
    run("ip", "link", "set", "lo", "up")


def keep_writes_in_memory() -> None:
    checkout = MARK / "checkout"
    checkout.mkdir()
    run("mount", "--bind", str(ROOT), str(checkout))
    for folder in WRITTEN:
        layers = {name: MARK / "written" / folder.lstrip("/") / name for name in ("upperdir", "workdir")}
        for layer in layers.values():
            layer.mkdir(parents=True)
        options = ",".join([f"lowerdir={folder}", *(f"{name}={layer}" for name, layer in layers.items())])
        run("mount", "-t", "overlay", "overlay", "-o", options, folder)
        if ROOT.is_relative_to(folder):
            run("mount", "--bind", str(checkout), str(ROOT))


def import_image() -> None:
    """Gives podman the root file system as an image; removes machines that a killed run left on disk."""
    os.environ["CONTAINERS_CONF"] = str(ROOT / "tests" / "machines" / "containers.conf")
    tar = root_file_system()
    name = f"{IMAGE}:{tar.stem}"
    output("podman", "rm", "--force", "--all", "--time=0")
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
        output("podman", "image", "prune", "--all", "--force")
        changes = ['CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", "ENV container=podman"]
        output("podman", "import", "--quiet", *(f"--change={change}" for change in changes), str(tar), name)
        run("podman", "tag", name, f"{IMAGE}:latest")


def serve() -> None:
    """Serves the artefacts over HTTP, folder listings included, which uv takes for an index."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: t.Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(ARTEFACTS))
    server = http.server.ThreadingHTTPServer(("", PORT), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def fault(what: str, host: str, peer: str = "") -> None:
    """Breaks or mends a machine.

    cut, heal: its cable. split, join: packets from and to ``peer`` are dropped. seal: it reaches its neighbours only,
    and nothing that is served to machines; join ends that too. freeze, thaw: all its processes. crash: the power
    goes. boot: it comes back. reboot: an orderly restart.
    """
    if not MARK.exists():
        raise MachinesError("faults are only for machines: call this from within script/machines run")
    rules = (
        "table inet fault {{\n"
        " chain in {{ type filter hook input priority 0; ip saddr {0} drop; }}\n"
        " chain out {{ type filter hook output priority 0; ip daddr {0} drop; }}\n"
        "}}\n"
    )
    # Of what it sends here, answers pass, so that ssh does.
    sealed = (
        "table inet fault {{\n"
        " chain out {{ type filter hook output priority 0;"
        " ip daddr {0} tcp flags & (syn | ack) == syn drop; ip daddr {0} meta l4proto != tcp drop; }}\n"
        "}}\n"
    )
    simple = {
        "freeze": ["podman", "pause", host],
        "thaw": ["podman", "unpause", host],
        "crash": ["podman", "kill", "--signal=KILL", host],
        "boot": ["podman", "start", host],
        "reboot": ["podman", "restart", host],
    }
    if what in simple:
        run(*simple[what])
    elif what in ("cut", "heal"):
        run("ip", "link", "set", "dev", cable(host), "down" if what == "cut" else "up")
    elif what in ("split", "seal"):
        nft = ["nsenter", f"--target={process(host)}", "--net", "nft", "-f", "-"]
        text = rules.format(of(peer, "IPAddress")) if what == "split" else sealed.format(of(host, "Gateway"))
        subprocess.run(nft, input=text, text=True, check=True)
    elif what == "join":
        run("nsenter", f"--target={process(host)}", "--net", "nft", "delete", "table", "inet", "fault")
    else:
        raise MachinesError(f"unknown fault {what!r}")


def process(host: str) -> int:
    """The machine's first process, as its number here."""
    number = int(output("podman", "inspect", "--format={{.State.Pid}}", host))
    if not number:
        raise MachinesError(f"{host} is not running")
    return number


def of(host: str, what: str) -> str:
    """What podman says of the machine's network: its ``IPAddress`` or its ``Gateway``, which is this machine."""
    form = "{{range .NetworkSettings.Networks}}{{." + what + "}}{{end}}"
    return output("podman", "inspect", f"--format={form}", host).strip()


def cable(host: str) -> str:
    """The end of the machine's eth0 that is on the bridge here."""
    index = pathlib.Path(f"/proc/{process(host)}/root/sys/class/net/eth0/iflink").read_text().strip()
    for interface in pathlib.Path("/sys/class/net").iterdir():
        with contextlib.suppress(FileNotFoundError):  # one of another machine, just gone
            if (interface / "ifindex").read_text().strip() == index:
                return interface.name
    raise MachinesError(f"the eth0 of {host} has no other end here")


def main() -> int:
    if sys.argv[1:2] == ["scenarios"] and MARK.exists():
        return scenarios(sys.argv[2:])
    if sys.argv[1:2] == ["inside"] and os.getpid() == 1 and not MARK.exists():  # what it ends and mounts is its own
        try:
            return inside(sys.argv[2:])
        finally:
            clear_place()
    parser = argparse.ArgumentParser(prog="script/machines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run a command beside the machines").add_argument("words", nargs=argparse.REMAINDER)
    commands.add_parser("test", help="run molecule scenarios").add_argument("scenarios", nargs="*")
    broken = commands.add_parser("fault", help="break or mend a machine")
    broken.add_argument("what")
    broken.add_argument("host")
    broken.add_argument("peer", nargs="?", default="")
    options = parser.parse_args()
    if options.command == "fault":
        fault(options.what, options.host, options.peer)
        return 0
    check_machine()
    with alone():
        provide_artefacts()
        root_file_system()
    os.environ["RBEE_MACHINES_LANE"] = take_lane()
    enter(options.words if options.command == "run" else [sys.executable, __file__, "scenarios", *options.scenarios])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MachinesError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"machines: {error}\n")
        sys.exit(1)
