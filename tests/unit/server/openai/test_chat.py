from __future__ import annotations

import asyncio
import json

import pytest

from perdure.errors.base import (
    AuthenticationFailed,
    BillingRefused,
    ContextTooLong,
    InvalidRequest,
    NetworkFailed,
    Overloaded,
    ProviderTimeout,
    RateLimited,
    StreamCut,
)
from perdure.events import listen
from perdure.testing import FakeProvider

HELLO = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


def events(text):
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


class Scripted(FakeProvider):
    """Streams what it is told, then raises or hangs; says when it was closed."""

    def __init__(self, *pieces, then=None):
        super().__init__()
        self.pieces, self.then, self.ended = pieces, then, asyncio.Event()

    async def chat(self, body, *, timeout_s=None):
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def stream(self, body, *, timeout_s=None):
        try:
            for piece in self.pieces:
                yield {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": piece}}]}
            if self.then is None:
                await asyncio.Event().wait()
            raise self.then
        finally:
            self.ended.set()


async def test_a_chat_goes_straight_to_its_provider_and_comes_back_in_openais_shape(serve):
    served = await serve(replies=["hi there"])
    answer = await served.post("/v1/chat/completions", {**HELLO, "temperature": 0.5, "seed": 7, "unknown_field": [1]})
    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["message"]["content"] == "hi there"
    assert answer.json["usage"]["total_tokens"] > 0
    assert served.provider.calls == [{**HELLO, "model": "fake-1", "temperature": 0.5, "seed": 7, "unknown_field": [1]}]
    assert answer.headers["x-request-id"].startswith("req_")


async def test_without_a_model_the_default_answers(served):
    assert (await served.post("/v1/chat/completions", {"messages": HELLO["messages"]})).status == 200


async def test_a_stream_comes_piece_by_piece_and_ends_with_done(serve):
    served = await serve(replies=["hi there, you"])
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    *chunks, done = events(answer.text)
    assert done == "[DONE]"
    read = [json.loads(chunk) for chunk in chunks]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in read) == "hi there, you"
    assert not any(chunk.get("usage") for chunk in read)


async def test_a_stream_counts_its_tokens_where_the_caller_asks_for_it(served):
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    last = json.loads(events(answer.text)[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "kind", "headers"),
    [
        (RateLimited("slow down", retry_at=1.79e9 + 30), 429, "rate_limit_error", {"retry-after": "30", "x-should-retry": "true"}),
        (Overloaded("busy"), 503, "service_unavailable_error", {"retry-after": "5", "x-should-retry": "true"}),
        (ProviderTimeout("slow"), 504, "timeout_error", {}),
        (NetworkFailed("gone"), 502, "server_error", {}),
        (AuthenticationFailed("bad key sk-aaaaaaaaaaaaaaaaaaaa"), 502, "server_error", {"x-should-retry": "false"}),
        (BillingRefused("no credit"), 402, "billing_error", {"x-should-retry": "false"}),
        (ContextTooLong("too long"), 400, "invalid_request_error", {"x-should-retry": "false"}),
        (InvalidRequest("what?"), 400, "invalid_request_error", {"x-should-retry": "false"}),
    ],
)
async def test_a_providers_error_before_the_first_piece_is_an_answer_of_its_own(serve, error, status, kind, headers, stream):
    served = await serve(replies=[error])
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": stream})
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert list(answer.json["error"]) == ["message", "type", "param", "code"]
    assert {name: answer.headers[name] for name in headers} == headers
    assert "sk-aaaa" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_declines_is_given_as_it_came_if_nobody_else_is_to_be_asked(serve, stream):
    served = await serve(replies=[{"content": None, "refusal": "I will not."}])
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": stream})
    assert answer.status == 200
    if not stream:
        assert answer.json["choices"][0]["message"]["refusal"] == "I will not."
    else:
        *chunks, done = events(answer.text)
        assert (done, "".join(json.loads(chunk)["choices"][0]["delta"].get("refusal", "") for chunk in chunks)) == ("[DONE]", "I will not.")


async def test_a_stream_that_breaks_says_so_and_is_not_done(serve):
    provider = Scripted("half an ", "answer", then=StreamCut("'fake' ended before its end"))
    served = await serve(provider=provider)
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": True})
    *chunks, last = events(answer.text)
    assert len(chunks) == 2
    assert json.loads(last)["error"]["code"] == "provider_stream_cut"
    assert "[DONE]" not in answer.text


async def test_a_stream_that_breaks_on_our_side_says_so_without_a_traceback(serve):
    served = await serve(provider=Scripted("half", then=ZeroDivisionError("secret detail")))
    answer = await served.post("/v1/chat/completions", {**HELLO, "stream": True})
    assert json.loads(events(answer.text)[-1])["error"]["code"] == "internal_error"
    assert "secret detail" not in answer.text


@pytest.mark.parametrize("body", [HELLO, {**HELLO, "stream": True}])
async def test_when_the_caller_hangs_up_the_providers_call_ends(serve, body):
    provider = Scripted()
    served = await serve(provider=provider)
    calling = asyncio.create_task(served.post("/v1/chat/completions", body))
    while not served.server.server_state.tasks:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    calling.cancel()
    await asyncio.wait_for(provider.ended.wait(), 30)


async def test_when_the_caller_hangs_up_in_mid_stream_the_providers_call_ends(serve):
    provider = Scripted("one", "two")
    served = await serve(provider=provider)
    request = served.http.post(
        served.url + "/v1/chat/completions", json={**HELLO, "stream": True}, headers={"authorization": f"Bearer {served.key}"}
    )
    async with request as answer:
        assert b"one" in await answer.content.readline()
    await asyncio.wait_for(provider.ended.wait(), 30)


async def test_a_quiet_stream_is_kept_open_by_comments(serve, monkeypatch):
    monkeypatch.setattr("perdure.server.openai.pieces.PING_S", 0.01)
    served = await serve(provider=Scripted("one"))
    headers = {"authorization": f"Bearer {served.key}"}
    async with served.http.post(served.url + "/v1/chat/completions", json={**HELLO, "stream": True}, headers=headers) as answer:
        async with asyncio.timeout(5):
            while (await answer.content.readline()) != b": ping\n":
                pass


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": "hi"}, "messages"),
        ({**HELLO, "temperature": "hot"}, "temperature"),
    ],
)
async def test_a_request_that_is_none_is_400_and_names_the_field(served, body, param):
    answer = await served.post("/v1/chat/completions", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert served.provider.count == 0


async def test_an_unknown_model_is_404_with_what_there_is(served):
    answer = await served.post("/v1/chat/completions", {**HELLO, "model": "gpt-9"})
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert "fake/fake-1" in answer.json["error"]["message"]


async def test_what_is_not_there_is_404_with_what_is(served):
    answer = await served.post("/v1/moderations", {})
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert "batches" in answer.json["error"]["message"]


async def test_what_there_is_not_is_404_in_openais_shape(served):
    answer = await served.get("/v1/nothing")
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


async def test_models_are_listed_and_shown_by_any_of_their_names(served):
    listed = (await served.get("/v1/models")).json
    assert [model["id"] for model in listed["data"]] == ["fake/fake-1", "small"]
    for name in ("fake/fake-1", "small"):
        assert (await served.get(f"/v1/models/{name}")).json["id"] == name
    assert (await served.get("/v1/models/gone")).status == 404
    assert (await served.get("/v1/models/")).status == 404


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_is_told_with_its_tenant_and_tokens(served, stream):
    told = []
    stop = listen("chat.answered", lambda name, facts: told.append(facts))
    try:
        await served.post("/v1/chat/completions", {**HELLO, "stream": stream}, key=await served.new_key("acme"))
    finally:
        stop()
    [facts] = told
    assert (facts["tenant"], facts["lane"], facts["stream"], facts["input_tokens"] > 0) == ("acme", "fake/fake-1", stream, True)


async def test_openais_own_client_is_served(serve):
    openai = pytest.importorskip("openai")
    served = await serve(replies=["one two three", "streamed answer", RateLimited("slow down")])
    client = openai.AsyncOpenAI(base_url=served.url + "/v1", api_key=served.key, max_retries=0)
    async with client:
        whole = await client.chat.completions.create(**HELLO)
        assert whole.choices[0].message.content == "one two three"
        stream = await client.chat.completions.create(**HELLO, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "streamed answer"
        with pytest.raises(openai.RateLimitError, match="slow down"):
            await client.chat.completions.create(**HELLO)
        assert [model.id async for model in client.models.list()] == ["fake/fake-1", "small"]


async def test_openais_own_client_raises_on_a_stream_that_breaks(serve):
    openai = pytest.importorskip("openai")
    served = await serve(provider=Scripted("half", then=StreamCut("cut")))
    async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key=served.key, max_retries=0) as client:
        stream = await client.chat.completions.create(**HELLO, stream=True)
        with pytest.raises(openai.APIError, match="cut"):
            [chunk async for chunk in stream]
