# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/reference with antsibull-docs, from what ``ansible-doc`` shows of the plugins, modules and roles."""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
BIN = pathlib.Path(sys.executable).parent


def render(folder: str) -> None:
    """Writes the pages into an empty folder. Raises CalledProcessError."""
    tree = ROOT / ".cache" / "collections"
    link = tree / "ansible_collections" / "rbee" / "fleet"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(tree),
        "LC_ALL": "C.UTF-8",
        "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
    }
    style = ["--use-current", "--output-format", "simplified-rst", "--squash-hierarchy", "--fail-on-error"]
    command = [str(BIN / "antsibull-docs"), "collection", *style, "--dest-dir", folder, "rbee.fleet"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, check=True)


def pages(folder: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.glob("*.rst")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/reference", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a page is not what it would be"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        render(folder)
        fresh, there = pages(pathlib.Path(folder)), pages(REFERENCE)
        stale = sorted(name for name in fresh.keys() | there.keys() if fresh.get(name) != there.get(name))
        if options.check:
            for name in stale:
                sys.stdout.write(f"docs/reference/{name} is out of date: run script/reference\n")
            return int(bool(stale))
        shutil.rmtree(REFERENCE, ignore_errors=True)
        shutil.copytree(folder, REFERENCE)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"reference: {error}")
