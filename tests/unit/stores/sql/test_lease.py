"""A lease merges the heads of its routes and touches nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw

from perdure.messages.message import State
from perdure.stores.sql import lease as leasing
from perdure.stores.sql.names import Names
from perdure.stores.sql.transaction import Transaction
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, open_routes, put, state, take


def steps_of_a_lease(file: apsw.Connection, routes: list[int], clock: FakeClock) -> int:
    count = 0

    def tick() -> bool:
        nonlocal count
        count += 1
        return False

    file.execute("BEGIN IMMEDIATE")
    tx = Transaction(file.execute, file.executemany, Names(file.execute), clock.now())
    file.set_progress_handler(tick, 1)
    assert len(leasing._choose(tx, leasing._occupied(tx, routes), 3)) == 3
    file.set_progress_handler(None, 1)
    file.execute("ROLLBACK")
    return count


async def test_a_lease_costs_the_same_whatever_lies_behind_it(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    await store.messages.put([message() for _ in range(5)])
    routes = [route.id for route in await store.messages.routes()]
    before = steps_of_a_lease(file, routes, clock)

    await store.messages.put([message() for _ in range(1000)])
    await store.messages.put([message(agent="unknown", priority=0) for _ in range(1000)])

    assert steps_of_a_lease(file, routes, clock) <= before + 20


async def test_empty_routes_cost_a_lease_nothing(store: SqliteStore, file: apsw.Connection, clock: FakeClock) -> None:
    await store.messages.put([message() for _ in range(5)])
    before = steps_of_a_lease(file, [route.id for route in await store.messages.routes()], clock)

    for receipt in await store.messages.put([message(queue=f"once-{n}") for n in range(300)]):
        await store.messages.cancel(receipt.id)
    routes = [route.id for route in await store.messages.routes()]

    assert len(routes) == 301
    assert steps_of_a_lease(file, routes, clock) <= before + 100


async def test_a_cancelled_lease_gives_back_what_it_took(store: SqliteStore) -> None:
    number = await put(store)
    worker = await alive(store)
    routes = await open_routes(store)

    taking = asyncio.create_task(store.messages.lease(routes, limit=1, worker=worker))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    seen = 0
    async with asyncio.timeout(10):
        while await state(store, number) is not State.READY or seen < 2:
            seen = await store.messages.changed(seen, timeout_s=5)

    [lease] = await take(store, worker)
    assert (lease.message.id, lease.attempt, lease.crashes) == (number, 1, 0)


async def test_each_sixteenth_over_all_processes_is_the_earliest(store: SqliteStore, second: SqliteStore) -> None:
    old = await put(store, priority=9)
    await store.messages.put([message(priority=0) for _ in range(40)])
    one, other = await alive(store), await alive(second)

    taken = [lease.message.id for _ in range(8) for lease in (*await take(store, one), *await take(second, other))]

    assert taken.index(old) == 15


async def test_leases_of_many_routes_come_in_one_order(store: SqliteStore) -> None:
    ids = [await put(store, agent=f"agent-{n % 7}", lane=f"p/m{n % 3}", priority=n % 2) for n in range(14)]
    worker = await alive(store, *(f"agent-{n}" for n in range(7)))

    taken = [lease.message.id for lease in await take(store, worker, 14)]

    assert taken == sorted(ids, key=lambda one: (ids.index(one) % 2, one))


async def test_ids_grow_across_processes_even_when_a_clock_goes_back(store: SqliteStore, path: Path, clock: FakeClock) -> None:
    async with SqliteStore(path, clock=FakeClock(clock.now() - 100)) as behind:
        ids = [await put(one) for one in (store, behind, store, behind)]

    assert ids == sorted(set(ids))
