"""A change is heard of, by whom it concerns and never passed over."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from perdure.stores.postgres import news
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from perdure.testing.given import put

EARS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'perdure perdure ears' AND datname = current_database()"


@pytest.fixture
def only_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody finds anything by looking now and then."""
    monkeypatch.setattr(news, "_LOOK_S", 600.0)
    monkeypatch.setattr(news, "_LOOK_DEAF_S", 600.0)


async def heard(database: asyncpg.Connection, ears: int) -> None:
    """Wait until so many processes listen."""
    async with asyncio.timeout(20):
        while await database.fetchval(EARS) < ears:
            await asyncio.sleep(0)


async def test_another_process_rings(only_rung: None, store: PostgresStore, second: PostgresStore, database: asyncpg.Connection) -> None:
    before = await store.messages.last_change()
    waiting = asyncio.create_task(store.messages.changed(before, timeout_s=30))
    await heard(database, 1)
    await put(second)
    assert await waiting == await second.messages.last_change() > before


async def test_without_notifications_a_look_is_enough(postgres_url: str, clock: FakeClock, second: PostgresStore) -> None:
    async with PostgresStore(postgres_url, clock=clock, flags=Flags(listen=False)) as deaf:
        before = await deaf.messages.last_change()
        waiting = asyncio.create_task(deaf.messages.changed(before, timeout_s=30))
        await asyncio.sleep(0)
        await put(second)
        assert await waiting > before


async def test_who_was_cut_off_hears_again(
    only_rung: None, store: PostgresStore, second: PostgresStore, database: asyncpg.Connection
) -> None:
    waiting = asyncio.create_task(store.messages.changed(await store.messages.last_change(), timeout_s=30))
    await heard(database, 1)
    await database.execute(EARS.replace("count(*)", "pg_terminate_backend(pid)"))
    while await database.fetchval(EARS):
        await asyncio.sleep(0)
    await heard(database, 1)
    await put(second)
    assert await waiting == await second.messages.last_change()


async def test_what_was_put_just_before_closing_still_rings(
    only_rung: None, store: PostgresStore, postgres_url: str, clock: FakeClock, database: asyncpg.Connection
) -> None:
    before = await store.messages.last_change()
    waiting = asyncio.create_task(store.messages.changed(before, timeout_s=30))
    await heard(database, 1)
    async with PostgresStore(postgres_url, clock=clock) as short:
        await put(short)
    assert await waiting > before


async def test_a_change_that_commits_late_is_not_passed_over(store: PostgresStore, address: object, postgres_url: str) -> None:
    """It has a lower number than one that others have committed meanwhile."""
    first = await put(store)
    slow = await asyncpg.connect(postgres_url, server_settings={"search_path": "perdure", "application_name": "perdure perdure slow"})
    try:
        seen = await store.messages.last_change()
        late = slow.transaction()
        await late.start()
        insert = (
            "INSERT INTO change (seq, id, route, at, was, state)"
            " SELECT change_seq() + 1, $1, route, 0, NULL, 'ready' FROM message WHERE id = $1"
        )
        await slow.execute(insert, first)
        quick = await put(store)
        assert (await store.messages.last_change(), await store.messages.changes(seen)) == (seen, [])

        await late.commit()
        assert [change.id for change in await store.messages.changes(seen)] == [first, quick]
        assert await store.messages.last_change() > seen
    finally:
        await slow.close()


async def test_who_waits_for_work_is_woken_while_a_change_is_held_back(
    only_rung: None, store: PostgresStore, postgres_url: str, database: asyncpg.Connection
) -> None:
    slow = await asyncpg.connect(postgres_url, server_settings={"application_name": "perdure perdure slow"})
    try:
        async with slow.transaction():
            await slow.execute("SELECT pg_current_xact_id()")
            seen = await store.messages.last_change()
            waiting = asyncio.create_task(store.messages.changed(seen, timeout_s=600))
            await heard(database, 1)
            await put(store)
            assert await waiting == seen
    finally:
        await slow.close()


async def test_a_strangers_long_transaction_holds_up_nobody(store: PostgresStore, database: asyncpg.Connection) -> None:
    seen = await store.messages.last_change()
    async with database.transaction():
        await database.execute("SELECT pg_current_xact_id()")
        new = await put(store)
        assert [change.id for change in await store.messages.changes(seen)] == [new]
        assert await store.messages.changed(seen, timeout_s=30) > seen


async def test_without_a_look_at_others_sessions_it_does_and_nothing_is_lost(
    postgres_url: str, clock: FakeClock, database: asyncpg.Connection
) -> None:
    async with PostgresStore(postgres_url, clock=clock, flags=Flags(activity=False)) as store:
        async with database.transaction():
            await database.execute("SELECT pg_current_xact_id()")
            new = await put(store)
            assert await store.messages.changes(0) == []
        async with asyncio.timeout(20):  # whatever else runs on the server holds it back as well, for as long as that takes
            while not (told := await store.messages.changes(0)):
                await asyncio.sleep(0)
        assert [change.id for change in told] == [new]
