# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are on a host. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import re

from ansible_collections.rbee.fleet.plugins.module_utils._spec import MODEL, TOOL, Spec

SYSTEM, USER = "system", "user"
UNIT_PREFIX = "rbee-"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders below one prefix (an absolute path)."""

    prefix: str

    def _at(self, *parts: str) -> str:
        return posixpath.join(self.prefix, *parts)

    @property
    def lock(self) -> str:
        return self._at("lock")

    @property
    def journals(self) -> str:
        return self._at("journal")

    @property
    def staging(self) -> str:
        return self._at("staging")

    @property
    def cache(self) -> str:
        return self._at("cache")

    @property
    def brought(self) -> str:
        """What the controller brought and no release has yet."""
        return self._at("cache", "brought")

    @property
    def components(self) -> str:
        return self._at("components")

    @property
    def host_receipt(self) -> str:
        return self._at("host.json")

    def data(self, name: str) -> str:
        return self._at("data", name)

    def releases(self, spec: Spec) -> str:
        """The folder that holds all releases of the component's type (of this model, of this tool)."""
        if spec.kind == MODEL:
            return self._at("models", slug(spec.name))
        if spec.kind == TOOL:
            return self._at("tools", slug(spec.type))
        return self._at("releases", slug(spec.type))

    @property
    def nodes(self) -> str:
        """The folder of the node library as a program, in all versions."""
        return self._at("tools", "rbee-node")

    def node(self, digest: str) -> str:
        """The folder of one of them, by the digest of its sources."""
        return posixpath.join(self.nodes, digest)

    def component(self, name: str) -> str:
        return self._at("components", slug(name))

    def receipt(self, name: str) -> str:
        return posixpath.join(self.component(name), "receipt.json")

    def draining(self, name: str) -> str:
        """Locked while the queen is to send nothing to the component."""
        return posixpath.join(self.component(name), "draining")

    def generations(self, name: str) -> str:
        return posixpath.join(self.component(name), "generations")

    def generation(self, name: str, generation: str) -> str:
        return posixpath.join(self.generations(name), generation)

    def current(self, name: str) -> str:
        return posixpath.join(self.component(name), "current")

    def previous(self, name: str) -> str:
        return posixpath.join(self.component(name), "previous")

    def program(self, name: str, program: str) -> str:
        """A script that runs a program of the component's current generation."""
        return posixpath.join(self.current(name), "bin", program)

    def is_run_by(self, name: str, unit: str) -> bool:
        """Whether a service definition runs the component of this prefix, and not one of the same name elsewhere."""
        return self.component(name) + "/" in unit.replace("%%", "%")

    @property
    def folders(self) -> tuple[str, ...]:
        """What must exist before anything else, parents first."""
        return (
            self.prefix,
            self.journals,
            self.staging,
            self.cache,
            self.components,
            self._at("data"),
            self._at("models"),
            self._at("releases"),
            self._at("tools"),
        )


def slug(name: str) -> str:
    """A name as one path component: ``meta-llama/Llama-3-8b`` becomes ``meta-llama--Llama-3-8b``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name.replace("/", "--")).lstrip(".") or "_"
