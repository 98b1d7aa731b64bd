"""Calls with a key are made once, whoever hangs up, comes back or dies."""

from __future__ import annotations

import asyncio
import json

import pytest

from perdure.errors.base import Billed, Overloaded, ProviderTimeout, RateLimited, StreamCut
from perdure.events import listen
from perdure.messages.spending import day_of
from perdure.providers.deployments import Deployments
from perdure.providers.models import Models
from perdure.providers.prices import OwnPrice, Prices
from perdure.providers.target import Target
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeProvider, InMemoryStore

HELLO = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"
KEY = {"Idempotency-Key": "order 7"}


_TRIES = (("late", ProviderTimeout("late", billed=Billed.MAYBE)), ("limited", RateLimited("slow down", retry_at=1.79e9 + 30)))


class Held(FakeProvider):
    """Answers when it is let; says how often it was asked."""

    def __init__(self, *, then=None):
        super().__init__()
        self.let, self.asked, self.then = asyncio.Event(), asyncio.Event(), then

    async def chat(self, body, *, timeout_s=None):
        self.asked.set()
        await self.let.wait()
        return await super().chat(body, timeout_s=timeout_s)

    async def stream(self, body, *, timeout_s=None):
        self.calls.append(dict(body))
        for at, piece in enumerate(("one ", "two ", "three")):
            if at == 2:
                self.asked.set()
                await self.let.wait()
                if self.then is not None:
                    raise self.then
            yield {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": "stop" if at == 2 else None}]}


def said(text):
    pieces = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")]
    return "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)


async def first_piece(served, headers=KEY):
    """Read a stream's first piece, and hang up."""
    sent = {"authorization": f"Bearer {served.key}", **headers}
    async with served.http.post(served.url + CHAT, json={**HELLO, "stream": True}, headers=sent) as answer:
        return (await answer.content.readline()).decode()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_call_gets_the_same_answer_and_is_made_once(serve, stream):
    served = await serve(replies=["first", "second"])
    body = {**HELLO, "stream": stream}
    first = await served.post(CHAT, body, headers=KEY)
    again = await served.post(CHAT, dict(reversed(body.items())), headers=KEY)
    assert (again.status, again.raw, again.headers["content-type"]) == (200, first.raw, first.headers["content-type"])
    assert "first" in (said(first.text) if stream else first.text)
    assert served.provider.count == 1
    assert "perdure-replayed" not in first.headers
    told = {name: again.headers[name] for name in ("perdure-replayed", "perdure-attempts", "perdure-cost-usd", "perdure-lane")}
    assert told == {"perdure-replayed": "true", "perdure-attempts": "0", "perdure-cost-usd": "0", "perdure-lane": "fake/fake-1"}
    assert (await served.post(CHAT, body)).status == 200
    assert served.provider.count == 2  # without a key it is another call


async def test_texts_and_vectors_have_keys_too_and_one_key_is_for_one_of_them(served):
    first = await served.post("/v1/embeddings", {"input": "a"}, headers=KEY)
    assert (await served.post("/v1/embeddings", {"input": "a"}, headers=KEY)).headers["perdure-replayed"] == "true"
    assert first.status == 200
    answer = await served.post(CHAT, HELLO, headers=KEY)
    assert (answer.status, answer.json["error"]["code"]) == (422, "dedup_conflict")


async def test_another_body_with_the_same_key_is_refused_while_it_is_made_and_after(serve):
    served = await serve(provider=Held())
    making = asyncio.create_task(served.post(CHAT, HELLO, headers=KEY))
    await served.provider.asked.wait()
    assert (await served.post(CHAT, {**HELLO, "seed": 1}, headers=KEY)).status == 422
    served.provider.let.set()
    assert (await making).status == 200
    assert (await served.post(CHAT, {**HELLO, "seed": 1}, headers=KEY)).status == 422


async def test_keys_of_two_tenants_have_nothing_to_do_with_each_other(served):
    for tenant in ("acme", "other"):
        answer = await served.post(CHAT, HELLO, headers=KEY, key=await served.new_key(tenant))
        assert "perdure-replayed" not in answer.headers
    assert served.provider.count == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "schlüssel"])
async def test_a_key_that_is_none_is_refused(served, key):
    answer = await served.post(CHAT, HELLO, headers={"Idempotency-Key": key})
    assert (answer.status, answer.json["error"]["code"], served.provider.count) == (400, "invalid_input", 0)


async def test_who_asks_while_it_is_made_waits_and_gets_the_same_answer(serve):
    served = await serve(provider=Held())
    asking = [asyncio.create_task(served.post(CHAT, HELLO, headers=KEY)) for _ in range(5)]
    await served.provider.asked.wait()
    served.provider.let.set()
    answers = await asyncio.gather(*asking)
    assert {answer.raw for answer in answers} == {answers[0].raw}
    assert sum("perdure-replayed" in answer.headers for answer in answers) == 4
    assert served.provider.count == 1


async def test_a_stream_under_way_is_read_from_its_beginning_by_whoever_comes_later(serve):
    served = await serve(provider=Held())
    assert "one " in await first_piece(served)  # hangs up then
    await served.provider.asked.wait()
    later = asyncio.create_task(served.post(CHAT, {**HELLO, "stream": True}, headers=KEY))
    await asyncio.sleep(0.05)
    served.provider.let.set()
    answer = await later
    assert said(answer.text) == "one two three"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (served.provider.count, answer.headers["perdure-replayed"]) == (1, "true")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_goes_on_when_its_caller_has_left_and_is_recorded_and_booked(serve, stream):
    served = await serve(provider=Held(), prices=Prices({"fake/fake-1": OwnPrice(input_usd=1, output_usd=1)}))
    leaving = asyncio.create_task(served.post(CHAT, {**HELLO, "stream": stream}, headers=KEY))
    await served.provider.asked.wait()
    leaving.cancel()
    await asyncio.wait((leaving,))
    await until(lambda: not served.server.server_state.tasks)  # the server has seen it
    served.provider.let.set()
    answer = await served.post(CHAT, {**HELLO, "stream": stream}, headers=KEY)
    assert (answer.status, served.provider.count, answer.headers["perdure-replayed"]) == (200, 1, "true")
    today = day_of(served.clock.now())
    [entry] = await served.store.spending.entries(today, today)
    assert entry.usage.calls == 1


@pytest.mark.parametrize(
    ("error", "status", "paid_again"), [(Overloaded("busy"), 503, 0), (ProviderTimeout("late", billed=Billed.MAYBE), 504, 1)]
)
async def test_an_error_is_told_and_not_kept_and_what_may_be_paid_twice_is_counted(serve, error, status, paid_again):
    told = []
    served = await serve(replies=[error, "then it went"])
    assert (await served.post(CHAT, HELLO, headers=KEY)).status == status
    stop = listen("chat.answered", lambda name, facts: told.append(facts["paid_again"]))
    try:
        again = await served.post(CHAT, HELLO, headers=KEY)
    finally:
        stop()
    assert (again.status, served.provider.count, told) == (200, 2, [paid_again])


async def test_a_try_that_may_be_paid_counts_although_another_was_refused_for_nothing(serve):
    late, limited = (FakeProvider(name, replies=[error, "then"]) for name, error in _TRIES)
    both = Deployments(name="both", targets=(Target(late, "m"), Target(limited, "m")))
    served = await serve(models=Models({"late": late, "limited": limited}, {"both": both}, "both"), provider=late)
    assert (await served.post(CHAT, {**HELLO, "model": "both"}, headers=KEY)).status == 429
    [row] = served.store._contents.calls.values()
    assert row.unsure


async def test_a_stream_that_broke_is_not_kept(serve):
    provider = Held(then=StreamCut("it broke"))
    served = await serve(provider=provider)
    provider.let.set()
    broken = await served.post(CHAT, {**HELLO, "stream": True}, headers=KEY)
    assert "it broke" in broken.text
    assert "[DONE]" not in broken.text
    provider.then = None
    assert said((await served.post(CHAT, {**HELLO, "stream": True}, headers=KEY)).text) == "one two three"
    assert provider.count == 2


async def test_what_the_caller_did_wrong_uses_no_key(served):
    assert (await served.post(CHAT, {**HELLO, "temperature": 9}, headers=KEY)).status == 400
    assert (await served.post(CHAT, HELLO, headers=KEY)).status == 200


async def test_an_answer_outlives_its_server(running, tmp_path):
    async with running(store=SqliteStore(tmp_path / "perdure.db"), replies=["kept"]) as served:
        first = await served.post(CHAT, HELLO, headers=KEY)
    async with running(store=SqliteStore(tmp_path / "perdure.db"), replies=["another"]) as served:
        again = await served.post(CHAT, HELLO, headers=KEY)
        assert (again.raw, served.provider.count) == (first.raw, 0)


async def test_a_call_that_another_server_makes_is_waited_for_and_taken_over_when_that_is_dead(serve, monkeypatch):
    monkeypatch.setattr("perdure.server.once._LOOK_S", 0.005)
    one = await serve(provider=Held())
    other = await serve(store=one.store, replies=["from the other"])
    dying = asyncio.create_task(one.post(CHAT, HELLO, headers=KEY))
    await one.provider.asked.wait()
    with monkeypatch.context() as hasty:
        hasty.setattr("perdure.server.once.PATIENCE_S", 0.02)
        answer = await other.post(CHAT, HELLO, headers=KEY)
    assert (answer.status, answer.json["error"]["code"], other.provider.count) == (409, "call_under_way", 0)
    waiting = asyncio.create_task(other.post(CHAT, HELLO, headers=KEY))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    one.clock.pass_by(seconds=16)  # and the first says nothing meanwhile
    assert "from the other" in (await waiting).text
    one.provider.let.set()
    late = await dying
    assert "from the other" in late.text  # the first that was recorded, for everybody


async def test_a_server_says_that_it_still_makes_a_call(serve, monkeypatch):
    monkeypatch.setattr("perdure.server.once.RENEW_S", 0.01)
    served = await serve(provider=Held())
    making = asyncio.create_task(served.post(CHAT, HELLO, headers=KEY))
    await served.provider.asked.wait()
    [row] = served.store._contents.calls.values()
    before = row.until
    served.clock.pass_by(seconds=5)
    await until(lambda: row.until == before + 5)
    served.provider.let.set()
    assert (await making).status == 200


async def test_a_store_that_does_not_answer_is_503_and_the_call_is_not_made(serve):
    store = InMemoryStore()
    served = await serve(store=store)
    assert (await served.post(CHAT, HELLO)).status == 200  # its key is remembered
    store._contents.closed = True
    answer = await served.post(CHAT, HELLO, headers=KEY)
    store._contents.closed = False
    assert (answer.status, served.provider.count) == (503, 1)
