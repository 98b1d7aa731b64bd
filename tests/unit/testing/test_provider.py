"""A fake that can be trusted: it says what it was told, and remembers."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from perdure.errors.base import EmptyAnswer, ProviderTimeout, RateLimited
from perdure.providers.protocol import LLMProvider
from perdure.resources.usage import Usage
from perdure.testing.provider import FakeProvider
from perdure.testing.replies import smallest

ASK: dict[str, Any] = {"model": "fake-1", "messages": [{"role": "user", "content": "how are you"}]}


async def test_by_default_it_answers_the_same_to_the_same() -> None:
    fake = FakeProvider()
    assert isinstance(fake, LLMProvider)
    assert (await fake.chat(ASK)).text == (await fake.chat(ASK)).text == "answer to: how are you"
    assert (await fake.chat(ASK)).usage == Usage(calls=1, input_tokens=3, output_tokens=5)
    assert fake.count == 3
    assert fake.calls[0] == ASK


async def test_a_list_of_replies_is_used_in_order_and_the_last_repeats() -> None:
    fake = FakeProvider(replies=["one", {"tool_calls": [{"name": "f", "arguments": {"x": 1}}]}, RateLimited("slow"), "last"])
    assert (await fake.chat(ASK)).text == "one"
    answer = await fake.chat(ASK)
    assert answer.message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x": 1}'}
    assert answer.finish_reason == "tool_calls"
    with pytest.raises(RateLimited):
        await fake.chat(ASK)
    assert [(await fake.chat(ASK)).text for _ in range(2)] == ["last", "last"]
    assert fake.get_metrics()["errors"] == 1


async def test_a_function_sees_the_request() -> None:
    fake = FakeProvider(replies=lambda body: body["messages"][-1]["content"].upper())
    assert (await fake.chat(ASK)).text == "HOW ARE YOU"


async def test_it_obeys_schemas_and_forced_tools() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 3}, "l": {"type": "array", "minItems": 1, "items": {"enum": ["a"]}}},
    }
    answer = await FakeProvider().chat({**ASK, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}})
    assert json.loads(answer.text) == {"n": 3, "l": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        forced = await FakeProvider().chat({**ASK, "tools": [tool], "tool_choice": choice})
        assert forced.message["tool_calls"][0]["function"]["name"] == "f"
    assert (await FakeProvider().chat({**ASK, "tools": [tool]})).text
    assert (await FakeProvider().chat({**ASK, "response_format": {"type": "json_object"}})).text == "{}"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 4},
        {"type": ["null", "string"]},
        {"const": 5},
        {"anyOf": [{"type": "boolean"}]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}},
        {"type": "array"},
        {"properties": {"a": {"type": "null"}}},
    ],
)
def test_the_smallest_instance_is_one(schema: dict[str, Any]) -> None:
    assert jsonschema_rs.is_valid(schema, smallest(schema))


async def test_it_streams_counts_nothing_when_told_and_closes() -> None:
    fake = FakeProvider(replies=["hello world"], known_usage=False)
    chunks = [chunk async for chunk in fake.stream(ASK)]
    assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]) == "hello world"
    assert (await fake.chat(ASK)).usage == Usage(calls=1)
    await fake.aclose()
    assert fake.closed


async def test_an_empty_reply_is_an_empty_answer_and_a_slow_one_a_time_out() -> None:
    with pytest.raises(EmptyAnswer):
        await FakeProvider(replies=[""]).chat(ASK)
    with pytest.raises(ProviderTimeout):
        await FakeProvider(delay_s=60).chat(ASK, timeout_s=0.01)
    assert (await FakeProvider(delay_s=0.001).chat(ASK)).text
