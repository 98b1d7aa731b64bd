"""Ends of messages in sessions and groups: many at once, from several processes."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from perdure.errors.base import LeaseLost
from perdure.messages.groups import NewGroup
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import Lease, State
from perdure.messages.store import Ended
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.verify import verify
from perdure.stores.upkeep import Fault
from perdure.testing import FakeClock
from perdure.testing.given import BROKE, alive, message, put, soon, state, states, take

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def faults(store: PostgresStore) -> list[Fault]:
    return await store._engine.read(verify)


async def all_done(store: PostgresStore, leases: list[Lease]) -> None:
    refused = await store.messages.done_many([Ended(lease=one, result=b"1") for one in leases])
    assert refused == [None] * len(leases)


async def test_ends_in_many_conversations_are_one_statement_and_the_next_ones_are_ready(
    store: PostgresStore, asked: list[str], told: list[str]
) -> None:
    worker = await alive(store)
    receipts = [await store.messages.put([message(session=f"{n}")] * 2) for n in range(20)]
    alone = await put(store, session="alone")
    leases = await take(store, worker, 100)
    asked.clear()
    await all_done(store, leases)
    assert len(asked) <= 3, "what was used and who is next is asked, then all is done"
    assert told.count("message.admitted") == 20
    assert told.count("message.done") == 21
    after = await take(store, worker, 100)
    assert {one.message.id for one in after} == {second.id for _, second in receipts}
    assert alone in {one.message.id for one in leases}
    assert await faults(store) == []
    await all_done(store, after)
    assert await faults(store) == []


async def test_a_session_is_carried_out_in_order_whoever_puts_and_ends_at_once(store: PostgresStore, second: PostgresStore) -> None:
    workers = [(one, await alive(one)) for one in (store, second)]
    order: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}

    async def talk(one: PostgresStore, session: str) -> None:
        for n in range(10):
            await put(one, session=session, body=f"{n}".encode())

    async def listen() -> None:
        while sum(map(len, order.values())) < 30:
            for one, worker in workers:
                leases = await take(one, worker, 10)
                for lease in leases:
                    order[str(lease.message.session)].append(lease.message.body)
                await asyncio.gather(*(one.messages.done(lease, b"1") for lease in leases))

    async with asyncio.timeout(30):
        await asyncio.gather(talk(store, "a"), talk(second, "b"), talk(store, "c"), listen())
    assert all(said == [f"{n}".encode() for n in range(10)] for said in order.values())
    assert await faults(store) == []


async def test_who_joins_a_line_while_it_is_being_ended_by_a_statement_is_not_forgotten(
    store: PostgresStore, second: PostgresStore
) -> None:
    worker = await alive(store)
    for n in range(20):
        await put(store, session=f"{n}")
    leases = await take(store, worker, 20)
    joins = [put(second, session=f"{n}") for n in range(20)]
    ends = [all_done(store, [one]) for one in leases]
    joined = set((await asyncio.gather(*ends, *joins))[20:])
    assert {one.message.id for one in await take(store, worker, 40)} == joined
    assert await faults(store) == []


async def test_a_statement_sees_that_a_line_was_joined_since_it_began_to_look(store: PostgresStore, database: asyncpg.Connection) -> None:
    """The joiner holds the line's row until it commits; who ends the line waits for that row, and then does not trust its look."""
    worker = await alive(store)
    first = await put(store, session="talk")
    [lease] = await take(store, worker)
    joining = database.transaction()
    await joining.start()
    await database.execute("UPDATE session SET head = head")
    await database.execute("CREATE TEMP TABLE copy AS SELECT * FROM message")
    await database.execute("UPDATE copy SET id = nextval('number')")
    await database.execute("INSERT INTO message SELECT * FROM copy")
    await database.execute(
        "INSERT INTO held (id, route, tenant, priority, tag, since, session) "
        "SELECT c.id, c.route, c.tenant, c.priority, c.id, 0, s.id FROM copy c, session s"
    )
    ending = asyncio.ensure_future(store.messages.done(lease, b"1"))
    while not await database.fetchval(WAITING):
        await asyncio.sleep(0)
    await joining.commit()
    await ending
    assert await state(store, first) == State.DONE
    assert [one.message.id for one in await take(store, worker)] == [await database.fetchval("SELECT id FROM copy")]


async def test_the_next_in_line_waits_for_its_moment_and_for_limits(store: PostgresStore, clock: FakeClock) -> None:
    worker = await alive(store)
    _, later, _, under = [
        receipt.id
        for session, due_at in (("a", soon(clock)), ("b", None))
        for receipt in await store.messages.put(
            [message(session=session, tenant=session), message(session=session, due_at=due_at, tenant=session)]
        )
    ]
    leases = await take(store, worker, 10)
    await store.messages.set_limit(Limit(scope=Scope.TENANT, name="b", at_once=1))
    await put(store, tenant="b")
    await all_done(store, leases)
    assert await states(store, [later, under]) == [State.LATER, State.HELD]
    assert await faults(store) == []


async def test_an_end_that_is_said_twice_at_once_is_refused_once(store: PostgresStore) -> None:
    await put(store, session="talk")
    [lease] = await take(store, await alive(store))
    found = await asyncio.gather(*(store.messages.done(lease, b"1") for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["LeaseLost"] * 3 + ["NoneType"]
    assert isinstance(next(one for one in found if one is not None), LeaseLost)


async def test_members_that_end_at_once_are_counted_together_and_their_join_runs_once(store: PostgresStore, asked: list[str]) -> None:
    worker = await alive(store)
    receipts = await store.messages.put([message() for _ in range(100)], group=NewGroup(then=message()))
    group = receipts[0].group
    assert group is not None
    leases = await take(store, worker, 200)
    asked.clear()
    await all_done(store, leases[:50])
    assert len(asked) <= 2, "what was used is asked, then all is done"
    assert (await store.messages.group(group)).done == 50
    asked.clear()
    await all_done(store, leases[50:])
    assert len(asked) < 30, "the last one alone goes the long way"
    found = await store.messages.group(group)
    assert (found.done, found.left) == (100, 0)
    [join] = await take(store, worker, 10)
    assert join.message.id == found.then
    await all_done(store, [join])
    assert (await store.messages.group(group)).done == 100
    assert await faults(store) == []


@pytest.mark.parametrize("n", range(3))
async def test_members_that_end_in_several_processes_at_once_are_joined_once(store: PostgresStore, second: PostgresStore, n: int) -> None:
    worker = await alive(store)
    await store.messages.put([message() for _ in range(20 + n)], group=NewGroup(then=message()))
    leases = await take(store, worker, 200)
    await asyncio.gather(*((store, second)[at % 2].messages.done(lease, b"1") for at, lease in enumerate(leases)))
    assert len(await take(store, worker, 10)) == 1
    assert await faults(store) == []


async def test_a_conversation_that_is_tried_again_keeps_its_place(store: PostgresStore, clock: FakeClock, asked: list[str]) -> None:
    worker = await alive(store)
    first, second = [one.id for one in await store.messages.put([message(session="talk")] * 2)]
    [lease] = await take(store, worker)
    asked.clear()
    await store.messages.retry(lease, BROKE, at=soon(clock))
    assert len(asked) == 1
    assert await states(store, [first, second]) == [State.LATER, State.HELD]
    clock.pass_by(seconds=61)
    await store.messages.tend()
    assert [one.message.id for one in await take(store, worker, 10)] == [first]
