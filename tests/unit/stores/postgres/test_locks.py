"""The death of a process is seen by the lock it held."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from perdure.errors.base import WorkerFenced
from perdure.stores.postgres import heart, locks
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.statements import Statement
from perdure.testing import FakeClock
from perdure.testing.given import alive, put, state, take

HOLDERS = """
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
     WHERE datname = current_database() AND locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
"""
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'perdure perdure {}' AND datname = current_database()
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look may follow the first at once, and the server has run long enough."""
    monkeypatch.setattr(locks, "_SURE_AFTER_S", 0.0)
    without_grace = str(locks._FREE).replace("'10 seconds'", "'0 seconds'")
    monkeypatch.setattr(locks, "_FREE", Statement("locks_free_now", without_grace))


async def test_the_dead_are_known_by_their_lock(store: PostgresStore, second: PostgresStore) -> None:
    new = await put(store)
    worker = await alive(store)
    await take(store, worker)
    assert await second.workers.reap() == []

    await store._engine.locks.close()  # as the death of the process does

    assert [one.worker for one in await second.workers.reap()] == [worker]
    assert await state(second, new) == "ready"


async def test_a_lock_that_was_cut_is_taken_again(store: PostgresStore, second: PostgresStore, database: asyncpg.Connection) -> None:
    await alive(store)
    [held] = await database.fetch(HOLDERS)
    await database.execute(CUT.format("locks"))
    async with asyncio.timeout(20):
        while await database.fetch(HOLDERS) in ([], [held]):  # it takes a moment until the one that was cut is gone
            await asyncio.sleep(0)
    assert await second.workers.reap() == []


async def test_a_single_look_proves_nothing(monkeypatch: pytest.MonkeyPatch, store: PostgresStore, second: PostgresStore) -> None:
    monkeypatch.setattr(locks, "_SURE_AFTER_S", 600.0)
    await alive(store)
    await store._engine.locks.close()
    assert (await second.workers.reap(), await second.workers.reap()) == ([], [])


async def test_who_holds_no_lock_is_judged_by_its_heartbeat(postgres_url: str, clock: FakeClock, second: PostgresStore) -> None:
    async with PostgresStore(postgres_url, clock=clock, flags=Flags(advisory=False)) as without:
        worker = await alive(without)
        assert (await second.workers.reap(), await second.workers.reap()) == ([], [])
        clock.pass_by(seconds=11)
        assert [one.worker for one in await second.workers.reap()] == [worker]


async def test_who_bows_out_leaves_no_lock_behind(store: PostgresStore, database: asyncpg.Connection) -> None:
    await store.workers.bow_out(await alive(store))
    assert (await database.fetch(HOLDERS), await database.fetchval("SELECT count(*) FROM worker_lock")) == ([], 0)


async def test_a_heart_goes_on_after_its_connection_was_cut(store: PostgresStore, database: asyncpg.Connection, clock: FakeClock) -> None:
    worker = await alive(store)
    beating = store.workers.heart(worker)
    await asyncio.to_thread(beating.beat)
    await database.execute(CUT.format("heart"))
    clock.pass_by(seconds=2)
    await asyncio.to_thread(beating.beat)
    assert await database.fetchval("SELECT beat_at FROM worker WHERE id = $1", worker) == clock.now()
    await asyncio.to_thread(beating.close)


async def test_a_heart_beats_in_the_databases_time(postgres_url: str, database: asyncpg.Connection) -> None:
    async with PostgresStore(postgres_url) as store:
        worker = await alive(store)
        beating = store.workers.heart(worker)
        await asyncio.to_thread(beating.beat)
        await asyncio.to_thread(beating.close)
        old = "SELECT extract(epoch FROM clock_timestamp()) - beat_at BETWEEN 0 AND 60 FROM worker WHERE id = $1"
        assert await database.fetchval(old, worker)
        assert abs(store._engine.clock.now() - float(await database.fetchval("SELECT extract(epoch FROM clock_timestamp())"))) < 5


async def test_who_was_declared_dead_is_told_by_its_heart(store: PostgresStore, clock: FakeClock) -> None:
    beating = store.workers.heart(await alive(store))
    clock.pass_by(seconds=11)
    await store.workers.reap()
    with pytest.raises(WorkerFenced):
        await asyncio.to_thread(beating.beat)
    await asyncio.to_thread(beating.close)
    assert heart.PostgresHeart is type(beating)
