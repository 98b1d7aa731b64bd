"""A streamed answer is put together to what the whole one would have been."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.wire.answers import chunks_of, completion, model_list
from perdure.wire.assemble import Assembler

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}


def assembled(*deltas: dict[str, Any], reason: str | None = "stop", index: int = 0) -> dict[str, Any]:
    assembler = Assembler()
    for delta in deltas:
        assembler.add({"id": "x", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": None}]})
    assembler.add({"choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
    message: dict[str, Any] = assembler.finish()["choices"][0]["message"]
    return message


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "a long answer"},
        {"role": "assistant", "content": "so", "reasoning_content": "because of this"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "assistant", "content": None, "refusal": "no"},
    ],
)
@pytest.mark.parametrize("piece", [None, 1, 4])
def test_chunks_of_an_answer_assemble_to_the_same_answer(message: dict[str, Any], piece: int | None) -> None:
    whole = completion(model="m", message=message, usage=USAGE)
    assembler = Assembler()
    for chunk in chunks_of(whole, piece=piece):
        assembler.add(chunk)
    assert assembler.finish() == whole
    assert assembler.finished
    assert assembler.began


def test_tool_calls_are_merged_by_index_whatever_is_left_out_later() -> None:
    message = assembled(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "one", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "two", "arguments": None}}]},
        {"tool_calls": [{"index": 0, "id": "", "function": {"arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 1, "function": {"name": None, "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    )
    assert [(call["id"], call["function"]) for call in message["tool_calls"]] == [
        ("a", {"name": "one", "arguments": '{"x":1}'}),
        ("b", {"name": "two", "arguments": "{}"}),
    ]


def test_tool_calls_without_an_index_are_told_apart_by_their_id() -> None:
    message = assembled(
        {"tool_calls": [{"id": "a", "function": {"name": "one", "arguments": "{"}}]},
        {"tool_calls": [{"function": {"arguments": "}"}}]},
        {"tool_calls": [{"id": "b", "function": {"name": "two", "arguments": "{}"}}]},
    )
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}", "{}"]


def test_a_call_without_an_id_gets_one() -> None:
    message = assembled({"tool_calls": [{"index": 0, "function": {"name": "one", "arguments": "{}"}}]})
    assert message["tool_calls"][0]["id"] == "call_0"


def test_usage_of_a_chunk_without_choices_is_kept() -> None:
    assembler = Assembler()
    assembler.add({"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}], "usage": None})
    assembler.add({"choices": [], "usage": USAGE})
    assert assembler.finish()["usage"] == USAGE


def test_unknown_fields_survive() -> None:
    assembler = Assembler()
    assembler.add({"system_fingerprint": "fp", "choices": [{"delta": {"content": "x", "annotations": [1]}}]})
    body = assembler.finish()
    assert body["system_fingerprint"] == "fp"
    assert body["choices"][0]["message"]["annotations"] == [1]


def test_calls_of_other_kinds_than_functions_are_put_together_too() -> None:
    custom = assembled(
        {"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT "}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "1"}}]},
    )
    assert custom["tool_calls"] == [{"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}]
    old = assembled({"function_call": {"name": "f", "arguments": '{"a"'}}, {"function_call": {"arguments": ": 1}"}}, reason="function_call")
    assert old["function_call"] == {"name": "f", "arguments": '{"a": 1}'}


def test_what_a_choice_says_beside_its_message_survives_cutting_and_assembling() -> None:
    told = [{"token": "a", "logprob": -1}]
    whole = completion(model="m", message={"role": "assistant", "content": "a", "annotations": [{"type": "x"}]})
    whole["service_tier"] = "default"
    whole["choices"][0] |= {"logprobs": {"content": told, "refusal": told}, "content_filter_results": {"hate": False}}
    assembler = Assembler()
    for chunk in chunks_of(whole):
        assembler.add(chunk)
    again = assembler.finish()
    assert again["choices"] == whole["choices"]
    assert again["service_tier"] == "default"


def test_logprobs_add_up() -> None:
    assembler = Assembler()
    for token in "ab":
        assembler.add({"choices": [{"index": 0, "delta": {"content": token}, "logprobs": {"content": [{"token": token}]}}]})
    assert assembler.finish()["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_several_choices_stay_apart() -> None:
    assembler = Assembler()
    assembler.add({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}, {"index": 0, "delta": {"content": "a"}}]})
    assert not assembler.finished
    assert [choice["message"]["content"] for choice in assembler.finish()["choices"]] == ["a", "b"]


def test_nothing_at_all_has_not_begun() -> None:
    assembler = Assembler()
    assembler.add({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    assert not assembler.began
    assert not assembler.finished


def test_models_are_listed_as_openai_does() -> None:
    assert model_list(["a/b"]) == {"object": "list", "data": [{"id": "a/b", "object": "model", "created": 0, "owned_by": "perdure"}]}
