# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent with supervisor as its service manager, whatever this machine has: agent_driver.py TREE ARGUMENTS."""

from __future__ import annotations

import sys

sys.path.insert(0, sys.argv[1])

from ansible_collections.rbee.fleet.plugins.module_utils import _agent, _manager
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager

_manager.detect = lambda _scope, prefix, environment: SupervisorManager(prefix, environment)
sys.exit(_agent.main(sys.argv[2:]))
