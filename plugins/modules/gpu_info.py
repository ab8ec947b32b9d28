#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_info
short_description: The GPUs of a host
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Reads the GPUs of a host, of NVIDIA through the driver's own library (NVML), of AMD and Intel from sysfs. The hive
    agent and M(rbee.fleet.components_info) tell the same.
  - What cannot be read is null with a reason, never a guess. A driver that hangs is given up after O(timeout), and the
    task goes on.
  - The numbers are those of C(gpus) in the configuration of a worker. NVIDIA's GPUs come first, in the order of their
    PCI addresses, then AMD's in the order of ROCm, then Intel's by PCI address. The instances of divided GPUs (MIG)
    come after all of these.
extends_documentation_fragment:
  - rbee.fleet.attributes
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing.
  diff_mode:
    support: N/A
    details:
      - Changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  timeout:
    description:
      - Seconds to wait for the drivers.
      - Where no persistence daemon runs, an answer may take some seconds for each card.
    type: float
    default: 30
notes:
  - Needs Python 3.9 and its standard library on the host, and nothing else.
  - Needs no rights of root. Without them, the memory of a divided GPU is null; that of its instances is not.
seealso:
  - module: rbee.fleet.components_info
"""

EXAMPLES = r"""
- name: Look at the GPUs
  hosts: rbee_hives
  gather_facts: false
  tasks:
    - name: Look
      rbee.fleet.gpu_info:
      register: found

    - name: Fail where a driver is sick
      ansible.builtin.assert:
        that: found.devices_reason == ''
        fail_msg: "{{ found.devices_reason }}"
"""

RETURN = r"""
devices:
  description: Every GPU and every instance of a divided one. Null when they cannot be found out.
  returned: always
  type: list
  elements: dict
  contains:
    index:
      description: Its number on this host.
      type: int
      returned: always
      sample: 0
    vendor:
      description: One of C(nvidia), C(amd), C(intel).
      type: str
      returned: always
      sample: nvidia
    name:
      description: What its driver calls it.
      type: str
      returned: always
      sample: NVIDIA H100 80GB HBM3
    uuid:
      description: Its identity, as the vendor's runtime takes it. Null for what has none, as Intel's.
      type: str
      returned: always
      sample: GPU-8932f937-d72c-4106-c12f-20bd9faed9f6
    pci:
      description: Its address.
      type: str
      returned: always
      sample: "0000:3b:00.0"
    parent:
      description: UUID of the GPU that an instance is a part of; null for a whole one.
      type: str
      returned: always
    divided:
      description: Whether it is divided into instances. It then cannot be used as a whole.
      type: bool
      returned: always
      sample: false
    architecture:
      description: Of its processors, as compilers name it.
      type: str
      returned: always
      sample: sm_90
    driver:
      description: Version of NVIDIA's driver, name of others.
      type: str
      returned: always
      sample: 580.65.06
    memory_kind:
      description: C(dedicated), or C(unified) when it shares the memory of the host.
      type: str
      returned: always
      sample: dedicated
    memory_total_bytes:
      description: Its memory; that of the host when it is unified.
      type: int
      returned: always
      sample: 85520809984
    memory_used_bytes:
      description: What is in use of that.
      type: int
      returned: always
      sample: 1073741824
    utilization_percent:
      description: Share of time in which it was at work.
      type: int
      returned: always
      sample: 37
    temperature_celsius:
      description: Its temperature.
      type: int
      returned: always
      sample: 41
    power_watts:
      description: The power that it draws.
      type: float
      returned: always
      sample: 71.25
    processes:
      description:
        - The processes that compute on it, with C(pid), C(memory_bytes) and C(component), the component of the fleet
          that it belongs to, or nothing.
        - Also empty when they cannot be read; RV(devices[].reasons) tells.
      type: list
      elements: dict
      returned: always
    reasons:
      description: Why something of these is null, by its name.
      type: dict
      returned: always
      sample: {}
devices_reason:
  description: What could not be found out, and why; empty when all is well.
  returned: always
  type: str
  sample: ""
device_kinds:
  description: The kinds of GPU whose driver is loaded, of C(nvidia), C(amd), C(intel), C(vulkan).
  returned: always
  type: list
  elements: str
  sample: [nvidia]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rbee.fleet.plugins.module_utils import _gpu, _gpu_kinds, _gpu_owners, _gpu_probe


def main() -> None:
    module = AnsibleModule(argument_spec=dict(timeout=dict(type="float", default=30)), supports_check_mode=True)
    if module.params["timeout"] <= 0:
        module.fail_json(msg="timeout: expected more than 0 seconds")
    found = _gpu.with_owners(_gpu_probe.probe(module.params["timeout"]), lambda pid: _gpu_owners.owner(pid, {}))
    module.exit_json(changed=False, device_kinds=sorted(_gpu_kinds.kinds()), **_gpu.to_json(found))


if __name__ == "__main__":
    main()
