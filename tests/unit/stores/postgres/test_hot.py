"""Hot calls on PostgreSQL: many at once, from several processes."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import asyncpg
import pytest

from perdure.agents.journal import Intent, StepKey, StepKind
from perdure.errors.base import InvalidInput, LeaseLost, StoreError
from perdure.messages.message import Lease, NewMessage, State
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.postgres.choosing import Chosen
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from servers.chaos import Chaos

PUT_LATE = """
WITH new AS (INSERT INTO message (id, tenant, route, priority, attempts, created_at, max_wait_s, body)
             SELECT nextval('number'), tenant, route, priority, attempts, created_at, max_wait_s, '"late"' FROM message LIMIT 1
             RETURNING id, tenant, route, priority)
INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT route, priority, 1, id, tenant, 0 FROM new
"""


def new(n: object = 1, **given: object) -> NewMessage:
    return NewMessage(agent="mail", body=f'{{"n":{n}}}'.encode(), **given)  # type: ignore[arg-type]


async def worker(store: PostgresStore) -> int:
    return await store.workers.register(WorkerCard(host="here", pid=1, slots=10, agents=[AgentCard(name="mail", version="1")]))


async def lease(store: PostgresStore, who: int, limit: int = 10) -> list[Lease]:
    return await store.messages.lease(await store.messages.routes(), limit=limit, worker=who)  # type: ignore[arg-type]


async def test_nobody_starves_although_many_lease_at_once(postgres_url: str, clock: FakeClock) -> None:
    async with AsyncExitStack() as opened:
        stores = [await opened.enter_async_context(PostgresStore(postgres_url, clock=clock, pool=3)) for _ in range(4)]
        await stores[0].messages.put([new(at, priority=9) for at in range(60)])
        await stores[0].messages.put([new(at, priority=0) for at in range(600)])
        taken: list[int] = []

        async def works(store: PostgresStore, limit: int) -> None:
            who = await worker(store)
            while len(taken) < 480:
                taken.extend(one.message.priority for one in await lease(store, who, limit))

        await asyncio.gather(*(works(store, limit) for store, limit in zip(stores, (3, 5, 7, 9), strict=True)))
    turns = len(taken) // 16
    assert turns - 4 <= taken.count(9) <= turns + 4  # each process may owe one, or be one ahead


def leasing_nothing() -> Chosen:
    return Chosen([], [])


async def test_four_that_put_lease_and_finish_at_once_lose_nothing_and_share_nothing(postgres_url: str, clock: FakeClock) -> None:
    async with AsyncExitStack() as opened:
        stores = [await opened.enter_async_context(PostgresStore(postgres_url, clock=clock, pool=3)) for _ in range(4)]
        taken: Counter[int] = Counter()
        left = 400

        async def puts(store: PostgresStore, n: int) -> None:
            for at in range(0, 100, 10):
                await asyncio.gather(*(store.messages.put([new(n + at + one, priority=one)]) for one in range(10)))

        async def works(store: PostgresStore) -> None:
            nonlocal left
            who = await worker(store)
            while left > 0:
                leases = await lease(store, who, 7)
                for one in leases:
                    taken[one.message.id] += 1
                left -= len(leases)
                await asyncio.gather(*(store.messages.done(one, b"1") for one in leases))

        await asyncio.gather(*(puts(store, 1000 * at) for at, store in enumerate(stores)), *(works(store) for store in stores))
        assert len(taken) == 400
        assert set(taken.values()) == {1}
        [queue] = await stores[0].messages.queues()
        assert queue.counts["done"] == 400
        assert not any(queue.counts.get(state) for state in ("ready", "leased"))


async def test_what_ends_in_two_ways_at_once_ends_once(store: PostgresStore, second: PostgresStore) -> None:
    await store.messages.put([new(n) for n in range(40)])
    leases = await lease(store, await worker(store), 40)
    ends = [
        asyncio.gather(store.messages.done(one, b"1"), second.messages.release(one), store.messages.done(one, b"2"), return_exceptions=True)
        for one in leases
    ]
    for found in await asyncio.gather(*ends):
        assert Counter(type(one) for one in found) == {type(None): 1, LeaseLost: 2}


async def test_steps_of_a_lease_that_is_taken_away_meanwhile_are_all_or_nothing(store: PostgresStore, second: PostgresStore) -> None:
    await store.messages.put([new(n) for n in range(30)])
    leases = await lease(store, await worker(store), 30)
    intent = Intent(number=1, key=StepKey("", StepKind.TOOL, "charge", "f", 0), request=b"{}")
    pairs = [asyncio.gather(store.journal.intend(one, intent), second.messages.release(one), return_exceptions=True) for one in leases]
    for one, (begun, released) in zip(leases, await asyncio.gather(*pairs), strict=True):
        assert released is None
        steps = await store.journal.steps(one.message.id)
        assert len(steps) == (0 if isinstance(begun, LeaseLost) else 1), begun


async def test_one_that_cannot_be_kept_harms_nobody_beside_it(store: PostgresStore) -> None:
    puts = [store.messages.put([new(n, priority=2**40 if n == 3 else 5)]) for n in range(6)]
    found = await asyncio.gather(*puts, return_exceptions=True)
    assert [at for at, one in enumerate(found) if isinstance(one, InvalidInput)] == [3]
    assert len((await store.messages.queues())[0].counts) == 1


async def test_who_is_being_taken_by_another_is_stepped_over(store: PostgresStore, database: asyncpg.Connection) -> None:
    receipts = await store.messages.put([new(n) for n in range(4)])
    who = await worker(store)
    async with database.transaction():
        await database.execute("SELECT 1 FROM ready ORDER BY tag LIMIT 2 FOR UPDATE")
        taken = await lease(store, who, 2)
    assert [one.message.id for one in taken] == [one.id for one in receipts[2:]]
    assert [one.message.id for one in await lease(store, who, 2)] == [one.id for one in receipts[:2]]


async def test_a_message_that_is_committed_late_below_the_floor_is_found(
    store: PostgresStore, database: asyncpg.Connection, clock: FakeClock
) -> None:
    floors = store.messages._parts()[1].floors  # type: ignore[attr-defined]
    await store.messages.put([new(0)])
    who = await worker(store)
    late = database.transaction()
    await late.start()
    await database.execute(PUT_LATE)
    await store.messages.put([new(n) for n in range(500)])
    floors.begin(clock.now())  # as if somebody kept a transaction open, so that looks are slow
    for _ in range(20):
        clock.pass_by(seconds=0.4)
        await lease(store, who, 16)
    await late.commit()
    assert max(floors.of([1])) > 0
    assert b'"late"' not in [one.message.body for one in await lease(store, who, 40)]
    clock.pass_by(seconds=11)
    await lease(store, who, 1)
    await store.messages._parts()[1].idle()  # type: ignore[attr-defined]
    assert b'"late"' in [one.message.body for one in await lease(store, who, 1)]


async def test_leases_whose_answer_was_lost_are_given_back(shaken: PostgresStore, chaos: Chaos, clock: FakeClock) -> None:
    [receipt] = await shaken.messages.put([new()])
    who = await worker(shaken)
    routes = await shaken.messages.routes()
    leasing = shaken.messages._parts()[1]  # type: ignore[attr-defined]
    chosen = await leasing._look([route.id for route in routes], 1, who)
    await leasing._take(leasing_nothing(), who)  # its text is known to the connection from now on
    chaos.lose_answer()
    with pytest.raises(StoreError):
        await leasing._take(chosen, who)
    await leasing.idle()
    assert (await shaken.messages.get(receipt.id)).state is State.READY
