"""Lines of batches, whatever stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perdure.errors.base import InvalidInput
from perdure.wire.batches import read_line

WORDS = st.sampled_from(["role", "type", "content", "summary", "message", "reasoning", "user", "text", "output", "call_id", "x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@example(items=[{"role": {"a": 1}, "content": "x"}])
@example(items=[{"type": ["message"], "role": "user", "content": "x"}])
@example(items=[{"type": "reasoning", "content": 1.5}])
@example(items=[{"type": "reasoning", "summary": {"a": 1}}])
@given(items=st.lists(st.dictionaries(WORDS, ANYTHING, max_size=4), min_size=1, max_size=3))
def test_whatever_a_line_asks_of_a_response_is_said_as_a_chat_or_refused_with_its_place(items: list[Any]) -> None:
    assert all(problem.startswith("body.input") for problem in problems_of(items))


def problems_of(items: list[Any]) -> Sequence[str]:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": items}}
    try:
        read_line(line, "/v1/responses")
    except InvalidInput as error:
        return error.problems
    return ()


@pytest.mark.parametrize("said", [None, 1, [], {}, {"custom_id": 1}])
def test_what_is_no_line_is_refused(said: Any) -> None:
    with pytest.raises(InvalidInput):
        read_line(said, "/v1/chat/completions")
