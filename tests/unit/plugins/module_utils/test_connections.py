# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.module_utils._connections import established

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0200007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 0 10 -1
   2: 0200007F:1F90 0100007F:C002 06 00000000:00000000 03:00000E1B 00000000     0        0 0 3 0
   3: 0100007F:C001 0200007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 0 10 -1
   4: 0000000000000000FFFF00000200007F:1F90 0000000000000000FFFF00000100007F:C003 01 00000000:00000000 00:00000000
"""


def test_only_open_connections_to_the_port_count():
    assert established(TABLE, 8080) == {"0100007F:C001", "0000000000000000FFFF00000100007F:C003"}


def test_an_empty_table_has_none():
    assert established("", 8080) == frozenset()
