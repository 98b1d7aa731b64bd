"""Items of a conversation: what each says in a chat."""

from __future__ import annotations

import pytest

from perdure.errors.base import InvalidInput
from perdure.wire.response_asks import as_chat, read_response_request
from perdure.wire.response_items import as_messages, items_of, shown


def test_calls_and_thoughts_join_the_message_they_belong_to():
    said = [
        {"role": "user", "content": "Go."},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I ask.", "annotations": []}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "1"}]},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "And now?"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
    ]
    user, asks, one, two, again = as_messages(said)
    assert (asks["content"], asks["reasoning_content"], [call["id"] for call in asks["tool_calls"]]) == ("I ask.", "Hm.", ["a", "b"])
    assert (one["content"], two["content"], user["content"]) == ("1", "2", "Go.")
    assert (again["content"], again["reasoning_content"], len(again["tool_calls"])) == (None, "And now?", 1)


def test_files_and_sound_are_said_as_chats_say_them():
    content = [
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:,x"},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "input_image", "image_url": "http://x", "detail": "auto"},
    ]
    [message] = as_messages([{"role": "user", "content": content}])
    assert message["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:,x"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "http://x"}},
    ]


def test_what_an_assistant_refused_stays_a_refusal():
    [message] = as_messages([{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}])
    assert (message["content"], message["refusal"]) == ("", "No.")


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"role": "tool", "content": "x"}, "role"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": ["x"]}, "content[0]"),
        ({"type": "item_reference", "id": "x"}, "type"),
        ({"type": "reasoning", "encrypted_content": "x"}, "encrypted_content"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "name"),
        ({"type": "function_call_output", "output": "x"}, "call_id"),
        ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "x"}]}, "output"),
    ],
)
def test_what_a_chat_cannot_say_is_refused_where_it_stands(item, place):
    with pytest.raises(InvalidInput) as refused:
        as_messages([{"role": "user", "content": "x"}, item])
    assert refused.value.problems[0].startswith(f"input[1].{place}: ")


def test_an_item_is_shown_with_the_same_id_each_time():
    [item] = items_of("hello")
    assert shown(item, "resp_1", 0) == shown(item, "resp_1", 0)
    assert shown(item, "resp_1", 0)["id"] != shown(item, "resp_1", 1)["id"]
    assert shown({"type": "reasoning", "id": "rs_1"}, "resp_1", 0) == {"type": "reasoning", "id": "rs_1", "summary": []}


def test_a_request_is_said_in_the_words_of_chats():
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}
    tool = {"type": "function", "name": "f", "parameters": {}}
    more = {"reasoning": {"effort": "low"}, "tool_choice": {"type": "function", "name": "f"}, "top_logprobs": 2, "seed": 7, "store": False}
    body = {"input": "x", "text": {"format": schema, "verbosity": "low"}, "tools": [tool], "max_output_tokens": 5, **more}
    asked = as_chat(read_response_request(body), items_of("x"))
    assert asked == {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_completion_tokens": 5,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": ""}, "model"),
        ({"stream_options": {}}, "stream_options"),
        ({"include": ["x"]}, "include[0]"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
    ],
)
def test_a_wrong_request_is_told_by_its_field(wrong, param):
    with pytest.raises(InvalidInput) as refused:
        read_response_request({"input": "x", **wrong})
    assert refused.value.problems[0].startswith(f"{param}: ")
