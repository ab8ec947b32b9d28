# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model somebody wants to talk to, and what there is to say where nobody serves it. Pure."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils._sources import human
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import HELD, IDLE
from ansible_collections.rbee.fleet.plugins.plugin_utils import _agents, _fleet
from ansible_collections.rbee.fleet.plugins.plugin_utils._ask import Answer, Question
from ansible_collections.rbee.fleet.plugins.plugin_utils._catalog import Catalog
from ansible_collections.rbee.fleet.plugins.plugin_utils._fitting import Needed, Place
from ansible_collections.rbee.fleet.plugins.plugin_utils._schema import suggestion
from ansible_collections.rbee.fleet.plugins.plugin_utils._worker_specs import serves

MODELS, LOAD = "/v1/models", "/v1/load"
NAMES = ("prompt", "model", "system", "max_tokens", "temperature", "file", "rbee_serve", "rbee_result_file")
"""The variables of the playbook."""


class ChatError(Exception):
    """Nobody can be asked; the message says why, and what to do."""


def check(prompt: str, max_tokens: t.Any, temperature: t.Any) -> None:
    """Before anything is brought for it. Raises ChatError for what cannot be asked."""
    if not prompt.strip():
        raise ChatError("-e prompt: missing; for example -e \"prompt='What is a hive?'\"")
    for name, value, kind, expected in (
        ("max_tokens", max_tokens, int, "a whole number"),
        ("temperature", temperature, float, "a number"),
    ):
        try:
            kind(str(0 if value in (None, "") else value))
        except ValueError:
            raise ChatError(f"-e {name}: expected {expected}, not {str(value)!r}") from None


def served_of(queen: Question, answer: Answer) -> list[str]:
    """The models that the queen lists. Raises ChatError."""
    if not answer.status:
        raise ChatError(
            f"the queen does not answer: {answer.reason}; see rbee.fleet.status, and rbee.fleet.install or start"
        )
    if answer.status == 401:
        raise ChatError(f"the queen at {queen.where} knows another key than the one that api_key in rbee.conf leads to")
    try:
        return [str(model["id"]) for model in json.loads(answer.body)["data"]]
    except (ValueError, KeyError, TypeError):
        raise ChatError(f"what answers at {queen.where} is no queen: status {answer.status}") from None


def is_up(model: str, answer: Answer) -> bool:
    """Whether a worker that serves it is up, by the queen's load. Where she does not tell, the request will."""
    try:
        found = [one["up"] for one in json.loads(answer.body)["models"] if one["id"] == model]
    except (ValueError, KeyError, TypeError):
        return True
    return any(found) or not found


def check_held(model: str, states: t.Mapping[str, _agents.State]) -> None:
    """Raises ChatError where somebody has stopped what serves a model. states: what each hive's agent says."""
    held = [
        (hive, str(component["name"]))
        for hive, state in sorted(states.items())
        for component in state["components"]
        if component["state"] == HELD and model in (component["served_name"], *component.get("models", ()))
    ]
    if held:
        where = " and ".join(f"{worker} of {hive}" for hive, worker in held)
        hive, worker = held[0]
        start = f"ansible-playbook rbee.fleet.start --limit {hive} -e rbee_only={worker}"
        raise ChatError(f"{model} is served by {where}, which was stopped and stays so until it is started: {start}")


def serving(
    model: str, fleet: _fleet.Fleet, catalog: Catalog, states: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """The temporary worker that was to serve the model, in variables of a one-off; none where there is none.

    states: by hive, what its agent says. A worker that was given no model, and is idle since its build cannot serve
    several, is none that was to. Raises ChatError where the files declare one.
    """
    found = [
        (hive, worker)
        for hive in fleet.hives
        for worker in hive.workers
        if model in serves(fleet, hive, worker, catalog)
        if worker.model or not _is_idle(worker.name, states.get(hive.alias))
    ]
    for hive, worker in found:
        if worker.temporary:
            return {"hive": hive.alias, "type": worker.type, "name": worker.name}
    if found:
        where = " and ".join(f"{worker.name} of {hive.alias}" for hive, worker in found)
        raise ChatError(f"{model} is declared to be served by {where}, and is not; see rbee.fleet.status and install")
    return {}


def _is_idle(worker: str, state: t.Mapping[str, t.Any] | None) -> bool:
    return any(one["name"] == worker and one["state"] == IDLE for one in (state or {}).get("components", ()))


def chosen(wanted: str, served: t.Sequence[str]) -> str:
    """The model that is meant. Raises ChatError where none is named and there is not exactly one."""
    if wanted or len(served) == 1:
        return wanted or served[0]
    if not served:
        raise ChatError("nobody serves a model yet; name one with -e model=NAME, and it is brought to a hive")
    raise ChatError(f"several models are served; name one with -e model=NAME: {', '.join(served)}")


def check_serve(name: str, served: t.Sequence[str], serve: bool) -> None:
    """Raises ChatError where nobody serves the model, and it is not to be brought."""
    if not serve:
        raise ChatError(f"nobody serves {name}, and rbee_serve=false says not to bring it; {_now(served)}")


def _now(served: t.Sequence[str]) -> str:
    return f"served are {', '.join(served)}" if served else "no model is served"


def model_keys(name: str, file: str, fleet: _fleet.Fleet, served: t.Sequence[str]) -> dict[str, str] | None:
    """What declares the model, None where it is declared. Raises ChatError where it is unknown.

    file: of the repository, which was named beside it.
    """
    declared = [model.name for model in fleet.models]
    if name in declared:
        if file:
            raise ChatError(f"{name} is declared, and models.conf says which file it is; leave file out")
        return None
    if "/" not in name:
        near = suggestion(name, {*declared, *served})
        raise ChatError(f"no model {name}; {near} A repository of Hugging Face is named organisation/model")
    return {"source": "huggingface", **({"file": file} if file else {})}


def announcement(needed: Needed, place: Place, check: bool) -> list[str]:
    """What people read before it begins."""
    size = human(needed.bytes) if needed.bytes else "of unknown size"
    first = "It is there already" if place.there else f"It is downloaded first, {size}"
    serves = "would serve" if check else "serves"
    worker = f"the temporary worker {place.worker} ({place.type}, port {place.port}) {serves} it"
    return [
        f"Nobody serves {needed.name} yet. It {'would go' if check else 'goes'} to {place.hive}: {place.room}.",
        f"{first}; {worker}.",
        f"To remove it: ansible-playbook rbee.fleet.remove_worker -e hive={place.hive} -e worker={place.worker}",
    ]


def nowhere(needed: Needed, unfit: t.Mapping[str, str]) -> str:
    """Why no hive can serve it."""
    size = human(needed.bytes) if needed.bytes else "size unknown"
    why = [f"{hive}: {reason}" for hive, reason in sorted(unfit.items())] or ["there is no hive"]
    return f"{needed.name} ({needed.format or 'of no known format'}, {size}) fits on no hive. " + ". ".join(why)
