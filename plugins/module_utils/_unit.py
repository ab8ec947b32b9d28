# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that makes a service manager run a component: a systemd unit or a supervisor program.

Pure and deterministic: the same definition gives the same bytes. Formats: systemd.unit(5), systemd.service(5),
systemd.exec(5), systemd.syntax(7); https://supervisord.org/configuration.html (4.3).
"""

from __future__ import annotations

import dataclasses
import re
import shlex

from ansible_collections.rbee.fleet.plugins.module_utils._layout import UNIT_PREFIX

MARK = "Written by rbee.fleet; changes are overwritten."
# A component that fails this often within CRASH_WINDOW seconds stays down, as failed.
CRASH_STARTS = 4
CRASH_WINDOW = 300
# supervisor cannot count starts in a window: it gives up when every start ends within this many seconds.
SETTLED = 60

# Seconds from its installation, or the start of the host, to the first run of what has a schedule.
FIRST_RUN = 60
TIMER_BEGINS = "\n# The timer that starts it:\n"

_HOMES = ("/home", "/root", "/run/user")

# What an earlier life of a program left behind is killed before the next one begins, as systemd does: vLLM's engine
# outlives a killed API server and holds the GPU's memory. It is known by its session (proc_pid_stat(5), field 6) and
# its working folder, since a process that sets its title overwrites its environment.
_ALONE = (
    "read -r _ _ _ _ _ session _ </proc/self/stat; for p in /proc/[0-9]*; do "
    '[ "$p/cwd" -ef . ] && read -r stat <"$p/stat" && set -- ${stat##*) } && [ "$4" = "$session" ] && '
    '[ "$3" != $$ ] && [ "${p#/proc/}" != "$session" ] && kill -9 "${p#/proc/}"; done 2>/dev/null; '
)


@dataclasses.dataclass(frozen=True)
class ServiceDefinition:
    """How one component runs.

    name: component; the service is ``rbee-<name>``. start, stop: absolute paths of scripts; start execs the program.
    user, group, groups: account in system scope; groups are supplementary and must exist.
    data_dir: writable folder, working directory and HOME. stop_timeout: seconds from SIGTERM to SIGKILL.
    reload_signal: signal without ``SIG``, empty when it cannot reload. capabilities: ambient, system scope only.
    nofile: descriptor limit, 0 for the default. devices: uses GPU device nodes. scope: ``system`` or ``user``.
    privileged: no account of its own and no sandbox; without HOME, so that it has that of its user.
    schedule, spread: as in a specification, seconds.
    """

    name: str
    start: str
    data_dir: str
    fleet: str = ""
    description: str = ""
    stop: str = ""
    user: str = ""
    group: str = ""
    groups: tuple[str, ...] = ()
    prefix: str = ""
    stop_timeout: int = 30
    reload_signal: str = ""
    capabilities: tuple[str, ...] = ()
    nofile: int = 0
    devices: bool = False
    scope: str = "system"
    privileged: bool = False
    schedule: int = 0
    spread: int = 0


def unit_name(component: str) -> str:
    """The name both service managers know a component by."""
    return UNIT_PREFIX + component


def systemd_unit(defn: ServiceDefinition) -> str:
    """Text of a systemd service unit, and of its timer where it has a schedule; ``units_of`` tells them apart.

    ValueError for a value that no unit can hold.
    """
    system = defn.scope == "system"
    unit = [("Description", _specifiers(defn.description or f"rbee {defn.name}"))]
    if system:
        after = ["network-online.target"] + (["nvidia-persistenced.service"] if defn.devices else [])
        unit += [("Wants", "network-online.target"), ("After", " ".join(after))]
    if not defn.schedule:
        unit += [("StartLimitIntervalSec", str(CRASH_WINDOW)), ("StartLimitBurst", str(CRASH_STARTS))]

    service = [("Type", "oneshot" if defn.schedule else "exec"), ("ExecStart", _program(defn.start))]
    if defn.reload_signal:
        service.append(("ExecReload", f"/bin/kill -{_signal(defn.reload_signal)} $MAINPID"))
    if defn.stop:
        service.append(("ExecStop", _program(defn.stop)))
    if not defn.schedule:
        service += [("Restart", "on-failure"), ("RestartSec", "3")]
    service += [
        # The program drains its own children; what survives it (an engine that holds GPU memory) is killed.
        ("KillMode", "mixed"),
        ("TimeoutStopSec", str(defn.stop_timeout)),
        ("WorkingDirectory", _specifiers(defn.data_dir)),
    ]
    if not defn.privileged:
        service.append(("Environment", _word(f"HOME={defn.data_dir}")))
    if defn.nofile:
        service.append(("LimitNOFILE", str(defn.nofile)))
    if not defn.privileged:
        service.append(("NoNewPrivileges", "yes"))
        service += _system_only(defn) if system else []

    install = [("WantedBy", "multi-user.target" if system else "default.target")]
    owner = [("Fleet", _specifiers(defn.fleet)), ("Component", _specifiers(defn.name))]
    if not defn.schedule:
        return _sections(("Unit", unit), ("Service", service), ("Install", install), ("X-Rbee", owner))
    text = _sections(("Unit", unit), ("Service", service), ("X-Rbee", owner))
    return f"{text}{TIMER_BEGINS}{_timer(defn, unit[0], owner)}"


def units_of(text: str) -> tuple[str, str]:
    """The service and its timer in a text of ``systemd_unit``; no timer is an empty string."""
    service, _between, timer = text.partition(TIMER_BEGINS)
    return service, timer


def with_timer(service: str, timer: str) -> str:
    """The inverse of ``units_of``."""
    return f"{service}{TIMER_BEGINS}{timer}" if timer else service


def _timer(defn: ServiceDefinition, description: tuple[str, str], owner: list[tuple[str, str]]) -> str:
    """Of systemd.timer(5). It does not start what is still at work."""
    timer = [
        ("OnActiveSec", str(FIRST_RUN)),
        ("OnUnitInactiveSec", str(defn.schedule)),
        ("RandomizedDelaySec", str(defn.spread)),
        ("AccuracySec", "1"),
    ]
    return _sections(
        ("Unit", [description]), ("Timer", timer), ("Install", [("WantedBy", "timers.target")]), ("X-Rbee", owner)
    )


def _sections(*sections: tuple[str, list[tuple[str, str]]]) -> str:
    blocks = ["\n".join([f"[{name}]"] + [f"{key}={value}" for key, value in lines]) for name, lines in sections]
    return f"# {MARK}\n" + "\n\n".join(blocks) + "\n"


def _system_only(defn: ServiceDefinition) -> list[tuple[str, str]]:
    """Account and sandbox: a user manager can change neither, and its namespaces depend on the distribution's policy.

    No PrivateDevices and no MemoryDenyWriteExecute: both break CUDA.
    """
    lines = [("User", defn.user), ("Group", defn.group), ("SupplementaryGroups", " ".join(defn.groups))]
    lines = [(key, _specifiers(value)) for key, value in lines if value]
    if defn.capabilities:
        lines.append(("AmbientCapabilities", " ".join(defn.capabilities)))
    paths = (defn.prefix, defn.start, defn.data_dir)
    at_home = any(path == home or path.startswith(home + "/") for path in paths for home in _HOMES)
    return [
        *lines,
        ("ProtectSystem", "strict"),
        ("ReadWritePaths", _word(defn.data_dir)),
        ("ProtectHome", "read-only" if at_home else "yes"),
        ("PrivateTmp", "yes"),
    ]


def supervisor_program(defn: ServiceDefinition, log_dir: str) -> str:
    """Text of a supervisor program; ValueError for a value that no program can hold.

    It never starts by itself: the enabling is a second file that repeats the section (see ``supervisor_enabled``).
    Supervisor grants no capabilities and takes supplementary groups from the account database.
    """
    if defn.schedule:
        raise ValueError("runs on a schedule, which needs systemd; this host has none")
    name = unit_name(defn.name)
    # As close to the limit as the host allows, like systemd.
    limit = f"ulimit -n {defn.nofile} 2>/dev/null || ulimit -n $(ulimit -H -n); " if defn.nofile else ""
    command = "/bin/sh -c " + shlex.quote(f"{_ALONE}{limit}exec {shlex.quote(defn.start)}")
    environment = {"HOME": defn.data_dir}
    system = defn.scope == "system" and bool(defn.user) and not defn.privileged
    if system:
        environment["USER"] = defn.user
    lines = [
        ("command", command),
        ("directory", defn.data_dir),
        ("environment", ",".join(f'{key}="{_no_quote(value)}"' for key, value in environment.items())),
        ("autorestart", "unexpected"),
        ("exitcodes", "0"),
        ("autostart", "false"),
        ("startsecs", str(SETTLED)),
        ("startretries", str(CRASH_STARTS - 1)),
        ("stopsignal", "TERM"),
        ("stopwaitsecs", str(defn.stop_timeout)),
        ("stopasgroup", "false"),
        ("killasgroup", "true"),
        ("umask", "022"),
        ("redirect_stderr", "true"),
        # The only option that supervisor expands twice.
        ("stdout_logfile", f"{log_dir}/{name}.log".replace("%", "%%")),
        ("stdout_logfile_maxbytes", "20MB"),
        ("stdout_logfile_backups", "3"),
    ]
    if system:
        lines.append(("user", defn.user))
    if defn.reload_signal:
        # Not an option of supervisor, which ignores it: our manager reads it back to reload.
        lines.append(("reload_signal", _signal(defn.reload_signal)))
    head = [f"; {MARK}", f"; fleet {_one_line(defn.fleet)}, component {_one_line(defn.name)}", f"[program:{name}]"]
    return "\n".join(head + [f"{key}={_ini(value)}" for key, value in lines]) + "\n"


def supervisor_enabled(component: str) -> str:
    """Text that makes supervisor start a program by itself: a later section of the same name only adds to it."""
    return f"; {MARK}\n[program:{unit_name(component)}]\nautostart=true\n"


def supervisor_config(root: str, nofile: int, user: str = "") -> str:
    """Text of supervisord.conf for everything below ``root``. user: the account it says that it runs as, for root."""
    lines = [
        "[unix_http_server]",
        f"file={_ini(root)}/sock",
        "chmod=0700",
        "",
        "[supervisord]",
        f"logfile={_ini(root)}/log/supervisord.log",
        "logfile_maxbytes=10MB",
        "logfile_backups=2",
        f"pidfile={_ini(root)}/supervisord.pid",
        "nodaemon=false",
        f"childlogdir={_ini(root)}/log",
        # Every program inherits this limit.
        f"minfds={nofile}",
    ]
    if user:
        lines.append(f"user={_ini(user)}")
    lines += [
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        "[include]",
        "files=conf.d/*.conf enabled/*.conf",
    ]
    return f"; {MARK}\n" + "\n".join(lines) + "\n"


def _one_line(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError(f"{value!r}: a service definition cannot hold control characters")
    return value


def _signal(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9+-]*", name) or name.startswith("SIG"):
        raise ValueError(f"{name!r}: expected a signal name such as USR2")
    return name


def _specifiers(value: str) -> str:
    """A systemd value that is taken as it stands, up to the end of the line."""
    if value != value.strip() or value.endswith("\\"):
        raise ValueError(f"{value!r}: a systemd value cannot begin or end with a space or end with a backslash")
    return _one_line(value).replace("%", "%%")


def _word(value: str) -> str:
    """A systemd value that is split into words like a shell's (systemd.syntax(7), Quoting)."""
    value = _one_line(value).replace("%", "%%")
    if re.fullmatch(r"[\w@%+=:,./-]+", value, re.ASCII):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _program(path: str) -> str:
    if re.search(r"[\"'\\]", path):
        raise ValueError(f"{path!r}: systemd runs no program whose path holds a quote or a backslash")
    # ":" keeps systemd from expanding "$".
    return _word(":" + path)


def _ini(value: str) -> str:
    if re.search(r"\s[;#]", value):
        raise ValueError(f"{value!r}: supervisor takes what follows a space and ';' or '#' for a comment")
    return _one_line(value).replace("%", "%%")


def _no_quote(value: str) -> str:
    if '"' in value:
        raise ValueError(f"{value!r}: supervisor has no way to write a double quote in an environment value")
    return value
