# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of the configuration files leave all else as it is, byte for byte."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.rbee.fleet.plugins.plugin_utils import _edit
from ansible_collections.rbee.fleet.plugins.plugin_utils._config import HIVES, MODELS
from ansible_collections.rbee.fleet.plugins.plugin_utils._edit import Change, EditError, edited
from ansible_collections.rbee.fleet.plugins.plugin_utils._toml import parse
from hypothesis import given
from hypothesis import strategies as st

SAMPLE = """\
# The fleet in the cellar.

[[hive]]
alias = "gpu-1" # the loud one
hostname = '192.168.1.100'
workers = [ "vllm",{type="llama-cpp", port=9000} ] # both

# Bought second-hand.
[[hive]]
alias = "gpu-2"
hostname = "192.168.1.101"
  workers = [
    # for pictures
    "comfyui", # slow
    { type = "vllm" },
  ]
# End of the list.
"""
LONG = {"type": "vllm", "name": "spare", "port": 9100, "args": ["--x", 'say "hi"'], "env": {"A": "1"}}
HIVE = {"alias": "gpu-3", "hostname": "h", "workers": ["vllm", {"type": "llama-cpp", "port": 1}]}


def add(text: str, present: bool = True, **what: t.Any) -> str:
    return edited({HIVES: text}, Change(**what, present=present)).get(HIVES, text)


def data(text: str) -> t.Any:
    return parse(HIVES, text).data


def test_a_worker_joins_an_array_on_one_line() -> None:
    new = add(SAMPLE, workers={"gpu-1": ({"type": "comfyui"},)})
    assert new == SAMPLE.replace("port=9000} ]", 'port=9000}, "comfyui" ]')


def test_a_worker_joins_an_array_over_several_lines() -> None:
    new = add(SAMPLE, workers={"gpu-2": (LONG,)})
    entry = '{ type = "vllm", name = "spare", port = 9100, args = ["--x", "say \\"hi\\""], env = { A = "1" } }'
    assert new == SAMPLE.replace('{ type = "vllm" },\n', f'{{ type = "vllm" }},\n    {entry},\n')


def test_a_hive_without_workers_gets_some() -> None:
    assert add('[[hive]]\nalias = "a" # x\n\n[[hive]]\n', workers={"a": ("vllm",)}) == (
        '[[hive]]\nalias = "a" # x\nworkers = ["vllm"]\n\n[[hive]]\n'
    )


def test_a_model_joins_the_list_of_a_hive() -> None:
    text = '[[hive]]\nalias = "a"\nmodels = ["x"] # few\n\n[[hive]]\nalias = "b"\nworkers = []\n'
    change = Change(listed={"a": ("org/y",), "b": ("org/y",)})
    new = text.replace('["x"]', '["x", "org/y"]') + 'models = ["org/y"]\n'
    assert edited({"hives.conf": text}, change) == {"hives.conf": new}
    assert edited({"hives.conf": new}, change) == {}
    gone = Change(listed=change.listed, present=False)
    assert "org/y" not in edited({"hives.conf": new}, gone)["hives.conf"]


def test_a_hive_is_added_at_the_end_and_a_file_is_made_where_there_is_none() -> None:
    block = """[[hive]]\nalias = "gpu-3"\nhostname = "h"\nworkers = ["vllm", { type = "llama-cpp", port = 1 }]\n"""
    assert add(SAMPLE, hives=(HIVE,)) == f"{SAMPLE}\n{block}"
    assert edited({}, Change(hives=(HIVE,))) == {HIVES: block}


def test_models_are_in_a_file_of_their_own() -> None:
    assert edited({HIVES: SAMPLE}, Change(models=({"name": "org/m", "hives": ["gpu-1"]},))) == {
        MODELS: '[[model]]\nname = "org/m"\nhives = ["gpu-1"]\n'
    }


def test_a_hive_that_is_removed_leaves_the_comments_about_others() -> None:
    left = add(SAMPLE, present=False, hives=({"alias": "gpu-1"},))
    assert left == SAMPLE[: SAMPLE.index("[[hive]]")] + SAMPLE[SAMPLE.index("# Bought") :]
    assert add(left, present=False, hives=({"alias": "gpu-2"},)) == (
        "# The fleet in the cellar.\n\n# Bought second-hand.\n# End of the list.\n"
    )


def test_a_worker_that_is_removed_takes_only_itself_along() -> None:
    assert add(SAMPLE, present=False, workers={"gpu-1": ("vllm",)}) == SAMPLE.replace('[ "vllm",', "[", 1)


def test_what_is_there_as_it_shall_be_is_not_edited() -> None:
    change = Change(
        workers={"gpu-1": ("vllm", {"type": "llama-cpp", "port": 9000}), "gpu-2": ({"type": "vllm"},)},
        hives=(data(SAMPLE)["hive"][0],),
    )
    assert edited({HIVES: SAMPLE}, change) == {}
    assert edited({HIVES: SAMPLE}, Change(hives=(HIVE,), workers={"gpu-1": ("nothing",)}, present=False)) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            Change(workers={"gpu-1": ({"type": "vllm", "port": 1},)}),
            "hive gpu-1 has a worker 'vllm' already, and it differs",
        ),
        (Change(workers={"gpu-9": ("vllm",)}), "there is no hive 'gpu-9'"),
        (Change(hives=({**HIVE, "alias": "gpu-1"},)), "there is already a hive 'gpu-1', and it differs"),
    ],
)
def test_what_cannot_be_done_is_said(change: Change, message: str) -> None:
    with pytest.raises(EditError, match=message):
        edited({HIVES: SAMPLE}, change)


def test_a_tomlkit_that_cannot_read_the_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_text: str) -> t.NoReturn:
        raise _edit.TOMLKitError("Unexpected character at line 3")

    monkeypatch.setattr(_edit.tomlkit, "parse", refuse)
    with pytest.raises(EditError, match=r"hives.conf: tomlkit.* cannot read it \(Unexpected.*--upgrade tomlkit"):
        add(SAMPLE, hives=(HIVE,))


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ('hive = [{alias="a"}] # h\n', 'hive = [{alias="a",workers = ["vllm"]}] # h\n'),
        ('hive = [{alias="a", workers=[ ]}]\n', 'hive = [{alias="a", workers=["vllm" ]}]\n'),
        (
            '[[hive]]\nalias="a"\n[[hive.workers]]\ntype="x"\n',
            '[[hive]]\nalias="a"\n[[hive.workers]]\ntype="x"\n[[hive.workers]]\ntype = "vllm"\n',
        ),
    ],
)
def test_files_of_rarer_shapes_are_edited_too(text: str, new: str) -> None:
    assert add(text, workers={"a": ("vllm",)}) == new


def test_lines_that_end_in_two_ways_are_left_alone() -> None:
    with pytest.raises(EditError, match="its lines end in two ways"):
        add("# one\r\n" + SAMPLE, hives=(HIVE,))


def test_without_tomlkit_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_edit, "MISSING", "the Python package tomlkit is missing on the controller")
    with pytest.raises(EditError, match="pip install tomlkit"):
        add(SAMPLE, hives=(HIVE,))
    assert add(SAMPLE) == SAMPLE  # what is temporary alone needs none


# Properties

WORKERS = st.sampled_from(
    [
        '"{0}"',
        "'{0}'",
        '{{ type = "t", name = "{0}" }}',
        '{{type="t",name="{0}",env={{A="[#]"}}}}',
        '{{ type = "{0}" , port = 0x1F }}',
    ]
)
COMMENTS = st.sampled_from(["", " # note", " # [[hive]] ,", "#}]"])
BLANKS = st.sampled_from(["", "\n", "# about the next\n", "\n\n# x\n\n", "  \n"])


@st.composite
def hives(draw: st.DrawFn) -> str:
    """A hives.conf as people write it."""
    text = draw(BLANKS)
    for number in range(draw(st.integers(1, 3))):
        text += draw(st.sampled_from(["[[hive]]", "[[ hive ]]", "[['hive']]", "  [[hive]]"])) + draw(COMMENTS) + "\n"
        text += f'alias = "h{number}"' + draw(COMMENTS) + "\n" + draw(BLANKS)
        elements = [draw(WORKERS).format(f"w{at}") for at in range(draw(st.integers(0, 3)))]
        if draw(st.booleans()):
            text += f"workers = [{', '.join(elements)}]" + draw(COMMENTS) + "\n"
        elif elements:
            lines = [f"{draw(BLANKS)}  {element},{draw(COMMENTS)}\n" for element in elements]
            text += f"workers = [{draw(COMMENTS)}\n{''.join(lines)}]{draw(COMMENTS)}\n"
        text += draw(st.sampled_from(["", 'note = """\n[[hive]]\n# no comment\n"""\n'])) + draw(BLANKS)
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return draw(st.sampled_from(["", "\ufeff"])) + text


@given(hives())
def test_a_hive_that_is_added_and_removed_again_leaves_no_trace(text: str) -> None:
    new = add(text, hives=(HIVE,))
    assert new.startswith(text)
    assert add(new, present=False, hives=({"alias": "gpu-3"},)) == text


@given(hives())
def test_a_worker_that_is_added_changes_nothing_else(text: str) -> None:
    new = add(text, workers={"h0": (LONG,)})
    rest = iter(new)
    assert all(letter in rest for letter in text)  # in the same order
    there = data(text.removeprefix("\ufeff"))["hive"]
    there[0].setdefault("workers", []).append(LONG)
    assert data(new.removeprefix("\ufeff"))["hive"] == there
    assert ("\n" in new.replace("\r\n", "")) == ("\n" in text.replace("\r\n", ""))


@given(hives())
def test_a_worker_that_is_added_to_others_and_removed_again_leaves_no_trace(text: str) -> None:
    if "workers" not in data(text.removeprefix("\ufeff"))["hive"][0]:
        return
    new = add(text, workers={"h0": (LONG,)})
    assert add(new, present=False, workers={"h0": ("spare",)}) == text


@given(hives(), st.integers(0, 2))
def test_a_removal_keeps_every_comment_about_others(text: str, number: int) -> None:
    before = data(text.removeprefix("\ufeff"))["hive"]
    if number >= len(before):
        return
    new = add(text, present=False, hives=({"alias": f"h{number}"},))
    assert data(new.removeprefix("\ufeff")).get("hive", []) == [hive for at, hive in enumerate(before) if at != number]
    assert new.count("# about the next") >= text.count("# about the next") - text.split("alias")[number + 1].count(
        "about"
    )
    rest = iter(text)
    assert all(letter in rest for letter in new)
