# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of the host's service manager."""

from __future__ import annotations

import os

from ansible_collections.rbee.fleet.plugins.module_utils._service import ServiceManager
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._systemd import SystemdManager


def detect(scope: str, prefix: str, environment: str) -> ServiceManager:
    """The service manager of this host: systemd where it runs, else supervisor.

    scope: ``system`` or ``user``. prefix: of the installation. environment: virtual environment that holds supervisor,
    which need not exist until something is started. ServiceError when systemd cannot serve the user.
    """
    # sd_booted(3)
    if os.path.isdir("/run/systemd/system"):
        manager = SystemdManager(scope)
        manager.check()
        return manager
    return SupervisorManager(prefix, environment)
