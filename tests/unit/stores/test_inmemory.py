"""What is special about the store in memory; its promises are proved by the kits in tests/contract."""

import asyncio
import threading

import pytest

from perdure.clock import SystemClock
from perdure.errors.base import StoreClosed
from perdure.messages.message import NewMessage, State
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock

MESSAGE = NewMessage(agent="mail", body=b"1")


async def test_opened_again_it_holds_what_it_held() -> None:
    store = InMemoryStore(clock=FakeClock())
    async with store:
        [receipt] = await store.messages.put([MESSAGE])
    with pytest.raises(StoreClosed):
        await store.messages.get(receipt.id)
    async with store:
        assert (await store.messages.get(receipt.id)).state is State.READY


async def test_every_view_is_closed_with_the_store() -> None:
    async with InMemoryStore() as store:
        pass
    for call in (store.messages.routes, store.workers.workers, store.keys.list, store.check):
        with pytest.raises(StoreClosed):
            await call()
    with pytest.raises(StoreClosed):
        await store.memory.read("t", "s", "k")


async def test_without_a_clock_it_takes_the_machines() -> None:
    async with InMemoryStore() as store:
        [receipt] = await store.messages.put([MESSAGE])
        assert abs((await store.messages.get(receipt.id)).message.created_at - SystemClock().now()) < 60


async def test_a_clock_that_goes_back_does_not_make_ids_go_back() -> None:
    class Unsteady:
        moment = 2_000.0

        def now(self) -> float:
            return self.moment

    clock = Unsteady()
    async with InMemoryStore(clock=clock) as store:
        [first] = await store.messages.put([MESSAGE])
        clock.moment = 1_000.0
        [second] = await store.messages.put([MESSAGE])
    assert second.id > first.id


async def test_it_can_be_used_from_several_threads() -> None:
    async with InMemoryStore() as store:

        def put_many() -> None:
            for _ in range(100):
                asyncio.run(store.messages.put([MESSAGE]))

        threads = [threading.Thread(target=put_many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        [queue] = await store.messages.queues()
    assert queue.counts == {"ready": 400}


async def test_a_change_made_in_another_thread_wakes_who_waits() -> None:
    async with InMemoryStore() as store:
        waiting = asyncio.create_task(store.messages.changed(0, timeout_s=30))
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: asyncio.run(store.messages.put([MESSAGE])))
        assert await waiting == 1


async def test_the_counters_of_a_new_store_are_absent() -> None:
    async with InMemoryStore() as store:
        assert await store.messages.counters() == {}
