"""What a chat is called on the wire of `responses`."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.wire.responses import as_completion, as_response_request, can_be_said

TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


def test_a_conversation_with_tools_is_said_item_by_item() -> None:
    body = chat(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"},
        {"role": "assistant", "content": "so"},
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "look"}},
        max_tokens=7,
        temperature=0,
        reasoning_effort="low",
        stream=True,
    )

    said = as_response_request(body)

    assert can_be_said(body)
    assert said["input"] == [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:x", "detail": "auto"}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "found"},
        {"role": "assistant", "content": "so"},
    ]
    assert said["tools"] == [{"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}]
    assert (said["tool_choice"], said["max_output_tokens"], said["reasoning"]) == (
        {"type": "function", "name": "look"},
        7,
        {"effort": "low"},
    )
    assert (said["background"], said["store"], said["temperature"], "stream" in said) == (True, True, 0, False)


def test_a_shape_is_asked_for_in_its_own_place() -> None:
    schema = {"name": "verdict", "schema": {"type": "object"}, "strict": True}

    said = as_response_request(chat(response_format={"type": "json_schema", "json_schema": schema}, verbosity="low"))

    assert said["text"] == {"format": {"type": "json_schema", **schema}, "verbosity": "low"}
    assert as_response_request(chat(response_format={"type": "json_object"}))["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    "body",
    [
        chat(stop=["x"]),
        chat(n=2),
        chat(logprobs=True),
        chat(tools=[{"type": "custom"}]),
        chat({"role": "user", "content": [{"type": "input_audio"}]}),
        chat({"role": "function", "content": "x"}),
        chat({"role": "assistant", "audio": {"id": "a"}}),
    ],
    ids=str,
)
def test_what_only_a_chat_can_say_stays_one(body: dict[str, Any]) -> None:
    assert not can_be_said(body)


def test_an_answer_is_a_completion() -> None:
    done = as_completion(
        {
            "id": "resp_1",
            "model": "m",
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
                {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"a":1}'},
                "noise",
            ],
            "usage": {"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
        }
    )

    [choice] = done["choices"]
    assert choice["message"] == {"role": "assistant", "content": "ab", "reasoning_content": "hm", "tool_calls": [CALL]}
    assert (choice["finish_reason"], done["id"], done["usage"]["prompt_tokens"], done["usage"]["completion_tokens"]) == (
        "tool_calls",
        "resp_1",
        3,
        2,
    )


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "stop")])
def test_why_it_ended_is_told(reason: str | None, finish: str) -> None:
    done = as_completion({"incomplete_details": {"reason": reason} if reason else None, "output": []})

    assert done["choices"][0]["finish_reason"] == finish
