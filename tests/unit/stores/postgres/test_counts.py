"""Kept counts are exact, whatever is folded and whatever is not yet."""

from __future__ import annotations

import asyncio

import asyncpg

from perdure.messages.retention import Keep
from perdure.messages.store import QueueStatus
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, take


async def the_queue(store: PostgresStore) -> QueueStatus:
    [queue] = await store.messages.queues()
    return queue


async def fold(store: PostgresStore) -> None:
    await store._engine.write(lambda tx: tx.fold())


async def test_counts_are_the_same_before_and_after_they_are_folded(store: PostgresStore, database: asyncpg.Connection) -> None:
    worker = await alive(store)
    for _ in range(5):
        await put(store)
    [lease, _] = await take(store, worker, 2)
    await store.messages.done(lease, b"1")
    before, counters = await the_queue(store), await store.messages.counters()

    await fold(store)

    assert (await the_queue(store), await store.messages.counters()) == (before, counters)
    assert (before.counts, before.totals) == ({"ready": 3, "leased": 1, "done": 1}, {"put": 5, "done": 1})
    assert await database.fetchval("SELECT seq FROM folded") == await database.fetchval("SELECT max(seq) FROM change")


async def test_what_commits_late_is_counted_once(store: PostgresStore, postgres_url: str) -> None:
    first = await put(store)
    slow = await asyncpg.connect(postgres_url, server_settings={"search_path": "perdure", "application_name": "perdure perdure slow"})
    try:
        late = slow.transaction()
        await late.start()
        insert = (
            "INSERT INTO change (seq, id, route, at, was, state, total)"
            " SELECT change_seq() + 1, $1, route, 0, NULL, 'ready', 'put' FROM message WHERE id = $1"
        )
        await slow.execute(insert, first)
        await put(store)
        await fold(store)
        assert (await the_queue(store)).totals == {"put": 2}
        await late.commit()
        assert (await the_queue(store)).totals == {"put": 3}
        await fold(store)
        assert (await the_queue(store)).totals == {"put": 3}
    finally:
        await slow.close()


async def test_folding_while_others_put_counts_each_once(store: PostgresStore, second: PostgresStore) -> None:
    async def puts(one: PostgresStore) -> None:
        for _ in range(20):
            await one.messages.put([message(), message()])

    async def folds() -> None:
        for _ in range(10):
            await fold(store)

    await asyncio.gather(puts(store), puts(second), folds())
    assert (await the_queue(store)).counts == {"ready": 80}
    await fold(store)
    assert (await the_queue(second)).counts == {"ready": 80}


async def test_changes_are_forgotten_only_once_they_are_counted(
    store: PostgresStore, database: asyncpg.Connection, clock: FakeClock
) -> None:
    for _ in range(3):
        await put(store)
    clock.pass_by(seconds=4000)
    assert (await store.retention.tidy(Keep())).changes == 0
    assert await database.fetchval("SELECT count(*) FROM change") == 3
    await fold(store)
    last = await store.messages.last_change()
    assert (await store.retention.tidy(Keep())).changes == 3
    assert await database.fetchval("SELECT count(*) FROM change") == 0
    assert ((await the_queue(store)).counts, await store.messages.last_change()) == ({"ready": 3}, last)


async def test_two_who_tend_at_once_do_each_thing_once(store: PostgresStore, second: PostgresStore, clock: object) -> None:
    for _ in range(5):
        await put(store, due_at=store._engine.clock.now() + 1)
    clock.pass_by(seconds=2)  # type: ignore[attr-defined]
    done = await asyncio.gather(*(one.messages.tend() for one in (store, second) for _ in range(3)))
    assert sum(one.due for one in done) == 5
