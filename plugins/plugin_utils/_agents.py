# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a hive's agent and the queen can be asked from the controller, and what counts as an answer. Pure.

An agent's ``/v1/state`` is what rbee.fleet.components_info returns. Whoever answers may be old, new, or somebody else:
what does not have the shape that is read later, or is not of the hive that was asked, is no answer, and there is a
reason for it.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._spec import BUNDLED, HIVE, QUEEN
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import WILDCARDS
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question
from ansible_collections.rbee.fleet.plugins.plugin_utils._fleet import LOCAL, is_loopback

STATE, HEALTH, INFO = "/v1/state", "/health", "/v1/info"

Specs = t.Iterable[t.Mapping[str, t.Any]]
State = dict[str, t.Any]

_NONE = type(None)
_NUMBER = (int, float)
_HOST: t.Mapping[str, tuple[type, ...]] = {
    "platform": (str,),
    "prefix": (str,),
    "service_manager": (str, _NONE),
    "device_kinds": (list,),
    "busy": (bool, _NONE),
    "holder": (dict, _NONE),
    "reasons": (dict,),
}
_COMPONENT: t.Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "type", "kind", "fleet", "version", "variant"), (str,)),
    **dict.fromkeys(("address", "model", "served_name", "reason", "health"), (str,)),
    "port": (int,),
    "state": (str, _NONE),
    "healthy": (bool, _NONE),
    "pid": (int, _NONE),
    "since": (*_NUMBER, _NONE),
    "restarts": (int, _NONE),
    "auto_start": (bool,),
    "held": (bool,),
    "problems": (list,),
}
_DEVICE: t.Mapping[str, tuple[type, ...]] = {
    "index": (int,),
    "name": (str, _NONE),
    **dict.fromkeys(("memory_total_bytes", "memory_used_bytes"), (int, _NONE)),
    **dict.fromkeys(("utilization_percent", "temperature_celsius"), (*_NUMBER, _NONE)),
    "reasons": (dict,),
    "processes": (list,),
}
_PROCESS: t.Mapping[str, tuple[type, ...]] = {"component": (str,), "memory_bytes": (int, _NONE)}


class Reach(t.NamedTuple):
    """How Ansible reaches a host. port: of ssh, 0 when the inventory names none."""

    hostname: str
    connection: str = ""
    port: int = 0

    @property
    def is_here(self) -> bool:
        """Whether it is the controller itself. A port of its own on loopback may be forwarded to another machine."""
        return self.connection == LOCAL or (is_loopback(self.hostname) and self.port in (0, 22))


def agent_of(specs: Specs, reach: Reach) -> Question | str:
    """How to ask a host's agent, or why it cannot be asked from here."""
    spec = next((spec for spec in specs if spec["kind"] == HIVE), None)
    kinds = {source["kind"] for variant in (spec or {}).get("variants", ()) for source in variant["sources"].values()}
    if kinds and BUNDLED not in kinds:
        return f"its hive, version {spec and spec['version']} of your catalog, is another program, which tells no state"
    return _question(spec, reach, STATE, "agent")


def queen_of(specs: Specs, reach: Reach) -> Question | str:
    """The same for a host's queen."""
    spec = next((spec for spec in specs if spec["kind"] == QUEEN), None)
    return _question(spec, reach, (spec or {}).get("health", {}).get("path") or HEALTH, "queen")


def _question(spec: t.Mapping[str, t.Any] | None, reach: Reach, path: str, who: str) -> Question | str:
    if spec is None:
        return f"no {who} is declared there"
    address = str(spec.get("address", ""))
    if not address:
        return f"no address of its {who} is declared"
    if address in WILDCARDS:
        address = WILDCARDS[address] if reach.is_here else reach.hostname
    elif is_loopback(address) and not reach.is_here:
        return f"its {who} listens on {address} of its own machine only"
    return Question(address, int(spec.get("port", 0)), path)


def state_of(question: Question, answer: Answer, fleet: str, prefix: str) -> tuple[State | None, str]:
    """What an agent said, or why that is no answer. fleet, prefix: those declared for the host that was asked."""
    state, reason = said_by(answer, fleet)
    if state is None:
        return None, reason
    found = state["host"]["prefix"]
    if prefix.startswith("/") and found != prefix:
        return None, f"the agent there looks after {found}, not {prefix}"
    if not any(component["kind"] == HIVE and component["port"] == question.port for component in state["components"]):
        return None, f"the agent there is none of the fleet {fleet}"
    return state, ""


def said_by(answer: Answer, fleet: str) -> tuple[State | None, str]:
    """What an agent said, whoever passed it on, or why that is no answer."""
    said, reason = _json(answer)
    return (None, reason) if said is None else checked(said, fleet)


def health_of(answer: Answer) -> tuple[bool, str]:
    """Whether the queen says that she is ready, or why not."""
    return answer.status == 200, "" if answer.status == 200 else answer.reason or f"answered {answer.status}"


def info_of(answer: Answer) -> tuple[dict[str, t.Any] | None, str]:
    """What the queen says of herself, or why nothing."""
    said, reason = _json(answer)
    if said is None or isinstance(said, dict):
        return said, reason
    return None, "its answer is not of the expected shape"


def checked(said: t.Any, fleet: str) -> tuple[State | None, str]:
    """The part of a host's state that belongs to the fleet, if all of it has the expected shape."""
    if not isinstance(said, dict) or not _fits(said.get("host"), _HOST) or not isinstance(said.get("components"), list):
        return None, "its answer is not of the expected shape"
    if not all(_fits(component, _COMPONENT) for component in said["components"]):
        return None, "a component in its answer is not of the expected shape"
    components = [component for component in said["components"] if component["fleet"] in (fleet, "")]
    state: State = {"host": said["host"], "components": components}
    if "devices" in said:
        devices = said["devices"]
        fit = devices is None or (isinstance(devices, list) and all(map(_is_device, devices)))
        state["devices"] = devices if fit else None
        state["devices_reason"] = str(said.get("devices_reason") or "") if fit else "told in a shape that is not known"
    return state, ""


def _json(answer: Answer) -> tuple[t.Any, str]:
    if not answer.status:
        return None, answer.reason
    if answer.status != 200:
        return None, f"answered {answer.status}"
    try:
        return json.loads(answer.body), ""
    except (ValueError, RecursionError):
        return None, "its answer is no JSON"


def _fits(value: t.Any, shape: t.Mapping[str, tuple[type, ...]]) -> bool:
    """Whether a value is an object that has these keys, with values of these types."""
    if not isinstance(value, dict):
        return False
    return all(
        key in value and isinstance(value[key], kinds) and (bool in kinds or not isinstance(value[key], bool))
        for key, kinds in shape.items()
    )


def _is_device(value: t.Any) -> bool:
    return _fits(value, _DEVICE) and all(_fits(process, _PROCESS) for process in value["processes"])
