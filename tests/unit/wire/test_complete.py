from __future__ import annotations

from perdure.wire.complete import Chunks, complete_answer, complete_text, complete_usage


def piece(content="hi", **more):
    return {"choices": [{"index": 0, "delta": {"content": content}}], **more}


def test_an_answer_gets_what_its_server_left_out_and_keeps_what_it_added():
    bare = {"choices": [{"message": {"content": "hi", "annotations": []}, "stop_reason": 7}], "system_fingerprint": "f"}
    whole = complete_answer(bare, model="m")
    assert whole["id"].startswith("chatcmpl-")
    assert (whole["object"], whole["model"], whole["system_fingerprint"]) == ("chat.completion", "m", "f")
    assert whole["created"] > 0
    [choice] = whole["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hi", "refusal": None, "annotations": []}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"], choice["stop_reason"]) == (0, "stop", None, 7)


def test_what_a_server_says_is_not_said_otherwise():
    said = {
        "id": "x",
        "created": 5,
        "model": "theirs",
        "choices": [{"index": 3, "message": {"role": "assistant"}, "finish_reason": "length"}],
    }
    whole = complete_answer(said, model="m")
    assert (whole["id"], whole["created"], whole["model"]) == ("x", 5, "theirs")
    assert (whole["choices"][0]["index"], whole["choices"][0]["finish_reason"]) == (3, "length")


def test_a_reason_to_have_ended_is_one_that_openai_has():
    for theirs, ours in (("model_length", "length"), ("eos", "stop"), ("tool_calls", "tool_calls")):
        assert complete_answer({"choices": [{"message": {}, "finish_reason": theirs}]}, model="m")["choices"][0]["finish_reason"] == ours
    assert complete_answer({"choices": [{"message": {"tool_calls": [{}]}}]}, model="m")["choices"][0]["finish_reason"] == "tool_calls"


def test_a_text_is_made_whole_too():
    whole = complete_text(
        {"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}, model="m"
    )
    assert whole["id"].startswith("cmpl-")
    assert whole["object"] == "text_completion"
    assert whole["choices"] == [{"text": "hi", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert whole["usage"]["total_tokens"] == 3


def test_a_total_is_added_up_where_both_sides_are_known_and_only_there():
    assert complete_usage({"prompt_tokens": 1, "completion_tokens": 2})["total_tokens"] == 3
    assert complete_usage({"prompt_tokens": 1}) == {"prompt_tokens": 1}
    assert complete_usage({"total_tokens": 9, "prompt_tokens": 1, "completion_tokens": 2})["total_tokens"] == 9


def test_all_pieces_of_a_stream_have_one_head_and_the_first_its_role():
    chunks = Chunks(model="m", usage=False)
    first, second = chunks.take(piece(id="a", created=5)), chunks.take(piece("you", id="b", created=6))
    assert [(one["id"], one["created"], one["model"]) for one in (first, second)] == [("a", 5, "m")] * 2
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "hi"}
    assert second["choices"][0] == {"index": 0, "delta": {"content": "you"}, "finish_reason": None}


def test_tokens_are_counted_in_the_last_piece_wherever_the_server_counted_them():
    chunks = Chunks(model="m", usage=True)
    counted = chunks.take(piece(usage={"prompt_tokens": 1, "completion_tokens": 2}))
    assert counted["usage"] is None
    assert chunks.take({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 4}}) is None
    last = chunks.last()
    assert (last["choices"], last["usage"]["total_tokens"], last["id"]) == ([], 5, counted["id"])


def test_tokens_are_not_told_to_who_did_not_ask_nor_made_up():
    asked_not, not_counted = Chunks(model="m", usage=False), Chunks(model="m", usage=True)
    assert "usage" not in asked_not.take(piece(usage={"prompt_tokens": 1}))
    assert asked_not.counts == {"prompt_tokens": 1}
    not_counted.take(piece())
    assert asked_not.last() is None
    assert not_counted.last() is None


def test_who_asked_for_a_running_count_gets_it():
    assert Chunks(model="m", usage=True, running=True).take(piece(usage={"prompt_tokens": 1}))["usage"] == {"prompt_tokens": 1}
