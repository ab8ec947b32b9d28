# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes that the modules of this collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible's documentation says about each module's behaviour."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change without changing it.
  diff_mode:
    description: Returns the details of what has changed, or would change, with C(--diff).
  idempotent:
    description: A second run with the same arguments changes nothing.
  platform:
    description: The platforms it works on.
"""

    ACTION = r"""
options: {}
attributes:
  action:
    description: Whether an action plugin of the same name does part of the work on the controller.
    support: full
  async:
    description: Whether it can be run with C(async).
    support: none
    details:
      - Long work does not depend on the connection anyway.
"""

    CONTROLLER = r"""
options: {}
attributes:
  action:
    description: Whether an action plugin of the same name does the work on the controller.
    support: full
  async:
    description: Whether it can be run with C(async).
    support: none
"""
