"""The pieces of a chat as the events of a response."""

from __future__ import annotations

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from perdure.errors.base import ContextTooLong, Overloaded, ServerFailed
from perdure.wire.answers import completion
from perdure.wire.response_events import ResponseEvents, completed
from perdure.wire.response_said import begun, error_of, usage_said

BEGUN = begun({}, id="resp_1", model="m", at=1.5)
EVENT = TypeAdapter(ResponseStreamEvent)


def told(*deltas, reason="stop", **more):
    """All events of a stream, each against OpenAI's own types."""
    events = ResponseEvents(BEGUN)
    found = events.begin()
    for delta in deltas:
        found += events.take({"choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]})
    found += events.take({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    found += events.end(at=2.5)
    for event in found:
        EVENT.validate_python(event, strict=True)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    Response.model_validate(events.response, strict=True)
    return found, events.response


def kinds(found):
    return [event["type"].removeprefix("response.") for event in found]


def test_a_thought_a_refusal_and_a_text_are_items_and_parts_of_their_own():
    found, response = told({"role": "assistant"}, {"reasoning_content": "Hm"}, {"reasoning": "m."}, {"content": "So"}, {"refusal": "no"})
    thought, message = response["output"]
    assert (thought["type"], thought["content"]) == ("reasoning", [{"type": "reasoning_text", "text": "Hmm."}])
    assert [part.get("text") or part["refusal"] for part in message["content"]] == ["So", "no"]
    assert kinds(found)[2:9] == [
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
    ]  # fmt: skip
    assert kinds(found)[-4:] == ["refusal.done", "content_part.done", "output_item.done", "completed"]


def test_calls_whose_pieces_come_mixed_are_each_put_together():
    first = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}
    second = {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"n":'}}]}
    rest = {"tool_calls": [{"index": 1, "function": {"arguments": "1}"}}, {"index": 0, "function": {"arguments": "{}"}}]}
    found, response = told({"content": "I ask."}, first, second, rest, reason="tool_calls")
    assert [(one.get("call_id"), one.get("name"), one.get("arguments")) for one in response["output"][1:]] == [
        ("a", "f", "{}"), ("b", "g", '{"n":1}'),
    ]  # fmt: skip
    assert {one["status"] for one in response["output"]} == {"completed"}
    assert kinds(found).count("function_call_arguments.done") == 2


def test_calls_of_a_server_that_counts_them_not_are_told_apart_by_their_ids():
    pieces = [
        {"id": "a", "function": {"name": "f", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "a", "function": {"arguments": ""}},
        {"id": "b", "function": {"name": "g"}},
    ]
    _, response = told(*({"tool_calls": [piece]} for piece in pieces))
    assert [(one["call_id"], one["arguments"]) for one in response["output"]] == [("a", "{}"), ("b", "")]


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_off_is_incomplete_and_says_why(reason, why):
    found, response = told({"content": "So f"}, reason=reason)
    assert (response["status"], response["incomplete_details"], response["completed_at"]) == ("incomplete", {"reason": why}, None)
    assert (found[-1]["type"], response["output"][0]["status"]) == ("response.incomplete", "incomplete")


def test_a_stream_that_breaks_keeps_what_came():
    events = ResponseEvents(BEGUN)
    events.take({"choices": [{"delta": {"content": "half"}}]})
    [last] = events.fail(ServerFailed("down").facts())
    EVENT.validate_python(last, strict=True)
    assert (last["response"]["status"], last["response"]["output"][0]["content"][0]["text"]) == ("failed", "half")


def test_the_same_answer_is_told_by_the_same_events():
    answer = completion(model="m", message={"role": "assistant", "content": "x" * 10}, usage={"prompt_tokens": 1, "completion_tokens": 2})
    assert completed(BEGUN, answer, at=3) == completed(BEGUN, answer, at=3)
    assert completed(BEGUN, answer, at=3)["usage"]["total_tokens"] == 3


def test_what_a_server_has_cited_is_told_with_the_text():
    cited = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "title": "T", "url": "http://x"}}
    found, response = told({"annotations": [cited]}, {"content": "So"})
    expected = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "http://x"}
    assert response["output"][0]["content"][0]["annotations"] == [expected]
    assert kinds(found)[-5:-3] == ["output_text.annotation.added", "output_text.done"]


def test_tokens_nobody_counted_are_not_made_up():
    assert usage_said(None) is None
    assert usage_said({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}})["input_tokens_details"]["cached_tokens"] == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [(ContextTooLong("long"), "invalid_prompt"), (ServerFailed("down"), "server_error"), (Overloaded("busy"), "rate_limit_exceeded")],
)
def test_why_it_failed_is_said_in_openais_few_codes(error, code):
    assert error_of(error.facts())["code"] == code
