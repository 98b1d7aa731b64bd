"""Whoever calls in batches hears the truth too, whatever becomes of the answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import chain, count
from typing import Any

import asyncpg
import pytest

from perdure.agents.journal import StepState
from perdure.errors.base import StoreError
from perdure.messages.message import Lease, State
from perdure.stores.postgres import marked
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from perdure.testing.given import BROKE, intent, message, put, runs, state
from servers.chaos import Chaos
from servers.server import Server

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

Call = Callable[[PostgresStore, Lease], Awaitable[Any]]


async def puts_one(store: PostgresStore, lease: Lease) -> None:
    [receipt] = await store.messages.put([message()])
    assert not receipt.duplicate
    assert await state(store, receipt.id) == "ready"


async def puts_many(store: PostgresStore, lease: Lease) -> None:
    receipts = await store.messages.put([message(body=b"%d" % n) for n in range(5)])
    assert [(await store.messages.get(one.id)).message.body for one in receipts] == [b"%d" % n for n in range(5)]


async def puts_keyed(store: PostgresStore, lease: Lease) -> None:
    [receipt] = await store.messages.put([message(dedup_key="once")])
    assert (receipt.duplicate, await state(store, receipt.id)) == (False, "ready")


async def ends_well(store: PostgresStore, lease: Lease) -> None:
    await store.messages.done(lease, b"1")
    assert await state(store, lease.message.id) == "done"


async def tries_again(store: PostgresStore, lease: Lease) -> None:
    await store.messages.retry(lease, BROKE, at=lease.leased_at + 60)
    assert await state(store, lease.message.id) == "later"


async def begins_a_step(store: PostgresStore, lease: Lease) -> None:
    await store.journal.intend(lease, intent(2))
    step = (await store.journal.steps(lease.message.id))[-1]
    assert (step.number, step.state, step.tries, step.ambiguous) == (2, StepState.INTENT, 1, 0)


async def ends_a_step(store: PostgresStore, lease: Lease) -> None:
    await store.journal.record(lease, 1, b"1")
    [step] = await store.journal.steps(lease.message.id)
    assert (step.state, step.result) == (StepState.DONE, b"1")


CALLS: list[tuple[Call, int]] = [
    (puts_one, 2),
    (puts_many, 6),
    (puts_keyed, 2),
    (ends_well, 1),
    (tries_again, 1),
    (begins_a_step, 1),
    (ends_a_step, 1),
]
each_call = pytest.mark.parametrize(("call", "messages"), CALLS, ids=[call.__name__ for call, _ in CALLS])


class Strikes:
    """Does something the moment before a batch is sent, the first time only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        self._numbers, self._deed = count(0x0123_4567_0000_0001), lambda nonce: None
        monkeypatch.setattr(marked, "_next_name", self._name)

    def with_(self, deed: Callable[[bytes], Any]) -> None:
        self.sent, self._deed = 0, deed

    def _name(self) -> int:
        nonce = next(self._numbers)
        self.sent += 1
        if self.sent == 1:
            self._deed(nonce.to_bytes(8, "big"))
        return nonce


@pytest.fixture
def strikes(monkeypatch: pytest.MonkeyPatch) -> Strikes:
    return Strikes(monkeypatch)


async def prepared(store: PostgresStore) -> Lease:
    """A run whose first step is under way; all statements are known to the connection."""
    other = await runs(store)
    await store.journal.intend(other, intent(1))
    await store.journal.record(other, 1, b"0")
    await store.messages.retry(other, BROKE, at=other.leased_at + 60)
    await store.messages.done(await runs(store), b"0")
    lease = await runs(store)
    await store.journal.intend(lease, intent(1))
    await put(store, dedup_key="other")
    return lease


async def born(database: asyncpg.Connection) -> int:
    return int(await database.fetchval("SELECT count(*) FROM message"))


@each_call
async def test_of_a_batch_that_was_committed_the_answer_is_found(
    shaken: PostgresStore, chaos: Chaos, strikes: Strikes, database: asyncpg.Connection, call: Call, messages: int
) -> None:
    lease = await prepared(shaken)
    before, connections = await born(database), chaos.connections
    strikes.with_(chaos.lose_answer)
    await call(shaken, lease)
    assert (strikes.sent, await born(database) - before) == (1, messages - 1)
    assert chaos.connections > connections


@each_call
async def test_a_batch_that_never_arrived_is_made_again(
    shaken: PostgresStore, chaos: Chaos, strikes: Strikes, database: asyncpg.Connection, call: Call, messages: int
) -> None:
    lease = await prepared(shaken)
    before = await born(database)
    strikes.with_(lambda nonce: chaos.cut())
    await call(shaken, lease)
    assert (strikes.sent, await born(database) - before) == (2, messages - 1)


async def test_a_batch_that_waits_for_a_lock_when_its_connection_breaks_happens_once(
    shaken: PostgresStore, chaos: Chaos, strikes: Strikes, database: asyncpg.Connection
) -> None:
    lease = await prepared(shaken)
    strikes.with_(lambda nonce: None)
    async with database.transaction():
        await database.execute("SELECT FROM lease WHERE id = $1 FOR UPDATE", lease.message.id)
        ending = asyncio.create_task(shaken.messages.done(lease, b"1"))
        while not await database.fetchval(WAITING):
            await asyncio.sleep(0)
        chaos.cut()
        while strikes.sent < 2:
            await asyncio.sleep(0)
    await ending
    assert await state(shaken, lease.message.id) == "done"


async def test_a_key_known_before_is_a_duplicate_although_the_answer_was_lost(
    shaken: PostgresStore, chaos: Chaos, strikes: Strikes
) -> None:
    await prepared(shaken)
    first = await put(shaken, dedup_key="twice")
    strikes.with_(chaos.lose_answer)
    [receipt] = await shaken.messages.put([message(dedup_key="twice")])
    assert (receipt.id, receipt.duplicate) == (first, True)


async def test_asking_twice_gives_the_same_answer(store: PostgresStore, database: asyncpg.Connection) -> None:
    engine, nobody = store._engine, (1, "nobody")
    assert [await engine.answer_of((1.0, 7), nobody) for _ in range(2)] == [None, None]
    await database.execute("INSERT INTO mark (at, nonce, answer) VALUES (2, 7, '{5,NULL}'), (3, 7, NULL)")
    assert [await engine.answer_of((2.0, 7), nobody) for _ in range(2)] == [[5, None], [5, None]]
    assert await engine.answer_of((3.0, 7), nobody) == []


async def test_where_nobody_can_be_asked_the_error_says_so(chaos: Chaos, clock: FakeClock, strikes: Strikes) -> None:
    async with PostgresStore(chaos.url, clock=clock, pool=3, wait_s=0.3) as store:
        await prepared(store)
        refusing: list[asyncio.Task[None]] = []
        strikes.with_(lambda nonce: refusing.append(asyncio.ensure_future(chaos.refuse())))
        with pytest.raises(StoreError, match="nobody can say") as caught:
            await put(store)
        assert caught.value.retryable
        await chaos.heal()


@pytest.mark.timeout(120)
async def test_puts_through_a_storm_exist_once_each(private_postgres: Server, clock: FakeClock) -> None:
    url = await private_postgres.create("storm")
    dice, done, one_at_a_time = random.Random(7), count(1), asyncio.Lock()
    async with Chaos(url) as chaos, PostgresStore(chaos.url, clock=clock, pool=6, wait_s=30.0) as store:

        async def blow() -> None:
            match dice.randrange(6):
                case 0:
                    chaos.cut()
                case 1 | 2:
                    chaos.lose_answer()
                case 3 | 4:
                    chaos.cut_after(dice.randrange(1, 3000))
                case _:
                    await private_postgres.restart("immediate")

        async def go_on() -> list[int]:
            ids = []
            for _ in range(25):
                ids += [receipt.id for receipt in await store.messages.put([message()])]
                if next(done) % 7 == 0:
                    async with one_at_a_time:
                        await blow()
            return ids

        given = list(chain.from_iterable(await asyncio.gather(*[go_on() for _ in range(8)])))
        await chaos.heal()
        there = await store._engine.read(lambda run: [row[0] for row in run("SELECT id FROM message").fetchall()])
        assert len(given) == 200
        assert sorted(given) == sorted(there)
        assert {await state(store, one) for one in given[::20]} == {State.READY}
