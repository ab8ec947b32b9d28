# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.rbee.fleet.plugins.plugin_utils._waves import (
    Standing,
    downtime,
    lines,
    order_of,
    standing_of,
    waves,
)
from hypothesis import given
from hypothesis import strategies as st

MODELS = st.sampled_from("abc")
SPEC = {"kind": "worker", "served_name": "m"}


def both(serving, leaving, **more):
    return Standing(serving, leaving, True, **more)


ONE = both({"m": 1}, {"m": 1})


def test_hosts_that_do_not_wait_are_in_no_wave():
    assert waves({"a": Standing({"m": 1}), "b": Standing()}) == []


def test_replicas_of_a_model_leave_in_different_waves():
    assert waves({"a": ONE, "b": ONE}) == [["a"], ["b"]]


def test_hosts_with_different_models_leave_together():
    assert waves({"a": ONE, "b": both({"n": 1}, {"n": 1})}) == [["a", "b"]]


def test_half_of_many_replicas_leave_together():
    assert [len(wave) for wave in waves(dict.fromkeys("abcdef", ONE))] == [3, 3]
    assert [len(wave) for wave in waves(dict.fromkeys("abc", ONE))] == [1, 1, 1]


def test_a_host_that_only_serves_counts_as_one_that_stays():
    assert waves({"a": ONE, "b": ONE, "c": Standing({"m": 1}), "d": Standing({"m": 1})}) == [["a", "b"]]


def test_workers_of_one_model_on_one_host_take_turns_there():
    assert both({"m": 2}, {"m": 2}).loses == set()
    assert downtime({"a": both({"m": 2}, {"m": 2})}) == {}


def test_the_host_of_the_queen_goes_alone_and_first():
    assert waves({"a": both({"n": 1}, {"n": 1}), "q": both({"m": 1}, {"m": 1}, queen=True)}) == [["q"], ["a"]]


def test_the_only_replica_is_announced_and_a_sick_one_is_none():
    hosts = {"a": ONE, "b": both({}, {"m": 1})}
    assert downtime(hosts) == {"m": "a"}
    assert lines(waves(hosts), downtime(hosts)) == [
        "downtime: model m has one replica, on a, and is not served while that is changed"
    ]


@given(
    st.dictionaries(
        st.text("hjk", min_size=1, max_size=3),
        st.builds(
            lambda serving, leaving, staged: Standing(serving, leaving if staged else {}, staged),
            st.dictionaries(MODELS, st.integers(1, 3), max_size=3),
            st.dictionaries(MODELS, st.integers(1, 3), max_size=3),
            st.booleans(),
        ),
    )
)
def test_in_every_wave_somebody_serves_each_model_that_is_not_announced(hosts):
    order = waves(hosts)
    assert sorted(name for wave in order for name in wave) == sorted(name for name in hosts if hosts[name].staged)
    for model in {model for host in hosts.values() for model in host.serving} - downtime(hosts).keys():
        for wave in order:
            assert any(
                host.serving.get(model) and not (name in wave and model in host.loses) for name, host in hosts.items()
            )


def test_a_host_that_was_not_asked_serves_what_is_declared():
    declared = [SPEC, {**SPEC, "kind": "model"}, {**SPEC, "auto_start": False}, {"kind": "hive"}]
    assert standing_of(None, declared, True) == Standing({"m": 1})
    assert standing_of({"unreachable": True}, declared, False) == Standing()


def test_a_host_that_could_not_be_staged_stays_as_it_is():
    result = {"staged": True, "standing": {"serving": {"m": 1}, "starting": {"n": 1}, "leaving": {"m": 1}}}
    assert standing_of(result, [], True) == both({"m": 1}, {"m": 1})
    assert standing_of(result, [], False) == Standing({"m": 1})


def test_what_a_host_started_serves_where_all_went_well():
    result = {"staged": False, "standing": {"serving": {"m": 1}, "starting": {"n": 1}, "leaving": {}}}
    assert standing_of(result, [], True).serving == {"m": 1, "n": 1}
    assert standing_of(result, [], False).serving == {"m": 1}


def test_hosts_that_wait_are_ordered_with_those_that_the_play_left_out():
    staged = {"components": [], "staged": True, "standing": {"serving": {"m": 1}, "starting": {}, "leaving": {"m": 1}}}
    assert order_of({"a": staged, "b": None}, ["a", "b", "c"], lambda host: [SPEC] if host == "c" else []) == (
        [["a"]],
        {},
    )
    assert order_of({"a": staged}, ["a"], lambda _host: []) == ([["a"]], {"m": "a"})
    assert order_of({"a": {**staged, "staged": False}}, ["a"], lambda _host: []) == ([], {})
