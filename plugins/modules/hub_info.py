#!/usr/bin/python
# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_info
short_description: Ask Hugging Face, from a host, what the revisions of models are
version_added: 0.1.0
author:
  - rbee.fleet contributors (@rbee-fleet)
description:
  - Finds out which commit a branch is at the moment, and the digest of each file of it, without fetching any.
  - It is how M(rbee.fleet.lock) gets to know that of a controller which cannot reach the hub, when hosts can.
extends_documentation_fragment:
  - rbee.fleet.attributes
  - rbee.fleet.attributes.action
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
  models:
    description: The revision to ask for, by the name of the model (C(organisation/model)).
    type: dict
    required: true
  secrets:
    description:
      - Secrets by name, of which C(hf_token) counts. V(env:NAME) and V(file:PATH) are read on the controller; anything
        else is the value itself.
    type: dict
    default: {}
notes:
  - Without a token, C(HF_TOKEN) of the host counts. C(HF_ENDPOINT), C(HF_HUB_OFFLINE) and proxies are the host's.
  - Needs Python 3.9 and its standard library on the host, and nothing else.
seealso:
  - module: rbee.fleet.lock
"""

EXAMPLES = r"""
- name: Ask what a branch is
  rbee.fleet.hub_info:
    models:
      organisation/model: main
  register: rbee_told
"""

RETURN = r"""
known:
  description:
    - What the hub says, by model. C(sha) is the commit, C(siblings) its files as in the hub's own API.
  returned: success
  type: dict
  sample:
    organisation/model:
      sha: 4f1c0be3a2d94f1c0be3a2d94f1c0be3a2d94f1c
      siblings: [{rfilename: config.json, size: 2, blobId: 9e26dfeeb6e641a33dae4961196235bdb965b21b}]
unknown:
  description: Why the hub does not tell, by model.
  returned: success
  type: dict
  sample: {}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rbee.fleet.plugins.module_utils._hub_info import Unknown, infos
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN, info_of


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            models=dict(type="dict", required=True),
            secrets=dict(type="dict", default={}, no_log=True),
        ),
        supports_check_mode=True,
    )
    wanted = {str(name): str(revision) for name, revision in module.params["models"].items()}
    answers = infos(wanted, str(module.params["secrets"].get(HUB_TOKEN, "")), os.environ)
    module.exit_json(
        changed=False,
        known={name: info_of(*found) for name, found in answers.items() if not isinstance(found, Unknown)},
        unknown={name: str(found) for name, found in answers.items() if isinstance(found, Unknown)},
    )


if __name__ == "__main__":
    main()
