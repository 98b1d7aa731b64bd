"""A message put within a user's own transaction exists exactly if their rows do, whoever's the connection is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from perdure import DedupConflict, InvalidInput, UnknownAgent, put_within, put_within_sync
from perdure.errors.base import InputTooLarge, StoreUnsuitable
from perdure.messages.ids import read
from perdure.messages.registry import AgentCard
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.given import alive, card, message, take

SHAPE = {"type": "object", "properties": {"ticket": {"type": "string"}}, "required": ["ticket"]}


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(postgres_url) as opened:
        triage = AgentCard(name="triage", version="1", queue="support", attempts=3, input_schema=SHAPE)
        await opened.workers.register(card(agents=[AgentCard(name="mail", version="1"), triage]))
        yield opened


@pytest.fixture
def theirs(store: PostgresStore, postgres_url: str) -> str:
    """The user's own database, with a table of theirs, in which the store is too."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE orders (n int)")
    return postgres_url


def as_sqlalchemy(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://")


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def of_asyncpg_pool(url: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(url, min_size=1) as pool, pool.acquire() as connection:
        await connection.set_type_codec("jsonb", encoder=repr, decoder=str, schema="pg_catalog")  # as many users have one of their own
        async with connection.transaction():
            yield connection


@asynccontextmanager
async def of_psycopg(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        yield connection


@asynccontextmanager
async def of_sqlalchemy(url: str, *, driver: str = "asyncpg") -> AsyncIterator[Any]:
    engine = create_async_engine(as_sqlalchemy(url, driver))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def of_a_session(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(as_sqlalchemy(url, "asyncpg"))
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


@asynccontextmanager
async def of_sqlalchemy_over_psycopg(url: str) -> AsyncIterator[Any]:
    async with of_sqlalchemy(url, driver="psycopg") as connection:
        yield connection


AWAITED = [of_asyncpg, of_asyncpg_pool, of_psycopg, of_sqlalchemy, of_sqlalchemy_over_psycopg, of_a_session]


@contextmanager
def of_sync_psycopg(url: str) -> Iterator[Any]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        yield connection


@contextmanager
def of_sync_sqlalchemy(url: str) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(as_sqlalchemy(url, "psycopg"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def of_a_sync_session(url: str) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(as_sqlalchemy(url, "psycopg"))
    try:
        with Session(engine) as session, session.begin():
            yield session
    finally:
        engine.dispose()


class OfDbApi:
    """What Django and others look like from here."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.cursor = connection.cursor


@contextmanager
def of_db_api(url: str) -> Iterator[Any]:
    with psycopg.connect(url) as connection:
        yield OfDbApi(connection)


NOT_AWAITED = [of_sync_psycopg, of_sync_sqlalchemy, of_a_sync_session, of_db_api]


async def insert(connection: Any) -> None:
    """The user's own row."""
    sql = "INSERT INTO orders VALUES (1)"
    await connection.execute(sqlalchemy.text(sql) if "sqlalchemy" in type(connection).__module__ else sql)


async def bodies(store: PostgresStore) -> list[bytes]:
    await store.messages.tend()
    return [lease.message.body for lease in await take(store, await alive(store, "mail", "triage"), limit=100)]


def orders(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM orders").fetchone()
    assert row is not None
    return int(row[0])


class TheirFault(Exception):
    """What goes wrong in a user's program."""


@pytest.mark.parametrize("connected", AWAITED)
async def test_a_commit_brings_it(store: PostgresStore, theirs: str, connected: Any) -> None:
    async with connected(theirs) as connection:
        await insert(connection)
        [first, second] = await put_within(connection, {"agent": "mail", "body": {"n": 1}}, {"agent": "mail", "body": "zwei: 2 % :x ?"})

    assert first < second
    assert await bodies(store) == [b'{"n":1}', b'"zwei: 2 % :x ?"']
    assert orders(theirs) == 1


@pytest.mark.parametrize("connected", AWAITED)
async def test_a_rollback_leaves_nothing(store: PostgresStore, theirs: str, connected: Any) -> None:
    async def work() -> None:
        async with connected(theirs) as connection:
            await insert(connection)
            await put_within(connection, {"agent": "mail", "body": 1})
            raise TheirFault

    with pytest.raises(TheirFault):
        await work()

    assert await bodies(store) == []
    assert orders(theirs) == 0


@pytest.mark.parametrize("connected", NOT_AWAITED)
async def test_a_commit_brings_it_without_awaiting(store: PostgresStore, theirs: str, connected: Any) -> None:
    def work() -> list[str]:
        with connected(theirs) as connection:
            return put_within_sync(connection, {"agent": "mail", "body": {"n": 1}}, {"agent": "mail", "body": "zwei: 2 % :x ?"})

    [first, second] = await asyncio.to_thread(work)

    assert first < second
    assert await bodies(store) == [b'{"n":1}', b'"zwei: 2 % :x ?"']


@pytest.mark.parametrize("connected", NOT_AWAITED)
async def test_a_rollback_leaves_nothing_without_awaiting(store: PostgresStore, theirs: str, connected: Any) -> None:
    def work() -> None:
        with connected(theirs) as connection:
            put_within_sync(connection, {"agent": "mail", "body": 1})
            raise TheirFault

    with pytest.raises(TheirFault):
        await asyncio.to_thread(work)

    assert await bodies(store) == []


async def test_before_the_commit_nobody_sees_it_and_after_it_everybody_does(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "mail", "body": 1})
        assert await bodies(store) == []

    view = await store.messages.get(read(put))

    assert (view.state, view.message.body) == ("ready", b"1")


async def test_one_that_is_still_in_the_inbox_can_be_called_off(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "mail", "body": 1})

    assert (await store.messages.cancel(read(put))).state == "cancelled"


async def test_what_it_does_not_say_comes_from_its_agent(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "triage", "body": {"ticket": "t"}, "priority": 2, "metadata": {"of": "shop"}})

    message = (await store.messages.get(read(put))).message

    assert (message.queue, message.attempts, message.priority, message.metadata) == ("support", 3, 2, {"of": "shop"})


async def test_a_delay_is_by_the_databases_clock(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "mail", "body": 1, "delay_s": 3600})

    view = await store.messages.get(read(put))

    assert view.state == "later"
    assert view.wait is not None
    assert view.wait.until is not None
    assert 3590 < view.wait.until - view.message.created_at < 3610


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        ({"agent": "mial", "body": 1}, UnknownAgent, "'mial'"),
        ({"agent": "triage", "body": {}}, InvalidInput, "ticket"),
        ({"agent": "mail", "body": 1, "priority": 10}, InvalidInput, "priority"),
        ({"agent": "mail", "body": 1, "prioritty": 1}, InvalidInput, "did you mean 'priority'"),
        ({"agent": "mail"}, InvalidInput, "'body'"),
        ({"agent": "mail", "body": float("nan")}, InvalidInput, "nan"),
        ({"agent": "mail", "body": "x" * 5_000_000}, InputTooLarge, "larger than"),
    ],
)
async def test_what_would_be_refused_elsewhere_is_refused_here(
    store: PostgresStore, theirs: str, said: Any, error: type[Exception], match: str
) -> None:
    async with of_asyncpg(theirs) as connection:
        await insert(connection)
        with pytest.raises(error, match=match):
            await put_within(connection, {"agent": "mail", "body": 0}, said)

    assert await bodies(store) == []
    assert orders(theirs) == 1


async def test_an_unregistered_agent_can_be_allowed(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "soon", "body": 1}, allow_unregistered=True)

    assert (await store.messages.get(read(put))).blocked_by == "no-worker"


async def test_a_known_key_brings_the_message_it_had(store: PostgresStore, theirs: str) -> None:
    keyed = {"agent": "mail", "body": 1, "dedup_key": "k"}
    async with of_asyncpg(theirs) as connection:
        [first] = await put_within(connection, keyed)
        assert await put_within(connection, keyed, keyed) == [first, first]
    async with of_asyncpg(theirs) as connection:
        assert await put_within(connection, keyed) == [first]
    assert await bodies(store) == [b"1"]
    async with of_asyncpg(theirs) as connection:
        assert await put_within(connection, keyed) == [first]

    assert await bodies(store) == []


@pytest.mark.parametrize("moved", [False, True])
async def test_a_known_key_with_another_body_is_refused_and_the_transaction_goes_on(store: PostgresStore, theirs: str, moved: bool) -> None:
    async with of_asyncpg(theirs) as connection:
        await put_within(connection, {"agent": "mail", "body": 1, "dedup_key": "k"})
    if moved:
        await store.messages.tend()

    async with of_asyncpg(theirs) as connection:
        with pytest.raises(DedupConflict):
            await put_within(connection, {"agent": "mail", "body": 0}, {"agent": "mail", "body": 2, "dedup_key": "k"})
        await put_within(connection, {"agent": "mail", "body": 3})

    assert sorted(await bodies(store)) == [b"1", b"3"]


async def test_two_transactions_with_one_key_are_one_message(store: PostgresStore, theirs: str) -> None:
    keyed = {"agent": "mail", "body": 1, "dedup_key": "k"}
    async with of_asyncpg(theirs) as first, of_asyncpg(theirs) as second:
        [put] = await put_within(first, keyed)
        waits = asyncio.create_task(put_within(second, keyed))
        done, _ = await asyncio.wait([waits], timeout=0.1)
        assert not done
        await first.execute("COMMIT")
        assert await waits == [put]
        await first.execute("BEGIN")

    assert await bodies(store) == [b"1"]


@pytest.mark.parametrize("body", [1, 2])
async def test_a_key_that_another_door_took_meanwhile_makes_a_dead_letter(store: PostgresStore, theirs: str, body: int) -> None:
    async with of_asyncpg(theirs) as connection:
        [put] = await put_within(connection, {"agent": "mail", "body": body, "dedup_key": "k"})
        [other] = await store.messages.put([message(body=b"1", dedup_key="k")])

    view = await store.messages.get(read(put))

    assert view.state == "dead"
    assert view.error is not None
    assert view.error.code == "dedup-conflict"
    assert (await store.messages.get(other.id)).state == "ready"


async def test_an_open_transaction_holds_nothing_of_ours_up(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        await put_within(connection, {"agent": "mail", "body": "late", "dedup_key": "k"})
        before = await store.messages.last_change()
        async with of_asyncpg(theirs) as other:
            await put_within(other, {"agent": "mail", "body": "early"})

        async with asyncio.timeout(5):
            assert await bodies(store) == [b'"early"']
            await store.workers.reap()
            await store.messages.pause("default")
            await store.messages.resume("default")
            assert await store.messages.changed(before, timeout_s=5) > before
            assert {change.state for change in await store.messages.changes(before)} == {"ready", "leased"}
            [queue] = [queue for queue in await store.messages.queues() if queue.name == "default"]
            assert queue.counts == {"leased": 1}

    assert await bodies(store) == [b'"late"']


async def test_many_come_in_their_order(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        ids = await put_within(connection, *[{"agent": "mail", "body": n} for n in range(1200)])

    await store.messages.tend()
    taken = await take(store, await alive(store, "mail"), limit=1000)

    assert ids == sorted(ids)
    assert [lease.message.body for lease in taken] == [str(n).encode() for n in range(1000)]


async def test_whoever_rings_after_the_commit_is_heard_at_once(store: PostgresStore, theirs: str) -> None:
    before = await store.messages.last_change()

    async def heard() -> int:
        newest = before
        while newest <= before:  # a transaction of somebody else's on the same server may have it look again and find nothing
            newest = await store.messages.changed(before, timeout_s=20)
        return newest

    waits = asyncio.create_task(heard())
    async with of_asyncpg(theirs) as connection:
        await put_within(connection, {"agent": "mail", "body": 1})
    ringing = await asyncpg.connect(theirs)

    while not waits.done():  # it may take a moment until it listens
        await ringing.execute("SELECT pg_notify('perdure.perdure', 'inbox')")
        await asyncio.wait([waits], timeout=0.05)

    assert await waits > before
    await ringing.close()


async def test_nothing_to_put_is_nothing(store: PostgresStore, theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        assert await put_within(connection) == []


async def test_a_database_without_a_store_says_so(empty_postgres_url: str) -> None:
    for connected in (of_asyncpg, of_psycopg, of_sqlalchemy):
        async with connected(empty_postgres_url) as connection:
            with pytest.raises(StoreUnsuitable, match="no store of Perdure"):
                await put_within(connection, {"agent": "mail", "body": 1})
            await connection.rollback() if hasattr(connection, "rollback") else await connection.execute("ROLLBACK; BEGIN")


def test_sqlite_is_refused_in_plain_words() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(InvalidInput, match="needs PostgreSQL, and this is SQLite"):
        put_within_sync(connection, {"agent": "mail", "body": 1})
    connection.close()
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as over, pytest.raises(InvalidInput, match="needs PostgreSQL, and this is sqlite"):
        put_within_sync(over, {"agent": "mail", "body": 1})
    engine.dispose()


async def test_the_wrong_one_of_the_two_says_which_is_right(theirs: str) -> None:
    with psycopg.connect(theirs) as connection, pytest.raises(InvalidInput) as caught:
        await put_within(connection, {"agent": "mail", "body": 1})
    assert "put_within_sync" in str(caught.value.hint)
    async with of_psycopg(theirs) as connection:
        with pytest.raises(InvalidInput) as caught:
            put_within_sync(connection, {"agent": "mail", "body": 1})
    assert "await put_within" in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="'object' is no connection"):
        await put_within(object(), {"agent": "mail", "body": 1})


async def test_a_schema_that_is_none_is_refused(theirs: str) -> None:
    async with of_asyncpg(theirs) as connection:
        with pytest.raises(InvalidInput, match="no name for a schema"):
            await put_within(connection, {"agent": "mail", "body": 1}, schema='x"; DROP TABLE orders; --')
