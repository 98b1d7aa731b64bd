"""Chats that are put as messages: answered late on the same line, or where the caller is told."""

from __future__ import annotations

import asyncio
import json

import pytest

from perdure.errors.base import ContextTooLong
from perdure.errors.report import facts_of
from perdure.wire.answers import completion

HELLO = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"
ASYNC = {"Prefer": "respond-async"}
RESULT = completion(model="fake-1", message={"role": "assistant", "content": "at last"}, usage={"prompt_tokens": 1, "completion_tokens": 2})


async def leased(served):
    """Wait for the message that was put, as a worker does."""
    async with asyncio.timeout(10):
        while not await served.store.messages.routes():
            await asyncio.sleep(0.002)
        while True:
            routes = await served.store.messages.routes()
            for lease in await served.store.messages.lease(routes, limit=1, worker=served.worker):
                return lease
            await asyncio.sleep(0.002)


async def done(served):
    await served.store.messages.done(await leased(served), json.dumps(RESULT).encode())


async def test_with_the_tier_flex_the_caller_gets_its_answer_when_the_message_has_ended(served):
    asking = asyncio.create_task(served.post(CHAT, {**HELLO, "service_tier": "flex", "seed": 7, "stream": False}))
    lease = await leased(served)
    assert (lease.message.agent, lease.message.lane) == ("chat", "fake/fake-1")
    assert json.loads(lease.message.body) == {**HELLO, "service_tier": "flex", "seed": 7}
    await served.store.messages.done(lease, json.dumps(RESULT).encode())
    answer = await asking
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "at last")
    assert answer.json["usage"]["total_tokens"] == 3
    assert answer.headers["perdure-message"].startswith("msg_")
    assert served.provider.count == 0  # the server asks nobody


async def test_a_stream_with_the_tier_flex_comes_once_the_message_has_ended(served, monkeypatch):
    monkeypatch.setattr("perdure.server.openai.queued.PING_S", 0.01)
    body = {**HELLO, "service_tier": "flex", "stream": True, "stream_options": {"include_usage": True}}
    headers = {"authorization": f"Bearer {served.key}"}
    async with served.http.post(served.url + CHAT, json=body, headers=headers) as answer:
        assert await answer.content.readline() == b": ping\n"
        await done(served)
        text = (await answer.read()).decode()
    pieces = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")]
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces[:-1]) == "at last"
    assert (pieces[-1]["choices"], pieces[-1]["usage"]["total_tokens"]) == ([], 3)
    assert text.endswith("data: [DONE]\n\n")


async def test_who_prefers_it_later_is_told_where_the_answer_will_be(served):
    put = await served.post(CHAT, HELLO, headers=ASYNC)
    assert (put.status, put.json["object"], put.json["status"]) == (202, "chat.completion.queued", "ready")
    assert (put.headers["location"], put.headers["preference-applied"]) == (f"{CHAT}/{put.json['id']}", "respond-async")
    early = await served.get(put.headers["location"])
    assert (early.status, early.json["id"]) == (202, put.json["id"])
    waiting = asyncio.create_task(served.get(put.headers["location"] + "?wait=20"))
    await done(served)
    for answer in (await waiting, await served.get(put.headers["location"])):
        assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "at last")


async def test_who_would_wait_a_little_gets_the_answer_if_it_comes_in_time(served):
    asking = asyncio.create_task(served.post(CHAT, HELLO, headers={"Prefer": "respond-async, wait=20"}))
    await done(served)
    assert (await asking).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_message_died_of_is_told_as_the_door_tells_it(served, stream):
    asking = asyncio.create_task(served.post(CHAT, {**HELLO, "service_tier": "flex", "stream": stream}))
    await served.store.messages.bury(await leased(served), ContextTooLong("too long for it").facts())
    answer = await asking
    error = json.loads(answer.text.removeprefix("data: "))["error"] if stream else answer.json["error"]
    assert (answer.status, error["code"], "too long" in error["message"]) == (200 if stream else 400, "context_length_exceeded", True)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_another_library_is_told_as_one_of_ours(served, stream):
    asking = asyncio.create_task(served.post(CHAT, {**HELLO, "service_tier": "flex", "stream": stream}))
    await served.store.messages.bury(await leased(served), facts_of(ValueError("no such thing")))
    answer = await asking
    error = json.loads(answer.text.removeprefix("data: "))["error"] if stream else answer.json["error"]
    assert (answer.status, error["code"], "no such thing" in error["message"]) == (200 if stream else 500, "internal_error", True)


async def test_a_query_that_is_none_is_400(served):
    put = await served.post(CHAT, HELLO, headers=ASYNC)
    assert (await served.get(put.headers["location"] + "?wait=long")).status == 400


async def test_a_chat_that_was_called_off_has_no_answer_and_is_not_to_be_asked_for_again(served):
    put = await served.post(CHAT, HELLO, headers=ASYNC)
    await served.post(f"/api/v1/messages/{put.json['id']}/cancel")
    answer = await served.get(put.headers["location"])
    assert (answer.status, answer.headers["x-should-retry"]) == (409, "false")


async def test_an_agent_of_ones_own_under_that_name_answers_with_no_completions(served):
    put = await served.post(CHAT, HELLO, headers=ASYNC)
    await served.store.messages.done(await leased(served), b'"just a text"')
    assert (await served.get(put.headers["location"])).status == 409


async def test_with_a_key_it_is_put_once_also_where_the_call_is_forgotten(served):
    headers = {**ASYNC, "Idempotency-Key": "k"}
    first = await served.post(CHAT, HELLO, headers=headers)
    assert (await served.post(CHAT, HELLO, headers=headers)).json == first.json
    served.store._contents.calls.clear()  # as if its server had been killed before it was recorded
    assert (await served.post(CHAT, HELLO, headers=headers)).json["id"] == first.json["id"]


async def test_a_caller_that_hangs_up_stops_nothing(served):
    asking = asyncio.create_task(served.post(CHAT, {**HELLO, "service_tier": "flex"}))
    lease = await leased(served)
    asking.cancel()
    await asyncio.wait((asking,))
    await served.store.messages.done(lease, json.dumps(RESULT).encode())  # and not cancelled


async def test_it_takes_a_key_that_may_put_messages_and_shows_nothing_of_others(served):
    only_chats = await served.new_key("acme", ["chat:write"])
    assert (await served.post(CHAT, HELLO, headers=ASYNC, key=only_chats)).status == 403
    put = await served.post(CHAT, HELLO, headers=ASYNC)
    assert (await served.get(put.headers["location"], key=await served.new_key("acme"))).status == 404
    other = await served.put("echo")
    assert (await served.get(f"{CHAT}/{other}")).status == 404


async def test_without_anybody_who_carries_out_chats_it_is_refused(serve):
    served = await serve(agents=False)
    assert (await served.post(CHAT, {**HELLO, "service_tier": "flex"})).status == 404


async def test_other_tiers_go_straight_to_the_provider(served):
    assert (await served.post(CHAT, {**HELLO, "service_tier": "auto"}, headers={"Prefer": "return=minimal"})).status == 200
    assert served.provider.calls[0]["service_tier"] == "auto"


async def test_openais_own_client_asks_with_the_tier_flex_and_finds_its_answer_later(served):
    openai = pytest.importorskip("openai")
    async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key=served.key, max_retries=0) as client:
        asking = asyncio.create_task(client.chat.completions.create(**HELLO, service_tier="flex"))
        await done(served)
        assert (await asking).choices[0].message.content == "at last"
        put = await client.chat.completions.create(**HELLO, extra_headers=ASYNC)
        await done(served)
        assert (await client.chat.completions.retrieve(put.id)).choices[0].message.content == "at last"
