"""Batch lines: read whole, refused with line numbers, answered in OpenAI's form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure.cli.lines import answer_line, dedup_key, read_lines
from perdure.errors.base import InvalidInput

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def line(custom_id: Any = "1", **more: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": CHAT} | more)


def test_lines_are_read_and_empty_ones_left_out() -> None:
    [one, two] = read_lines(f"{line('a')}\n\n  \r\n{line('b')}\r\n".encode(), agent="chat")
    assert (one.number, one.custom_id, json.loads(one.body)) == (1, "a", CHAT)
    assert (two.number, two.custom_id) == (4, "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{nope", "is not JSON"),
        ('"\\ud800"', "is not JSON"),
        ("[" * 10_000, "nested too deeply"),
        ('{"n": 1e999}', "a number in this is too large"),
        ("[1]", "Expected `object`"),
        (line(custom_id=5), "custom_id"),
        (line(custom_id=""), "1 to 512 characters"),
        (line(custom_id="x" * 513), "1 to 512 characters"),
        (line(method="GET"), "only 'POST' is known"),
        (line(url="/v1/embeddings"), "only '/v1/chat/completions' is known"),
        (line(bdy={}), "unknown field `bdy`"),
        (line(body=5), "object"),
        (line(body={"model": "m"}), "messages"),
        (line(body=CHAT | {"stream": True}), "cannot be streamed"),
        ('{"custom_id": "1", "method": "POST"}', "missing required field `body`"),
    ],
)
def test_a_bad_line_is_named_with_its_number(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was put") as caught:
        read_lines(f"{line('good')}\n{text}\n".encode(), agent="chat")
    assert caught.value.problems
    assert all(problem.startswith("line 2: ") for problem in caught.value.problems)
    assert said in caught.value.problems[0]


def test_one_mistake_is_counted_as_one() -> None:
    with pytest.raises(InvalidInput, match="has 1 mistake; nothing"):
        read_lines(b"x", agent="chat")


def test_every_bad_line_is_named_at_once() -> None:
    with pytest.raises(InvalidInput, match="has 30 mistakes; nothing") as caught:
        read_lines(b"x\n" * 30, agent="chat")
    assert len(caught.value.problems) == 30


def test_a_custom_id_twice_names_the_first_line() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_lines(f"{line('a')}\n{line('a')}".encode(), agent="chat")
    assert caught.value.problems == ["line 2: custom_id 'a' is that of line 1 already"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_a_line_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_lines(content, agent="chat")


def test_for_another_agent_the_body_may_be_anything() -> None:
    [one] = read_lines(b'{"custom_id": "1", "body": {"ticket": "x"}}', agent="triage")
    assert one.body == b'{"ticket": "x"}'


def test_the_key_of_a_line_is_made_of_all_that_matters() -> None:
    [one] = read_lines(line().encode(), agent="chat")
    [other] = read_lines(line(body=CHAT | {"n": 1}).encode(), agent="chat")
    keys = {
        dedup_key(one, agent="chat", round=""),
        dedup_key(one, agent="chat", round="2"),
        dedup_key(one, agent="triage", round=""),
        dedup_key(other, agent="chat", round=""),
    }
    assert len(keys) == 4
    assert dedup_key(one, agent="chat", round="") == dedup_key(one, agent="chat", round="")


def test_an_answer_and_an_error_are_written_as_openai_does() -> None:
    done: Any = {"id": "msg_1", "state": "done", "result": {"object": "chat.completion"}, "error": None}
    dead: Any = {"id": "msg_2", "state": "dead", "result": None, "error": {"code": "c", "message": "m"}}
    gone: Any = {"id": "msg_3", "state": "cancelled", "result": None, "error": None}
    assert json.loads(answer_line("a", done)) == {
        "id": "batch_req_1",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "msg_1", "body": {"object": "chat.completion"}},
        "error": None,
    }
    assert json.loads(answer_line("a", dead))["error"] == {"code": "c", "message": "m"}
    assert json.loads(answer_line("a", gone))["error"]["code"] == "cancelled"
