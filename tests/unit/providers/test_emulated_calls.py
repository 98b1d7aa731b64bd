"""A model without tool calls gets them by a schema, and the caller never notices."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from perdure.errors.base import InvalidOutput, InvalidRequest
from perdure.providers.emulated_calls import Offer, plain_messages
from perdure.providers.generic import GenericProvider
from perdure.testing.upstream import Upstream

FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds.",
        "parameters": {
            "type": "object",
            "properties": {"q": {"$ref": "#/$defs/Q"}},
            "required": ["q"],
            "$defs": {"Q": {"type": "string", "maxLength": 5}},
        },
    },
}
LOOK = {"type": "function", "function": {"name": "look"}}
ASK = [{"role": "user", "content": "where"}]
CALLED = [
    *ASK,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "there"},
]


def offer(**more: Any) -> Offer:
    repeat = more.pop("repeat", True)
    return Offer("p", {"model": "m", "messages": ASK, "tools": [FIND, LOOK], **more}, repeat=repeat)


def schema_of(made: Offer) -> dict[str, Any]:
    found: dict[str, Any] = made.request["response_format"]["json_schema"]["schema"]
    return found


def answered(made: Offer, text: str, reason: str = "stop") -> dict[str, Any]:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}]}
    choice: dict[str, Any] = made.take(body)["choices"][0]
    return choice


def test_the_request_has_no_tools_but_a_schema_and_a_description() -> None:
    made = offer(parallel_tool_calls=True, temperature=0)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(made.request)
    assert made.request["temperature"] == 0
    assert "find: Finds." in made.request["messages"][0]["content"]


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"name": "find", "arguments": {"q": "x"}}, True),
        ({"name": "find", "arguments": {"q": "too long"}}, False),
        ({"name": "find", "arguments": {}}, False),
        ({"name": "look", "arguments": {}}, True),
        ({"name": "other", "arguments": {}}, False),
        ({"answer": "here"}, True),
        ({"answer": 5}, False),
        ({}, False),
    ],
)
def test_the_schema_allows_one_call_or_an_answer(answer: dict[str, Any], allowed: bool) -> None:
    assert jsonschema_rs.is_valid(schema_of(offer()), answer) is allowed


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "find"}}])
def test_a_demanded_call_leaves_no_way_out(choice: Any) -> None:
    made = offer(tool_choice=choice)
    assert not jsonschema_rs.is_valid(schema_of(made), {"answer": "here"})
    assert jsonschema_rs.is_valid(schema_of(made), {"name": "find", "arguments": {"q": "x"}})
    assert jsonschema_rs.is_valid(schema_of(made), {"name": "look", "arguments": {}}) is (choice == "required")
    with pytest.raises(InvalidOutput):
        answered(made, "I would rather not")


def test_definitions_of_several_tools_do_not_collide() -> None:
    other = json.loads(json.dumps(FIND).replace('"find"', '"seek"').replace('"string", "maxLength": 5', '"integer"'))
    schema = schema_of(Offer("p", {"messages": ASK, "tools": [FIND, other]}))
    assert jsonschema_rs.is_valid(schema, {"name": "seek", "arguments": {"q": 5}})
    assert not jsonschema_rs.is_valid(schema, {"name": "find", "arguments": {"q": 5}})


def test_the_callers_own_schema_shapes_the_answer() -> None:
    wanted = {"type": "object", "properties": {"team": {"enum": ["a", "b"]}}, "required": ["team"]}
    made = offer(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": wanted}})
    assert jsonschema_rs.is_valid(schema_of(made), {"answer": {"team": "a"}})
    assert not jsonschema_rs.is_valid(schema_of(made), {"answer": {"team": "c"}})
    assert json.loads(answered(made, '{"answer": {"team": "a"}}')["message"]["content"]) == {"team": "a"}


def test_a_call_comes_back_as_openai_writes_it() -> None:
    choice = answered(offer(), '{"name": "find", "arguments": {"q": "é"}}')
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "find", "arguments": '{"q": "é"}'}


def test_a_plain_answer_comes_back_as_text() -> None:
    assert answered(offer(), '{"answer": "here"}')["message"]["content"] == "here"
    assert answered(offer(), "here, unconstrained")["message"]["content"] == "here, unconstrained"


def test_an_answer_that_ran_out_of_room_keeps_what_it_said() -> None:
    choice = answered(offer(), '{"answer": "it is he', "length")
    assert (choice["message"]["content"], choice["finish_reason"]) == ("it is he", "length")


def test_a_call_that_ran_out_of_room_is_no_answer() -> None:
    with pytest.raises(InvalidOutput, match="broke off"):
        answered(offer(), '{"name": "find", "arguments": {"q', "length")


def test_a_conversation_with_calls_is_written_out_plainly() -> None:
    plain = plain_messages([{"role": "developer", "content": "be good"}, *CALLED])
    assert [message["role"] for message in plain] == ["system", "user", "assistant", "user"]
    assert plain[2]["content"] == '{"name":"find","arguments":{"q":"x"}}'
    assert plain[3]["content"] == "Result of find: there"


def test_a_small_model_is_not_offered_the_same_tool_again_in_one_turn() -> None:
    again = Offer("p", {"messages": CALLED, "tools": [FIND, LOOK]}, repeat=False)
    assert not jsonschema_rs.is_valid(schema_of(again), {"name": "find", "arguments": {"q": "x"}})
    assert jsonschema_rs.is_valid(schema_of(again), {"name": "look", "arguments": {}})
    alone = Offer("p", {"messages": CALLED, "tools": [FIND]}, repeat=False)
    assert "response_format" not in alone.request
    next_turn = Offer("p", {"messages": [*CALLED, *ASK], "tools": [FIND]}, repeat=False)
    assert jsonschema_rs.is_valid(schema_of(next_turn), {"name": "find", "arguments": {"q": "x"}})


def test_no_tools_are_offered_where_none_are_wanted() -> None:
    made = offer(tool_choice="none")
    assert "response_format" not in made.request
    assert answered(made, '{"name": "find"}')["message"]["content"] == '{"name": "find"}'


def test_a_tool_that_is_not_there_cannot_be_demanded() -> None:
    with pytest.raises(InvalidRequest, match="'other'"):
        offer(tool_choice={"type": "function", "function": {"name": "other"}})


async def test_over_http_the_server_sees_no_tools_and_the_caller_sees_calls(upstream: Upstream) -> None:
    provider = GenericProvider("plain", base_url=upstream.base_url, native_tools=False)
    body = {"model": "m", "messages": ASK, "tools": [FIND], "tool_choice": "required"}
    answer = await provider.chat(body)
    assert answer.message["tool_calls"][0]["function"]["name"] == "find"
    assert "tools" not in upstream.requests[0].body
    chunks = [chunk async for chunk in provider.stream(body)]
    calls = [delta["tool_calls"] for chunk in chunks for choice in chunk["choices"] if (delta := choice["delta"]).get("tool_calls")]
    assert calls[0][0]["function"]["name"] == "find"
    await provider.chat({"model": "m", "messages": CALLED})
    assert {message["role"] for message in upstream.requests[-1].body["messages"]} == {"user", "assistant"}
    await provider.aclose()
