"""While somebody keeps a transaction open nothing dead is cleared away; looks begin behind it, and lose nobody for that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from perdure.messages.message import MessageId
from perdure.stores.postgres import floors as floors_module
from perdure.stores.postgres.floors import Floors
from perdure.stores.postgres.leasing import Leasing
from perdure.stores.postgres.store import PostgresStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, take

TAKEN = """
UPDATE ready SET tag = tag + 100000;
INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT 1, 5, g, g, 1, 0 FROM generate_series(1, 40000) g;
DELETE FROM ready WHERE id <= 40000;
"""
"""What forty thousand messages leave behind that were put and leased, before the head of all others."""
LATE = """
WITH new AS (INSERT INTO message (id, tenant, route, priority, attempts, created_at, max_wait_s, body)
             SELECT nextval('number'), tenant, route, priority, attempts, created_at, max_wait_s, body FROM message LIMIT 1
             RETURNING id, tenant, route, priority)
INSERT INTO ready (route, priority, tag, id, tenant, since) SELECT route, priority, 50000, id, tenant, 0 FROM new RETURNING id
"""


@pytest.fixture(autouse=True)
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quick a look is, from here it seems slow."""
    monkeypatch.setattr(floors_module, "_SLOW_S", 0.0)


@pytest.fixture
def leasing(store: PostgresStore) -> Leasing:
    found: Leasing = store.messages._parts()[1]  # type: ignore[attr-defined]
    return found


@pytest.fixture
def floors(leasing: Leasing) -> Floors:
    return leasing.floors


@pytest.fixture
async def worker(store: PostgresStore) -> int:
    """Who has a hundred messages to take, each of them behind whatever lies at the head."""
    await store.messages.put([message() for _ in range(200)])
    for leased in await take(store, who := await alive(store), 100):
        await store.messages.done(leased, b"1")
    return who


@pytest.fixture
async def held(worker: int, database: asyncpg.Connection, postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody's transaction, open while many messages come and go."""
    somebody = await asyncpg.connect(postgres_url)
    await somebody.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM perdure.ready")
    await database.execute(TAKEN)
    yield somebody
    await somebody.close()


async def works(store: PostgresStore, leasing: Leasing, worker: int, clock: FakeClock, seconds: int = 5) -> list[MessageId]:
    """Take two messages a second; tell which."""
    taken = []
    for _ in range(2 * seconds):
        clock.pass_by(seconds=0.5)
        taken += [lease.message.id for lease in await take(store, worker)]
        await leasing.idle()
    return taken


async def test_a_held_snapshot_makes_looks_begin_behind_what_was_taken(
    store: PostgresStore, leasing: Leasing, floors: Floors, worker: int, clock: FakeClock, held: asyncpg.Connection
) -> None:
    await works(store, leasing, worker, clock)

    assert floors.needed
    await works(store, leasing, worker, clock)
    assert max(floors.of([1])) > 0


async def test_a_distant_server_alone_makes_nobody_begin_behind(
    store: PostgresStore, leasing: Leasing, floors: Floors, worker: int, clock: FakeClock
) -> None:
    await works(store, leasing, worker, clock, seconds=20)

    assert not floors.needed


async def test_who_is_committed_late_below_is_found_while_the_snapshot_is_held(
    store: PostgresStore,
    leasing: Leasing,
    floors: Floors,
    worker: int,
    clock: FakeClock,
    held: asyncpg.Connection,
    database: asyncpg.Connection,
) -> None:
    async with database.transaction():
        late = await database.fetchval(LATE)
        early = await works(store, leasing, worker, clock, seconds=10)

    found = await works(store, leasing, worker, clock, seconds=15)

    assert floors.needed
    assert late not in early
    assert late in found


async def test_once_it_is_let_go_and_cleared_away_everything_is_read_again(
    store: PostgresStore,
    leasing: Leasing,
    floors: Floors,
    worker: int,
    clock: FakeClock,
    held: asyncpg.Connection,
    database: asyncpg.Connection,
) -> None:
    await works(store, leasing, worker, clock)
    await held.execute("COMMIT")
    await database.execute("VACUUM ready")

    await works(store, leasing, worker, clock, seconds=15)

    assert not floors.needed
