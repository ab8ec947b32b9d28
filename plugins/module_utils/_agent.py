# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rbee-hive agent: looks after the components of one machine, over HTTP and on the command line.

Exit status: 0 done; 1 it failed, or something here is not well; 2 it cannot be done as asked, nothing was changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import json
import os
import platform
import sys
import typing as t

from ansible_collections.rbee.fleet.plugins.module_utils import (
    _agent_http,
    _agent_text,
    _converge,
    _gpu_probe,
    _needs,
    _request,
    _store,
    _supply,
)
from ansible_collections.rbee.fleet.plugins.module_utils._agent_request import (
    CATALOG,
    AgentError,
    Hive,
    install_worker,
    refuse_change,
    remove_worker,
    start_or_stop,
)
from ansible_collections.rbee.fleet.plugins.module_utils._drain import Questions
from ansible_collections.rbee.fleet.plugins.module_utils._layout import SYSTEM, Layout
from ansible_collections.rbee.fleet.plugins.module_utils._observed import Trees, observe
from ansible_collections.rbee.fleet.plugins.module_utils._receipts import receipts_on
from ansible_collections.rbee.fleet.plugins.module_utils._request import Request
from ansible_collections.rbee.fleet.plugins.module_utils._spec import HIVE, SpecError
from ansible_collections.rbee.fleet.plugins.module_utils._verdict import is_well

PROGRAM = "rbee-hive"
WAIT = 2.0  # seconds between two reports of a run at work
FILES_FRESH = 60.0  # seconds for which the server trusts its last look at installed files


def main(arguments: t.Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except AgentError as error:
        return _fail(str(error), 2)
    except (SpecError, _converge.ConvergeError, _store.StoreError) as error:
        return _fail(str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python writes when it ends
        return 1
    except OSError as error:
        return _fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; a run that was started goes on by itself", 1)
    except Exception as error:  # pylint: disable=broad-except  # people get one line, never a traceback
        return _fail(f"unexpected {type(error).__name__}: {error}; please report it", 1)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--prefix", help="folder of the installation; that of this program when not given")
    common.add_argument("--json", action="store_true", help="print JSON")
    changing = argparse.ArgumentParser(add_help=False, parents=[common])
    changing.add_argument("--check", action="store_true", help="say what would be done, and do nothing")

    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: t.Callable[[argparse.Namespace], int], parent: t.Any, text: str) -> t.Any:
        found = commands.add_parser(name, parents=[parent], help=text, description=text, allow_abbrev=False)
        found.set_defaults(run=run)
        return found

    serve = command("serve", _serve, common, "answer over HTTP until SIGTERM")
    serve.add_argument("--bind", required=True, metavar="ADDRESS")
    serve.add_argument("--port", required=True, type=_port)
    state = command("state", _state, common, "what is installed here and how it is")
    state.add_argument("--deep", action="store_true", help="compare the digests of all installed files")
    command("devices", _devices, common, "the GPUs of this machine and what uses them")
    install = command("install-worker", _install, changing, "install a worker and start it")
    install.add_argument("type", nargs="?", metavar="TYPE", help="for example llama-cpp")
    install.add_argument("--type", dest="type_option", metavar="TYPE", help="the same")
    install.add_argument("--name", default="", help="the type's name when not given")
    install.add_argument("--port", type=_port, default=0, help="the type's default when not given")
    install.add_argument("--model", default="", help="a model that is declared for this hive")
    install.add_argument("--gpus", type=_gpus, default=(), help="for itself: numbers such as 0,1 or all")
    remove = command("remove-worker", _remove, changing, "remove a worker; its data stays")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--purge", action="store_true", help="remove its data, too")
    for name, text in (("start", "start components"), ("stop", "stop components until they are started again")):
        found = command(name, _start_or_stop, changing, text)
        found.add_argument("names", metavar="NAME", nargs="+")
        found.set_defaults(state={"start": _request.STARTED, "stop": _request.STOPPED}[name])
    apply = command("apply", _apply, changing, "make this machine match a document of components")
    apply.add_argument("document", metavar="FILE", help="the options of rbee.fleet.components as JSON; - for stdin")
    return parser


# Commands


def _serve(options: argparse.Namespace) -> int:
    prefix = _prefix(options)
    scope = _hive_catalog(prefix).get("scope", SYSTEM)
    trees, gpus = Trees(FILES_FRESH), _gpu_probe.Watch()

    def look() -> dict[str, t.Any]:
        return observe(prefix, scope, trees=trees, gpus=gpus.get)

    try:
        _agent_http.serve(options.bind, options.port, look, Questions(prefix))
    except OSError as error:
        raise AgentError(f"cannot listen on {options.bind} port {options.port}: {error.strerror or error}") from error
    return 0


def _state(options: argparse.Namespace) -> int:
    prefix = _prefix(options)
    found = observe(prefix, _hive_catalog(prefix).get("scope", SYSTEM), trees=Trees(deep=options.deep))
    _print(options, found, _agent_text.state_text)
    return 0 if all(is_well(component) for component in found["components"]) else 1


def _devices(options: argparse.Namespace) -> int:
    prefix = _prefix(options)
    found = _agent_http.capabilities(observe(prefix, _hive_catalog(prefix).get("scope", SYSTEM)))
    _print(options, found, _agent_text.devices_text)
    return 0


def _install(options: argparse.Namespace) -> int:
    types = {name for name in (options.type, options.type_option) if name}
    hive = _hive(options)
    if len(types) != 1:
        known = ", ".join(sorted(hive.catalog["workers"]))
        raise AgentError(f"name one type of worker; this hive knows {known}")
    request = install_worker(hive, types.pop(), options.name, options.port, options.model, options.gpus)
    refuse_change(hive, request, _converge.converge(request, True, WAIT))
    return _run(options, request)


def _remove(options: argparse.Namespace) -> int:
    return _run(options, remove_worker(_hive(options), options.name, options.purge))


def _start_or_stop(options: argparse.Namespace) -> int:
    return _run(options, start_or_stop(_hive(options), options.state, options.names))


def _apply(options: argparse.Namespace) -> int:
    if options.document == "-":
        text = sys.stdin.read()
    else:
        with open(options.document, encoding="utf-8") as stream:
            text = stream.read()
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        if options.prefix:
            document["prefix"] = options.prefix
        request = _request.parse({"controller": _who(), **document})
    except (ValueError, TypeError) as error:
        raise AgentError(f"{options.document} cannot be applied: {error}") from error
    _need_root(request.scope)
    return _run(options, request)


# What they share


def _run(options: argparse.Namespace, request: Request) -> int:
    """Converge, telling how far things are, and print the result."""
    answer = _converge.converge(request, options.check, WAIT)
    waited_for = ""
    while True:
        events = [event for event in answer.pop("events", ()) if event.get("reason") != waited_for]
        _report(events)
        if "again" in answer:
            waited_for = next((event["reason"] for event in events), waited_for)
            answer = _converge.converge(dataclasses.replace(request, lock_timeout=answer["again"]), options.check, WAIT)
            continue
        if "needs" in answer:
            wanted = _supply.describe(_needs.need_from(answer["needs"][0]).source)
            raise AgentError(f"needs {wanted} from the controller; run the install playbook there instead")
        if "follow" not in answer:
            break
        answer = _converge.follow(answer["follow"]["journal"], answer["follow"]["offset"], WAIT)
    _print(options, answer, _agent_text.plan_text if options.check else _agent_text.outcome_text)
    return 1 if answer.get("failed") else 0


def _need_root(scope: str) -> None:
    """Also for a dry run, which asks the service manager."""
    if scope == SYSTEM and os.geteuid() != 0:
        raise AgentError(f"only root may change what runs on this machine: sudo {PROGRAM} {' '.join(sys.argv[1:])}")


def _report(events: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    for event in events:
        if event["event"] == "step":
            sys.stderr.write(f"{event['component']}: {event['step']} {event['detail']}".rstrip() + "\n")
        elif event["event"] == "waiting":
            sys.stderr.write(f"waiting for {event['reason']}\n")
    sys.stderr.flush()


def _hive(options: argparse.Namespace) -> Hive:
    prefix = _prefix(options)
    catalog = _hive_catalog(prefix)
    if not catalog:
        raise AgentError(f"no hive is installed in {prefix}; run the install playbook")
    _need_root(str(catalog["scope"]))
    return Hive(prefix, catalog, receipts_on(Layout(prefix)), _who())


def _hive_catalog(prefix: str) -> dict[str, t.Any]:
    """What the controller sent along with the agent; nothing when there is no agent."""
    path = os.path.join(Layout(prefix).current(HIVE), "files", CATALOG)
    return _store.read_json(path) or {}


def _prefix(options: argparse.Namespace) -> str:
    """As given, else the one in which this program is: ``<prefix>/releases/<type>/<release>/rbee-hive``."""
    if options.prefix:
        return os.path.abspath(str(options.prefix))
    prefix: str = os.path.realpath(sys.argv[0])
    for _folder in range(4):
        prefix = os.path.dirname(prefix)
    if not os.path.isdir(Layout(prefix).components):
        raise AgentError("this program is not part of an installation; name one with --prefix")
    return prefix


def _who() -> str:
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{platform.node()}"


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError("expected a port from 1 to 65535")
    return port


def _gpus(text: str) -> tuple[str, ...]:
    numbers = tuple(text.split(","))
    if numbers != ("all",) and not (all(number.isdigit() for number in numbers) and len(set(numbers)) == len(numbers)):
        raise argparse.ArgumentTypeError("expected all, or numbers such as 0,1")
    return numbers


def _print(
    options: argparse.Namespace, value: t.Mapping[str, t.Any], text: t.Callable[[t.Mapping[str, t.Any]], str]
) -> None:
    sys.stdout.write(json.dumps(value, indent=1, sort_keys=True) + "\n" if options.json else text(value))


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {message}\n")
    return status
