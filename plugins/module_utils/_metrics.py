# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observed state of a host as Prometheus text. Pure.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. What is not known has no sample.
"""

from __future__ import annotations

import calendar
import time
import typing as t

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Samples = t.Sequence["tuple[t.Mapping[str, str], float]"]

_LABELS = ("name", "type", "kind", "fleet")


def render(state: t.Mapping[str, t.Any]) -> str:
    """state: as observed."""
    host, components = state["host"], state["components"]
    served = [component for component in components if component["kind"] != "model"]
    info = [
        ({**_labels(component), **{key: component[key] for key in ("version", "variant", "release", "served_name")}}, 1)
        for component in components
    ]
    about = {key: host[key] or "" for key in ("platform", "python", "service_manager")}
    blocks = [
        _block("rbee_host_info", "gauge", "What the host is.", [(about, 1)]),
        _block("rbee_host_busy", "gauge", "Whether a run is changing the host.", _known([({}, host["busy"])])),
        _block("rbee_component_info", "gauge", "What is installed.", info),
        _block(
            "rbee_component_up",
            "gauge",
            "Whether the service runs.",
            [(_labels(c), c["state"] == "running") for c in served if c["state"] is not None],
        ),
        _block(
            "rbee_component_healthy",
            "gauge",
            "Whether the service answers that it is ready.",
            _known([(_labels(c), c["healthy"]) for c in served]),
        ),
        _block(
            "rbee_component_start_time_seconds",
            "gauge",
            "When the service was started, since the epoch.",
            _known([(_labels(c), c["since"]) for c in served]),
        ),
        _block(
            "rbee_component_restarts_total",
            "counter",
            "Restarts by the service manager since the last start.",
            _known([(_labels(c), c["restarts"]) for c in served]),
        ),
        _block(
            "rbee_component_problems",
            "gauge",
            "Files that are not as installed.",
            [(_labels(c), len(c["problems"])) for c in components],
        ),
        *_pulls(components),
        *_gpus(state.get("devices") or ()),
    ]
    return "".join(blocks)


def _pulls(components: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[str]:
    runs = [(_labels(item), item["last_run"]) for item in components if item.get("last_run")]
    when = [(labels, _seconds(run["time"])) for labels, run in runs]
    yield _block("rbee_pull_last_run_time_seconds", "gauge", "When the last pull ended, since the epoch.", _known(when))
    done = [(labels, run["rc"] == 0) for labels, run in runs]
    yield _block("rbee_pull_last_run_success", "gauge", "Whether the last pull succeeded.", done)


def _seconds(moment: str) -> t.Optional[float]:
    """Since the epoch, of ``2026-11-25T22:47:12Z``; None of anything else."""
    try:
        return float(calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def _gpus(devices: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[str]:
    for name, field, unit, text in (
        ("memory_total_bytes", "memory_total_bytes", 1, "Memory of the GPU, or of the host where it has none."),
        ("memory_used_bytes", "memory_used_bytes", 1, "Memory in use."),
        ("utilization_ratio", "utilization_percent", 100, "Share of time in which the GPU was at work."),
        ("temperature_celsius", "temperature_celsius", 1, "Temperature of the GPU."),
        ("power_watts", "power_watts", 1, "Power that the GPU draws."),
    ):
        samples = [
            (
                {"uuid": device["uuid"] or "", "index": device["index"], "name": device["name"] or ""},
                device[field] / unit,
            )
            for device in devices
            if device[field] is not None
        ]
        yield _block(f"rbee_gpu_{name}", "gauge", text, samples)


def _labels(component: t.Mapping[str, t.Any]) -> dict[str, str]:
    return {label: component[label] for label in _LABELS}


def _known(samples: t.Iterable[tuple[t.Mapping[str, str], t.Optional[float]]]) -> Samples:
    return [(labels, value) for labels, value in samples if value is not None]


def _block(name: str, kind: str, text: str, samples: Samples) -> str:
    if not samples:
        return ""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(str(item))}"' for key, item in labels.items())
        lines.append(f"{name}{'{' + pairs + '}' if pairs else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
