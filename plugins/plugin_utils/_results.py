# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks returned, as plain data, and the file on the controller that a run leaves for programs."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.utils.display import Display
from ansible_collections.rbee.fleet.plugins.module_utils import _store


def plain(value: t.Any) -> t.Any:
    """JSON data without the types that Ansible marks its values with."""
    return json.loads(json.dumps(value, default=str))


def record(display: Display, path: str, document: t.Mapping[str, t.Any]) -> None:
    """Write a result file, readable by its owner alone; its folder is created. Where that fails, there is a warning."""
    path = os.path.abspath(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _store.write_json(path, document, 0o600)
    except OSError as error:
        # The hosts are as they are; a missing file must not hide that.
        display.warning(f"The result file {path} cannot be written: {error.strerror}.")
