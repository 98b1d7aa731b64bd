"""A wrong chat request is told which field is wrong and why; a right one passes unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.errors.base import InvalidInput
from perdure.wire.requests import param_of, read_chat_request

ASK = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALLING = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [ASK]},
        {"messages": [ASK], "model": "x", "unknown": {"a": 1}, "enable_thinking": True, "n": None, "temperature": 1},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "video", "video": ["v"]}]}]},
        {"messages": [ASK, CALLING, {"role": "tool", "tool_call_id": "c1", "content": "r"}], "tools": [TOOL]},
        {"messages": [ASK], "tools": [TOOL, {"type": "web_search"}], "tool_choice": {"type": "function", "function": {"name": "find"}}},
        {"messages": [ASK], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"messages": [ASK], "stream": True, "stream_options": {"include_usage": True}},
        {"messages": [{"role": "assistant", "refusal": "no"}]},
    ],
)
def test_a_good_request_passes_as_it_came(body: dict[str, Any]) -> None:
    assert read_chat_request(body) is body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ("x", None),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [ASK, {"role": "robot", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [ASK, {"role": "tool", "content": "x", "tool_call_id": "c9"}]}, "messages[1].tool_call_id"),
        ({"messages": [{**ASK, "tool_calls": CALLING["tool_calls"]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": ""}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a"}}]}]}, "messages[0].tool_calls[0].id"),
        ({"messages": [ASK], "tools": [{"type": "function"}]}, "tools[0].function"),
        ({"messages": [ASK], "tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"messages": [ASK], "tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"messages": [ASK], "tools": {}}, "tools"),
        ({"messages": [ASK], "tool_choice": "any"}, "tool_choice"),
        ({"messages": [ASK], "tool_choice": "required"}, "tool_choice"),
        ({"messages": [ASK], "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice.function.name"),
        ({"messages": [ASK], "response_format": {"type": "yaml"}}, "response_format.type"),
        ({"messages": [ASK], "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"messages": [ASK], "temperature": "hot"}, "temperature"),
        ({"messages": [ASK], "temperature": 3}, "temperature"),
        ({"messages": [ASK], "max_tokens": 0}, "max_tokens"),
        ({"messages": [ASK], "n": 0}, "n"),
        ({"messages": [ASK], "stream": "yes"}, "stream"),
        ({"messages": [ASK], "stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": [ASK], "model": 5}, "model"),
        ({"messages": [ASK], "model": ""}, "model"),
    ],
)
def test_a_wrong_field_is_named(body: Any, param: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_chat_request(body)
    assert param_of(caught.value) == param
    assert "`$" not in caught.value.message


def test_every_problem_is_told_not_only_the_first() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_chat_request({"messages": [{"role": "user"}, {"role": "tool", "content": "x"}]})
    assert caught.value.problems == ["messages[0].content: required for role 'user'", "messages[1].tool_call_id: required for role 'tool'"]


def test_a_wrong_role_is_told_the_right_ones() -> None:
    with pytest.raises(InvalidInput, match="'robot', must be one of 'system', 'developer'"):
        read_chat_request({"messages": [{"role": "robot", "content": "x"}]})
