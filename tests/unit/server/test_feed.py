from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import StoreBusy
from perdure.messages.message import NewMessage
from perdure.server.feed import Feed
from perdure.testing import FakeClock, InMemoryStore


@pytest.fixture
async def messages():
    async with InMemoryStore(clock=FakeClock()) as store:
        yield store.messages


def put(messages, queue="q"):
    return messages.put([NewMessage(agent="a", body=b"1", queue=queue)])


async def test_a_listener_hears_what_it_wants_and_nothing_from_before(messages):
    feed = Feed(messages)
    await put(messages, "mine")
    async with feed.listen(lambda change: change.queue == "mine") as listener:
        await put(messages, "other")
        await put(messages, "mine")
        [heard] = await listener.next(5)
        assert heard.queue == "mine"
        assert await listener.next(0.01) == []
    await feed.close()


async def test_all_listeners_hear_of_one_change(messages):
    feed = Feed(messages)
    async with feed.listen(lambda _: True) as one, feed.listen(lambda _: True) as two:
        await put(messages)
        assert len(await one.next(5)) == len(await two.next(5)) == 1
    await feed.close()


async def test_a_listener_that_comes_later_starts_the_reader_again(messages):
    feed = Feed(messages)
    async with feed.listen(lambda _: True) as listener:
        await put(messages)
        await listener.next(5)
    await put(messages)
    async with feed.listen(lambda _: True) as listener:
        await put(messages)
        assert await listener.next(5)
    await feed.close()


async def test_trouble_of_the_store_reaches_every_listener_and_the_next_one_begins_anew(messages, monkeypatch):
    feed = Feed(messages)
    real, troubles = type(messages).changed, [StoreBusy("locked")]

    async def changed(self, after, *, timeout_s):
        if troubles:
            raise troubles.pop()
        return await real(self, after, timeout_s=timeout_s)

    monkeypatch.setattr(type(messages), "changed", changed)
    async with feed.listen(lambda _: True) as listener:
        with pytest.raises(StoreBusy):
            await listener.next(5)
    async with feed.listen(lambda _: True) as listener:
        await put(messages)
        assert await listener.next(5)
    await feed.close()


async def test_a_closing_feed_sends_everybody_home(messages):
    feed = Feed(messages)
    async with feed.listen(lambda _: True) as listener:
        waiting = asyncio.create_task(listener.next(60))
        await asyncio.sleep(0)
        await feed.close()
        assert await asyncio.wait_for(waiting, 30) == []
        assert listener.closing
    async with feed.listen(lambda _: True) as late:
        assert late.closing
