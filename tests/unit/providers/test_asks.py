from __future__ import annotations

from typing import Any

import pytest

from perdure.providers.asks import Ask


def said(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content, **more}]}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (said("x" * 400), 104),
        (said("x"), 5),
        (said("谢" * 100), 79),
        (said(None), 4),
        ({}, 0),
        (said([{"type": "text", "text": "x" * 400}, {"type": "image_url", "image_url": {"url": "data:" + "x" * 9000}}]), 1104),
        (said(None, tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]), 22),
    ],
)
def test_a_prompt_is_estimated_by_its_bytes(body: dict[str, Any], tokens: int) -> None:
    assert Ask(body).prompt_tokens == tokens


def test_tools_and_schemas_are_part_of_the_prompt() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"description": "x" * 400}}}]
    assert Ask({**said("x"), "tools": tools}).prompt_tokens > 100
    assert Ask({**said("x"), "response_format": {"schema": "x" * 400}}).prompt_tokens > 100


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 1000),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60, "max_tokens": 50}, 60),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": "many"}, 1000),
    ],
)
def test_an_answer_is_as_long_as_its_request_allows(body: dict[str, Any], tokens: int) -> None:
    assert Ask(body).answer_tokens(1000) == tokens
