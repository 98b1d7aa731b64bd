"""A call ends well, or with an error that says the truth, whatever happens to its connection."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from perdure.errors.base import Conflict, StoreBusy, StoreClosed, StoreError
from perdure.messages.message import NewMessage
from perdure.stores.postgres.engine import Engine
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.transaction import Mark, PostgresTransaction
from perdure.stores.sql import put as putting
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, runs, state, take
from servers.chaos import Chaos
from servers.server import Server

WAITING = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = current_database()"

KILL = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE application_name LIKE 'perdure perdure %' AND datname = current_database()
"""


def engine_of(store: PostgresStore) -> Engine:
    return store._engine


async def how_many(store: PostgresStore) -> int:
    return int(await engine_of(store).read(lambda run: run("SELECT count(*) FROM message").get))


class Once:
    """Does something the first time it is asked to."""

    def __init__(self, deed: Any) -> None:
        self._deed: Any = deed

    def __call__(self) -> None:
        deed, self._deed = self._deed, None
        if deed is not None:
            deed()


async def test_a_connection_cut_before_the_commit_is_as_if_nothing_had_been(shaken: PostgresStore, chaos: Chaos) -> None:
    cut = Once(chaos.cut)

    def put_and_be_cut(tx: PostgresTransaction, new: list[NewMessage]) -> Any:
        receipts = putting.put(tx, new, None)
        cut()
        return receipts

    await engine_of(shaken).write(put_and_be_cut, [message()])
    assert await how_many(shaken) == 1


async def test_a_lost_answer_to_a_commit_that_happened_is_found_out(shaken: PostgresStore, chaos: Chaos) -> None:
    calls = []

    def put_and_be_unsure(tx: PostgresTransaction, new: list[NewMessage]) -> Any:
        calls.append(1)
        _just_before_commit(tx, Once(chaos.lose_answer))
        return putting.put(tx, new, None)

    [receipt] = await engine_of(shaken).write(put_and_be_unsure, [message()])

    assert (await how_many(shaken), len(calls)) == (1, 1)
    assert (await shaken.messages.get(receipt.id)).message.id == receipt.id


async def test_a_commit_that_never_arrived_is_made_again(shaken: PostgresStore, chaos: Chaos) -> None:
    calls, cut = [], Once(chaos.cut)

    def put_and_be_cut_late(tx: PostgresTransaction, new: list[NewMessage]) -> Any:
        calls.append(1)
        _just_before_commit(tx, cut)
        return putting.put(tx, new, None)

    await engine_of(shaken).write(put_and_be_cut_late, [message()])
    assert (await how_many(shaken), len(calls)) == (1, 2)


async def test_events_of_a_commit_are_told_once_although_its_answer_was_lost(shaken: PostgresStore, chaos: Chaos, told: list[str]) -> None:
    def put_and_be_unsure(tx: PostgresTransaction, new: list[NewMessage]) -> Any:
        _just_before_commit(tx, Once(chaos.lose_answer))
        return putting.put(tx, new, None)

    await engine_of(shaken).write(put_and_be_unsure, [message()])
    assert told == ["message.put"]


async def test_sessions_ended_by_an_operator_are_replaced(store: PostgresStore, database: asyncpg.Connection) -> None:
    await _puts(store)
    assert await database.fetchval(KILL) > 0
    await _puts(store)
    assert await how_many(store) == 2


async def test_a_server_out_of_reach_is_an_error_that_may_be_repeated(chaos: Chaos, clock: FakeClock) -> None:
    async with PostgresStore(chaos.url, clock=clock, pool=2, wait_s=0.2) as store:
        await _puts(store)
        await chaos.refuse()
        with pytest.raises(StoreError) as caught:
            await _puts(store)
        assert caught.value.retryable
        with pytest.raises(StoreError):
            await store.check()
        assert engine_of(store).outage_at == clock.now()

        await chaos.heal()
        await _puts(store)
        assert await how_many(store) == 2


async def test_a_restart_in_the_middle_of_everything_loses_nothing(private_postgres: Server, clock: FakeClock) -> None:
    url = await private_postgres.create("shaken")
    async with PostgresStore(url, clock=clock, pool=4, wait_s=20.0) as store:
        going = True

        async def go_on() -> int:
            n = 0
            while going:
                await _puts(store)
                n += 1
            return n

        callers = [asyncio.create_task(go_on()) for _ in range(4)]
        for mode in ("fast", "immediate"):
            before = await how_many(store)
            while await how_many(store) < before + 5:
                await asyncio.sleep(0)
            await private_postgres.restart(mode)
        before = await how_many(store)
        while await how_many(store) < before + 5:
            await asyncio.sleep(0)
        going = False
        put_in_all = sum(await asyncio.gather(*callers))
        assert put_in_all == await how_many(store)
        assert put_in_all == sum(queue.totals["put"] for queue in await store.messages.queues())


async def test_a_caller_who_is_cancelled_leaves_a_clean_connection(store: PostgresStore, database: asyncpg.Connection) -> None:
    blocker = database.transaction()
    await blocker.start()
    await database.execute("LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
    waiting = asyncio.create_task(put(store))
    while not await _somebody_waits(database):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await blocker.rollback()

    for _ in range(10):
        await put(store)
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    assert await database.fetchval(idle) == 0


async def test_who_waits_too_long_for_a_lock_hears_that_it_is_busy(
    postgres_url: str, clock: FakeClock, database: asyncpg.Connection
) -> None:
    async with PostgresStore(postgres_url, clock=clock, wait_s=0.1) as store:
        async with database.transaction():
            await database.execute("LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreBusy):
                await put(store)
        await put(store)


async def test_the_same_route_and_tenant_are_made_once_by_many(
    store: PostgresStore, second: PostgresStore, database: asyncpg.Connection
) -> None:
    await asyncio.gather(*(put(one, queue=f"q{n}", tenant=f"t{n}") for n in range(8) for one in (store, second)))
    assert await database.fetchval("SELECT count(*) FROM route") == 8
    assert await database.fetchval("SELECT count(*) FROM tenant WHERE name LIKE 't_'") == 8


async def test_the_same_key_makes_one_message_whoever_comes_first(store: PostgresStore, second: PostgresStore) -> None:
    new = message(dedup_key="only-once")
    receipts = await asyncio.gather(*(one.messages.put([new]) for one in (store, second) for _ in range(3)))
    assert len({receipt.id for [receipt] in receipts}) == 1
    assert sorted(receipt.duplicate for [receipt] in receipts) == [False, True, True, True, True, True]


async def test_of_those_who_end_a_message_at_once_one_does(store: PostgresStore, second: PostgresStore) -> None:
    lease = await runs(store)
    results = await asyncio.gather(*(one.messages.done(lease, b"1") for one in (store, second) for _ in range(3)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["LeaseLost"] * 5 + ["NoneType"]
    assert (await store.messages.counters())["refused_stale"] == 5


async def test_a_message_is_leased_by_one_of_many(store: PostgresStore, second: PostgresStore) -> None:
    ids = {await put(store) for _ in range(12)}
    workers = [(one, await alive(one)) for one in (store, second) for _ in range(2)]
    taken = await asyncio.gather(*(take(one, worker, 4) for one, worker in workers))
    leases = [lease.message.id for batch in taken for lease in batch]
    assert len(leases) == len(set(leases))
    for one, worker in workers:
        leases += [lease.message.id for lease in await take(one, worker, 12)]
    assert sorted(leases) == sorted(ids)


async def test_a_cancel_and_a_lease_at_once_leave_it_in_one_place(store: PostgresStore, second: PostgresStore) -> None:
    worker = await alive(second)
    for _ in range(5):
        new = await put(store)
        leased, cancelled = await asyncio.gather(take(second, worker), store.messages.cancel(new), return_exceptions=True)
        assert await state(store, new) == ("leased" if leased else "cancelled")
        assert not isinstance(cancelled, BaseException)  # one that runs is told to stop


async def test_a_refused_call_leaves_nothing_but_its_count(store: PostgresStore) -> None:
    def count_and_refuse(tx: PostgresTransaction) -> None:
        tx.count("refused_stale")
        raise Conflict("no")

    def write_and_refuse(tx: PostgresTransaction) -> None:
        putting.put(tx, [message()], None)
        tx.count("refused_stale", 10)
        raise Conflict("no")

    for refused in (count_and_refuse, write_and_refuse):
        with pytest.raises(Conflict):
            await engine_of(store).write(refused)
    assert await store.messages.counters() == {"refused_stale": 1}
    assert await how_many(store) == 0


async def test_names_of_a_transaction_taken_back_are_forgotten(store: PostgresStore) -> None:
    def write_and_refuse(tx: PostgresTransaction) -> None:
        putting.put(tx, [message(queue="new", tenant="new")], None)
        raise Conflict("no")

    with pytest.raises(Conflict):
        await engine_of(store).write(write_and_refuse)
    assert await state(store, await put(store, queue="new", tenant="new")) == "ready"


async def test_a_closed_store_says_so(postgres_url: str) -> None:
    store = PostgresStore(postgres_url)
    async with store:
        await put(store)
    with pytest.raises(StoreClosed):
        await put(store)
    with pytest.raises(StoreClosed):
        await store.check()


def _just_before_commit(tx: PostgresTransaction, deed: Any) -> None:
    mark = tx.mark

    def mark_and_do() -> Mark:
        left = mark()
        deed()
        return left

    tx.mark = mark_and_do  # type: ignore[method-assign]


async def _puts(store: PostgresStore) -> None:
    """By the way that all calls can take."""
    await engine_of(store).write(putting.put, [message()], None)


async def _somebody_waits(database: asyncpg.Connection) -> bool:
    return bool(await database.fetchval(WAITING))
