"""Reasoning is kept apart from the answer, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.wire.reasoning import ReasoningStream, with_reasoning_apart
from perdure.wire.thinking import ThinkSplitter, split_thinking

CASES = [
    ("<think>why\nnot</think>\n\nanswer", "why\nnot", "answer"),
    ("  <think>\nwhy</think>answer", "why", "answer"),
    ("answer", "", "answer"),
    ("<b>bold</b>", "", "<b>bold</b>"),
    ("a text on <think> and </think> tags", "", "a text on <think> and </think> tags"),
    ("<think>never closed", "never closed", ""),
    ("<think></think>answer", "", "answer"),
    ("<thinking>no", "", "<thinking>no"),
    ("<think>a < b </thin> c</think>d", "a < b </thin> c", "d"),
    ("", "", ""),
    ("<thi", "", "<thi"),
    ("</think>\n\nanswer", "", "answer"),
    ("</thi", "", "</thi"),
]


@pytest.mark.parametrize(("text", "reasoning", "content"), CASES)
def test_a_leading_tag_alone_counts(text: str, reasoning: str, content: str) -> None:
    assert split_thinking(text) == (reasoning, content)


@given(st.sampled_from(CASES), st.data())
def test_a_stream_cut_anywhere_splits_like_the_whole(case: tuple[str, str, str], data: st.DataObject) -> None:
    text, reasoning, content = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    splitter = ThinkSplitter()
    pieces = [splitter.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    pieces.append(splitter.end())
    assert "".join(piece[0] for piece in pieces).strip() == reasoning
    assert "".join(piece[1] for piece in pieces) == content


def test_a_closing_tag_alone_on_its_line_ends_what_the_template_opened() -> None:
    assert split_thinking("why\n</think>\n\nanswer") == ("why", "answer")
    assert split_thinking("write </think> to close it") == ("", "write </think> to close it")


def test_a_splitter_can_begin_inside() -> None:
    splitter = ThinkSplitter(inside=True)
    assert splitter.feed("why</thi") == ("why", "")
    assert splitter.feed("nk>\nanswer") == ("", "answer")


def test_both_names_of_the_field_become_one() -> None:
    assert with_reasoning_apart({"content": "a", "reasoning": "b"}) == {"content": "a", "reasoning_content": "b"}
    assert with_reasoning_apart({"content": "<think>x</think>a", "reasoning_content": "b"}) == {
        "content": "<think>x</think>a",
        "reasoning_content": "b",
    }
    assert with_reasoning_apart({"content": None, "tool_calls": [1]}) == {"content": None, "tool_calls": [1]}


def streamed(*deltas: dict[str, object], reason: str | None = "stop") -> list[dict[str, object]]:
    stream = ReasoningStream()
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    out = [choice["delta"] for chunk in chunks for choice in stream.apply(chunk)["choices"]]
    return [*out, *(choice["delta"] for choice in stream.rest())]


def test_a_stream_with_tags_becomes_one_with_fields() -> None:
    deltas = streamed({"role": "assistant", "content": ""}, {"content": "<th"}, {"content": "ink>why</think>"}, {"content": "so"})
    assert deltas == [{"role": "assistant", "content": ""}, {}, {"reasoning_content": "why"}, {"content": "so"}, {}]


def test_a_stream_with_the_field_is_left_alone_but_for_its_name() -> None:
    assert streamed({"reasoning": "why"}, {"content": "<think>not a tag here"}) == [
        {"reasoning_content": "why"},
        {"content": "<think>not a tag here"},
        {},
    ]


def test_what_was_held_back_comes_out_with_the_end() -> None:
    assert streamed({"content": "<thi"}) == [{}, {"content": "<thi"}]
    assert streamed({"content": "<thi"}, reason=None) == [{}, {}, {"content": "<thi"}]
