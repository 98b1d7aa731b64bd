"""Turns between processes on one database: tags, sessions, limits."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from perdure.messages.limits import Limit, Scope
from perdure.messages.message import State
from perdure.stores.postgres import tagging
from perdure.stores.postgres.bridge import wait_for
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql import finish, limits
from perdure.stores.sql.places import place_of
from perdure.stores.sql.transaction import Transaction
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, soon, state, states, take

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
OF_ACME = Limit(scope=Scope.TENANT, name="acme", at_once=2)


async def test_concurrent_puts_of_one_session_make_one_line(store: PostgresStore, second: PostgresStore) -> None:
    puts = [one.messages.put([message(session="talk")]) for one in (store, second) for _ in range(6)]
    ids = sorted(receipt.id for [receipt] in await asyncio.gather(*puts))
    worker = await alive(store)
    for number in ids:
        [lease] = await take(store, worker, 5)
        assert lease.message.id == number
        await second.messages.done(lease, b"1")


async def test_who_joins_a_line_while_its_head_ends_is_not_forgotten(store: PostgresStore, second: PostgresStore) -> None:
    await put(store, session="talk")
    worker = await alive(store)
    [lease] = await take(store, worker)
    joined: list[int] = []

    def ends(tx: Transaction) -> None:
        place_of(tx, lease.message.id)  # from here on it sees the store as of this moment
        if not joined:
            joined.append(wait_for(put(second, session="talk")))
        finish.done(tx, lease, b"1", usage=None, code_version=None)

    await store._engine.write(ends)
    assert [one.message.id for one in await take(store, worker)] == joined


async def test_a_bulk_of_one_process_delays_no_newcomer_of_another(store: PostgresStore, second: PostgresStore) -> None:
    worker = await alive(second)
    await store.messages.put([message(tenant="bulk") for _ in range(200)])
    for _ in range(3):
        await second.messages.done_many([])
        for lease in await take(second, worker, 20):
            await second.messages.done(lease, b"1")
    newcomer = await put(store, tenant="newcomer")
    assert newcomer in {lease.message.id for lease in await take(second, worker, 3)}


async def test_no_two_of_a_tenant_share_a_turn(store: PostgresStore, second: PostgresStore, database: asyncpg.Connection) -> None:
    await asyncio.gather(*(one.messages.put([message() for _ in range(50)]) for one in (store, second) for _ in range(4)))
    tags = [row[0] for row in await database.fetch("SELECT tag FROM ready")]
    assert len(tags) == len(set(tags)) == 400


async def test_who_draws_often_draws_ahead_and_lets_go_of_what_it_did_not_use(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = 1000.0
    monkeypatch.setattr(tagging, "awake", lambda: time)
    book, line = store._engine.book, (1, 1, 5, 0)

    async def draw() -> int:
        [tag] = await book.draw([(line, 1)])
        return tag

    asked: list[float] = []
    fetch = book._fetch

    async def counted(text: str, *given: object) -> list[object]:
        asked.append(time)
        return await fetch(text, *given)

    monkeypatch.setattr(book, "_fetch", counted)
    tags = []
    for _ in range(500):
        time += 0.001
        tags.append(await draw())
    assert tags == list(range(1, 501))
    assert len([at for at in asked if at > 1000.3]) < 10, "once it is known how often, it draws for the next moments"
    time += 60
    drawn = [await draw() for _ in range(2)]
    assert drawn == [drawn[0], drawn[0] + 1]
    assert asked[-2:] == [time, time], "and for nothing more than now once it is quiet"


async def test_a_limit_set_elsewhere_holds_what_was_put_before_anybody_knew(
    store: PostgresStore, second: PostgresStore, clock: FakeClock
) -> None:
    await alive(store)
    await put(store, tenant="acme")
    await second.messages.set_limit(OF_ACME)
    late = [await put(store, tenant="acme") for _ in range(3)]
    await second.messages.tend()
    assert (await states(store, late)).count(State.HELD) == 2
    [status] = await second.messages.limits()
    assert (status.used, status.held) == (2, 2)
    clock.pass_by(seconds=11)
    await second.messages.tend()
    assert await state(store, await put(store, tenant="acme")) == "held"


async def test_a_limit_holds_however_many_put_and_end_at_once(store: PostgresStore, second: PostgresStore) -> None:
    await store.messages.set_limit(OF_ACME)
    await asyncio.gather(*(one.messages.put([message(tenant="acme")]) for one in (store, second) for _ in range(8)))
    workers = [(one, await alive(one)) for one in (store, second)]
    done = 0
    while done < 16:
        leases = [(one, lease) for one, worker in workers for lease in await take(one, worker, 5)]
        assert 1 <= len(leases) <= 2
        await asyncio.gather(*(one.messages.done(lease, b"1") for one, lease in leases))
        done += len(leases)
    [status] = await store.messages.limits()
    assert (status.used, status.held) == (0, 0)


@pytest.mark.parametrize("delayed", [True, False])
async def test_what_is_plain_but_for_its_cost_stays_on_the_short_way(
    store: PostgresStore, clock: FakeClock, database: asyncpg.Connection, *, delayed: bool
) -> None:
    await put(store, cost=3, key="k", due_at=soon(clock) if delayed else None)
    assert await database.fetchval("SELECT cost FROM bound") == 3
    assert await database.fetchval("SELECT count(*) FROM later") == delayed


async def test_what_another_changes_after_a_lease_has_begun_to_look_is_leased_once_or_not_at_all(
    store: PostgresStore, second: PostgresStore, database: asyncpg.Connection
) -> None:
    number = await put(store, tenant="acme")
    worker = await alive(store)
    held = database.transaction()
    await held.start()
    await database.execute("SELECT 1 FROM worker FOR UPDATE")  # a lease asks for it first: what it sees is as of now
    taking = asyncio.ensure_future(take(store, worker))
    while not await database.fetchval(WAITING):
        await asyncio.sleep(0)
    await second.messages.set_limit(OF_ACME)  # gives the message a place, and its row another version
    await held.commit()
    leases = [*await taking, *await take(store, worker)]
    assert [one.message.id for one in leases] == [number]
    assert await database.fetchval("SELECT count(*) FROM ready") == 0
    await store.messages.done(leases[0], b"1")
    assert await state(store, number) is State.DONE


async def test_a_limit_can_be_set_over_a_backlog_that_is_being_worked_on(store: PostgresStore, second: PostgresStore) -> None:
    await store.messages.put([message(tenant="acme") for _ in range(600)])
    worker = await alive(second)

    async def work() -> None:
        done = 0
        while done < 600:
            leases = await take(second, worker, 20)
            await asyncio.gather(*(second.messages.done(lease, b"1") for lease in leases))
            done += len(leases)

    async with asyncio.timeout(60), asyncio.TaskGroup() as both:
        both.create_task(work())
        both.create_task(store.messages.set_limit(OF_ACME))
        for _ in range(5):
            await store.messages.tend()
    [status] = await store.messages.limits()
    assert (status.used, status.held) == (0, 0)


async def test_a_paused_backlog_gives_up_all_its_places_in_bites(
    store: PostgresStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, database: asyncpg.Connection
) -> None:
    monkeypatch.setattr(limits, "_BITE", 4)
    await alive(store)
    await store.messages.set_limit(Limit(scope=Scope.TENANT, name="acme", at_once=10))
    ids = [
        receipt.id
        for receipt in await store.messages.put([message(tenant="acme", queue=queue) for queue in ["slow"] * 10 + ["other"] * 10])
    ]
    await store.messages.pause("slow")
    held = []
    for _ in range(4):
        await store.messages.tend()
        held.append((await states(store, ids[:10])).count(State.HELD))
    assert held == [8, 10, 10, 10]  # a bite when it is noted, and one a round
    assert await states(store, ids[10:]) == [State.READY] * 10
    clock.pass_by(seconds=11)
    await alive(store)
    await store.messages.tend()
    assert await database.fetch("SELECT id FROM route WHERE room_from IS NOT NULL") == []


async def test_whose_row_is_held_by_another_while_its_queue_is_paused_gives_up_its_place_afterwards(
    store: PostgresStore, database: asyncpg.Connection
) -> None:
    await alive(store)
    await store.messages.set_limit(OF_ACME)
    slow = await put(store, tenant="acme", queue="slow")
    async with database.transaction():
        await database.execute("SELECT 1 FROM ready FOR UPDATE")
        await store.messages.pause("slow")
        await store.messages.tend()
    assert await state(store, slow) is State.READY
    await store.messages.tend()
    assert await state(store, slow) is State.HELD
