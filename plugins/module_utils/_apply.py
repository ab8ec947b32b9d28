# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the steps of a survey: the host's own first, then every component in a thread of its own.

A component that fails leaves its previous generation running and does not stop the others.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _events,
    _health,
    _host,
    _kept,
    _links,
    _plan,
    _receipts,
    _remove,
    _store,
    _stored,
    _supply,
)
from ansible_collections.rbee.fleet.plugins.module_utils._host_plan import UV
from ansible_collections.rbee.fleet.plugins.module_utils._hub_rules import HUB_TOKEN, HUGGINGFACE
from ansible_collections.rbee.fleet.plugins.module_utils._journal import Journal
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM
from ansible_collections.rbee.fleet.plugins.module_utils._needs import FROM_HOST
from ansible_collections.rbee.fleet.plugins.module_utils._outcomes import describe, explained, outcomes
from ansible_collections.rbee.fleet.plugins.module_utils._placing import HELD
from ansible_collections.rbee.fleet.plugins.module_utils._plan import Plan, Step
from ansible_collections.rbee.fleet.plugins.module_utils._program import run_program
from ansible_collections.rbee.fleet.plugins.module_utils._pyenv import uv_program
from ansible_collections.rbee.fleet.plugins.module_utils._release import Builder
from ansible_collections.rbee.fleet.plugins.module_utils._request import (
    BROKEN,
    FAILED,
    HOST,
    PRESENT,
    ROLLED_BACK,
    STOPPED,
    Outcome,
    Request,
)
from ansible_collections.rbee.fleet.plugins.module_utils._rotation import Rotation, RotationError
from ansible_collections.rbee.fleet.plugins.module_utils._sources import Progress
from ansible_collections.rbee.fleet.plugins.module_utils._spec import Service, Spec, models_of
from ansible_collections.rbee.fleet.plugins.module_utils._supervisor import SupervisorManager
from ansible_collections.rbee.fleet.plugins.module_utils._survey import Survey, supply_of
from ansible_collections.rbee.fleet.plugins.module_utils._target import UNIT, Target, account_of, fill
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import health_url

CHECK_TIMEOUT = 60  # seconds for a component's own check of its configuration
LOG_LINES = 20


class ApplyError(Exception):
    """A step that did not succeed; the message is the reason people read."""

    def __init__(self, message: str, logs: t.Sequence[str] = ()):
        super().__init__(message)
        self.logs = list(logs)


BROKE = (ApplyError, RotationError)  # foreseen, besides what is with a host as a whole


class Apply:
    """One apply. Everything that changes a host goes through here."""

    def __init__(self, request: Request, survey: Survey, journal: Journal):
        self._request, self._survey, self._journal = request, survey, journal
        self._layout, self._manager = survey.layout, survey.manager
        self._stop = threading.Event()
        self._remembering = threading.Lock()
        # A host whose controller fetches for it reaches no repository of packages.
        may_install = request.scope == SYSTEM and request.fetch == FROM_HOST
        self._builder = Builder(
            survey.layout,
            lambda: uv_program(survey.tools[UV].path),
            lambda: survey.tools[HUGGINGFACE].path,
            request.secrets.get(HUB_TOKEN, ""),
            supply_of(survey, request),
            may_install,
            self._remember_packages,
            self._stop,
        )
        self._staged: dict[str, threading.Event] = {name: threading.Event() for name in survey.plans}
        self._ended: dict[str, threading.Event] = {name: threading.Event() for name in survey.plans}
        self._brought: set[str] = set()  # paths of releases
        self.outcomes = outcomes(survey, request)
        self._rotation = Rotation(survey.layout, request.fleet, survey.plans, survey.seen, self.outcomes)

    def run(self) -> list[Outcome]:
        """Take all steps; what became of each component is the answer, never an exception."""
        host = self.outcomes[HOST]
        with self._recorded(host):
            self._prepare(self._survey.host_plan)
        if host.state in BROKEN:
            for name in self._survey.plans:
                self.outcomes[name].state, self.outcomes[name].reason = FAILED, f"the host: {host.reason}"
        else:
            threads = [
                threading.Thread(target=self._component, args=(name,), name=name, daemon=True)
                for name, plan in self._survey.plans.items()
                if plan.steps
            ]
            for name, plan in self._survey.plans.items():
                if not plan.steps:
                    self._staged[name].set()
                    self._ended[name].set()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with self._recorded(host):
                self._finish(host)
        return list(self.outcomes.values())

    # The host

    def _prepare(self, plan: Plan) -> None:
        facts = self._survey.facts
        for step in plan.steps:
            if step.name == _plan.TEARDOWN:
                continue  # the last thing of all
            self._say(HOST, step)
            if step.name == _plan.FOLDERS:
                for folder in self._layout.folders:
                    _store.make_folder(folder)
            elif step.name == _plan.ACCOUNT:
                groups = facts.groups if step.detail == facts.account else ()
                _host.create_account(step.detail, self._layout.prefix, groups)
                _remove.remember(self._layout, account=step.detail)
            elif step.name == _plan.FETCH:
                tool = step.detail.split()[1]
                self._builder.build(self._request.tools[tool], self._survey.tools[tool], self._progress(HOST))
            elif step.name == _plan.KEEP:
                _kept.install(self._layout, self._request.program, facts.python)
            elif step.name == _plan.START and isinstance(self._manager, SupervisorManager):
                self._manager.ensure_running()

    def _finish(self, host: Outcome) -> None:
        if self._survey.staged:
            return  # no receipt names what was brought
        # Not earlier: until every receipt is written, a new release may not be named by any.
        for name, target in self._survey.targets.items():
            outcome = self.outcomes.get(name)  # none where something is wrong that was not asked for
            if outcome and outcome.changed and outcome.state not in BROKEN:
                _remove.prune(self._layout, target.spec)
        if not any(outcome.state in BROKEN for outcome in self.outcomes.values()):
            _remove.prune_cache(self._layout)
            _supply.prune(self._layout, self._request.supplies.values())
        if self._survey.host_plan.has(_plan.TEARDOWN):
            if any(outcome.state in BROKEN for outcome in self.outcomes.values()):
                raise ApplyError("kept, because a component could not be removed")
            for step in self._survey.host_plan.steps:
                self._say(HOST, step)
            host.kept += _remove.tear_down(self._layout, self._manager, self._request.purge)

    def _remember_packages(self, packages: t.Sequence[str]) -> None:
        with self._remembering:
            _remove.remember(self._layout, packages=packages)

    # One component

    def _component(self, name: str) -> None:
        outcome = self.outcomes[name]
        started = time.monotonic()
        with self._recorded(outcome):
            if name not in self._survey.targets:
                self._remove(name, outcome)
            else:
                self._converge(self._survey.targets[name], outcome)
        self._staged[name].set()
        self._ended[name].set()
        self._rotation.finished(name)
        outcome.seconds = round(time.monotonic() - started, 3)
        about = {"state": outcome.state, "reason": outcome.reason, "seconds": outcome.seconds}
        self._journal.write(_events.DONE, component=name, staged=self._survey.staged, **about)

    def _converge(self, target: Target, outcome: Outcome) -> None:
        spec, plan = target.spec, self._survey.plans[target.spec.name]
        for step in plan.steps:
            if step.name not in (_plan.FETCH, _plan.WRITE):
                break
            self._say(spec.name, step)
            if step.name == _plan.FETCH:
                self._builder.build(spec, target.build, self._progress(spec.name))
                self._brought.add(target.build.path)
            else:
                self._write_generation(target)
        self._staged[spec.name].set()
        self._await_others(target)
        seen = self._survey.seen[spec.name]
        # What a run that was cut short has switched to counts as touched by this one.
        touched = seen.current not in ("", (seen.receipt or {}).get("generation", ""))
        with contextlib.ExitStack() as drained:
            try:
                for step in plan.steps:
                    if step.name not in (_plan.FETCH, _plan.WRITE):
                        self._say(spec.name, step)
                        touched = touched or step.name in (_plan.SWITCH, _plan.UNIT)
                        if step.name == _plan.DRAIN:
                            port = (seen.receipt or {}).get("port", 0)
                            drained.enter_context(self._rotation.left(outcome, port, spec.service.drain_timeout))
                        self._take(step, target)
                if plan.has(_plan.START):
                    self._rotation.entered(spec.name)
            except Exception as error:  # pylint: disable=broad-except  # whatever it was, the old generation comes back
                if not touched:
                    raise
                self._roll_back(target, outcome, error)

    def _await_others(self, target: Target) -> None:
        """Wait for what this one needs from its neighbours: its model, and a release that another one brings."""
        spec, build = target.spec, target.build
        for name, plan in self._survey.plans.items():
            if name not in self._survey.targets:
                self._await_removal(name, spec)
                continue
            brings = plan.has(_plan.FETCH) and self._survey.targets[name].build.path == build.path
            if name != spec.name and (name in models_of(spec) or brings):
                if not self._staged[name].is_set():
                    self._say(spec.name, Step(_events.AWAIT, name))
                self._staged[name].wait()
                if build.path not in self._brought if brings else self.outcomes[name].state in BROKEN:
                    raise ApplyError(f"needs {name}, which failed: {self.outcomes[name].reason}")

    def _await_removal(self, name: str, spec: Spec) -> None:
        """Wait for the end of a component that is removed, where it has a port or a GPU that another is to have."""
        receipt = self._survey.receipts[name]
        needs = [f"port {spec.port}"] if spec.port and receipt.get("port") == spec.port else []
        needs += [f"GPU {key}" for key in spec.gpus if key in receipt.get(HELD, ())]
        if needs and self._survey.plans[name].steps:
            self._staged[name].wait()
            if self.outcomes[name].state in BROKEN:
                raise ApplyError(f"needs {needs[0]} of {name}, which stays: {self.outcomes[name].reason}")

    def _take(self, step: Step, target: Target) -> None:
        spec, manager, layout = target.spec, self._manager, self._layout
        name = spec.name
        if step.name == _plan.CHECK:
            self._check(target)
        elif step.name == _plan.SWITCH:
            _store.switch(layout.current(name), os.path.join("generations", target.generation))
        elif step.name == _plan.UNIT:
            manager.install(name, target.unit)
        elif step.name == _plan.ENABLE:
            manager.enable(name)
        elif step.name == _plan.DISABLE:
            manager.disable(name)
        elif step.name == _plan.START:
            manager.start(name)
        elif step.name == _plan.RESTART:
            manager.restart(name)
        elif step.name == _plan.RELOAD:
            manager.reload(name)
        elif step.name == _plan.STOP:
            manager.stop(name)
        elif step.name == _plan.GATE:
            self._gate(name, self._survey.receipts[name], spec.health.timeout)
        elif step.name == _plan.LINK:
            _links.change(self._survey.seen[name].links, target.links, layout.component(name))
        elif step.name == _plan.RECORD:
            self._record(target)

    def _write_generation(self, target: Target) -> None:
        spec, layout = target.spec, self._layout
        account, data = account_of(spec, self._survey.facts.account), layout.data(spec.name)
        owner = _host.account_ids(account)
        _store.make_folder(data, 0o755 if spec.service.privileged else 0o750)  # the agent reads what the last run was
        if not _host.may_write(account, data):
            _host.hand_over(data, account)
        for folder in (layout.component(spec.name), layout.generations(spec.name)):
            _store.make_folder(folder)
        staged = _store.staging_folder(layout.staging)
        for path, content in target.contents.items():
            full = os.path.join(staged, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            mode = 0o640 if content.secret else 0o755 if content.executable else 0o644
            # A secret is readable by root and by the service alone: through its group, so that it cannot rewrite it.
            group = (os.getuid(), owner[1]) if content.secret else None
            _store.write_atomic(full, content.text.encode(), mode, group)
        _store.write_manifest(staged, {"type": spec.type, "generation": target.generation})
        _store.commit_tree(staged, layout.generation(spec.name, target.generation))

    def _check(self, target: Target) -> None:
        folder = os.path.join(self._layout.generation(target.spec.name, target.generation), "files")
        values = {"release": target.build.path, "files": folder, "data": self._layout.data(target.spec.name)}
        command = [fill(word, values) for word in target.spec.check]
        done = run_program(command, CHECK_TIMEOUT, self._stop)
        if done.status:
            lines = done.last_lines(LOG_LINES).splitlines()
            raise ApplyError(f"its configuration is refused by {os.path.basename(command[0])}: {lines[:1]}", lines)

    def _gate(self, name: str, receipt: t.Mapping[str, t.Any], timeout: float) -> None:
        heard = _events.health_of(self._journal.write, name, timeout)
        found = _health.wait_healthy(health_url(receipt), timeout, lambda: self._manager.state(name), self._stop, heard)
        if not found.ok:
            raise ApplyError(f"did not become healthy: {found.detail}", self._manager.logs(name, LOG_LINES))

    def _record(self, target: Target) -> None:
        name, layout = target.spec.name, self._layout
        old = self._survey.seen[name].receipt or {}
        receipt = dict(self._survey.receipts[name])
        receipt.update(time=round(time.time()), controller=self._request.controller, previous=old.get("previous", ""))
        receipt.pop("held", None)
        if self._request.state == STOPPED or (self._request.state == PRESENT and old.get("held")):
            receipt["held"] = True
        if target.has_service and old.get("generation") not in (None, receipt["generation"]):
            receipt["previous"] = old["generation"]
            _store.switch(layout.previous(name), os.path.join("generations", old["generation"]))
        _store.make_folder(layout.component(name))
        _store.write_json(layout.receipt(name), receipt)

    def _roll_back(self, target: Target, outcome: Outcome, error: Exception) -> None:
        """Put back the generation that the receipt knows; without one, leave nothing that would start by itself."""
        name, layout, seen = target.spec.name, self._layout, self._survey.seen[target.spec.name]
        reason, outcome.logs = explained(error, *BROKE), list(getattr(error, "logs", ()))
        receipt = seen.receipt or {}
        known = str(receipt.get("generation", ""))
        if known == target.generation:
            raise error  # it is the good one; what it lacks is not in our hands
        unit = _store.read_text(os.path.join(layout.generation(name, known), UNIT)) if known else None
        self._say(name, Step(_events.ROLL_BACK, f"to {known if unit else 'nothing'}"))
        try:
            if unit:
                self._put_back(target, receipt, unit)
            else:
                self._manager.remove(name)
                _store.remove_tree(layout.current(name))
        except Exception as second:
            raise ApplyError(f"{reason}; going back failed too: {explained(second, *BROKE)}", outcome.logs) from second
        if not unit:
            raise error
        outcome.state, outcome.reason = ROLLED_BACK, reason
        describe(outcome, receipt)

    def _put_back(self, target: Target, receipt: t.Mapping[str, t.Any], unit: str) -> None:
        name = target.spec.name
        _store.switch(self._layout.current(name), os.path.join("generations", receipt["generation"]))
        if self._manager.installed(name) != unit:
            self._manager.install(name, unit)
        if self._survey.seen[name].active or (target.runs and not receipt.get("held")):
            self._manager.restart(name)
            if receipt.get("health"):
                self._gate(name, receipt, receipt.get("health_timeout", target.spec.health.timeout))

    def _remove(self, name: str, outcome: Outcome) -> None:
        receipt = self._survey.seen[name].receipt or {}
        self._await_users(name)
        with contextlib.ExitStack() as drained:
            for step in self._survey.plans[name].steps:
                self._say(name, step)
                if step.name == _plan.DRAIN:
                    drained.enter_context(
                        self._rotation.left(outcome, receipt.get("port", 0), Service.drain_timeout, returns=False)
                    )
                elif step.name == _plan.STOP:
                    self._manager.stop(name)
                elif step.name == _plan.DISABLE:
                    self._manager.disable(name)
                elif step.name == _plan.REMOVE:
                    drained.close()
                    outcome.kept += _remove.remove(self._layout, self._manager, name, receipt, self._request.purge)
                elif step.name == _plan.DISCARD:
                    self._discard(name)

    def _await_users(self, model: str) -> None:
        """Wait for the components that serve a model to be removed, or to serve another one."""
        for user in _receipts.users_of(model, {name: seen.receipt or {} for name, seen in self._survey.seen.items()}):
            self._ended[user].wait()
            if self.outcomes[user].state in BROKEN:
                raise ApplyError(f"kept, because {user}, which serves it, failed: {self.outcomes[user].reason}")

    def _discard(self, name: str) -> None:
        for spec in self._request.specs:
            for variant in spec.variants if spec.name == name else ():
                for source in variant.sources.values():
                    for path in _stored.parts_of(self._layout, source):
                        _store.remove_tree(path)

    # Reporting

    @contextlib.contextmanager
    def _recorded(self, outcome: Outcome) -> t.Iterator[None]:
        """Turn an exception of the block into the outcome's state and reason."""
        try:
            yield
        except Exception as error:  # pylint: disable=broad-except  # one component's fault never ends the others'
            outcome.state, outcome.reason = FAILED, explained(error, *BROKE)
            outcome.logs = outcome.logs or list(getattr(error, "logs", ()))

    def _say(self, name: str, step: Step) -> None:
        _events.say_step(self._journal.write, name, step.name, step.detail)

    def _progress(self, name: str) -> Progress:
        return _events.progress_of(self._journal.write, name)
