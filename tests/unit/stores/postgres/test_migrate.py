"""A database gets its shape once, however many come."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from perdure.errors.base import StoreError, StoreUnsuitable
from perdure.messages.store import Filter
from perdure.stores.postgres.connection import Address
from perdure.stores.postgres.flags import ALL_OFF, Flags
from perdure.stores.postgres.migrate import LATEST, migrate, pending
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.given import put


@pytest.fixture
def empty(empty_postgres_url: str) -> Address:
    return Address(empty_postgres_url, "perdure", Flags(), 10.0)


async def test_many_first_starts_at_once_make_one_schema(empty: Address) -> None:
    made = await asyncio.gather(*(migrate(empty) for _ in range(5)))
    assert max(len(names) for names in made) > 0
    assert len([name for names in made for name in names]) == len({name for names in made for name in names})
    assert (await pending(empty), await migrate(empty)) == ([], [])


async def test_what_is_to_be_made_is_told_and_not_made(empty: Address) -> None:
    assert await pending(empty) == await pending(empty)
    assert (await pending(empty))[0] == "0001_first"
    assert int((await pending(empty))[-1][:4]) == LATEST


async def test_a_step_that_fails_leaves_nothing_of_itself(empty: Address, tmp_path: Path) -> None:
    good, bad = tmp_path / "0001_good.sql", tmp_path / "0002_bad.sql"
    good.write_text("CREATE TABLE good (n int)")
    bad.write_text("CREATE TABLE half (n int); SELECT nothing;")
    with pytest.raises(StoreError):
        await migrate(empty, migrations=[good, bad])
    database = await asyncpg.connect(empty.url, server_settings={"search_path": "perdure"})
    there = await database.fetchval("SELECT array_agg(name ORDER BY number) FROM migration")
    assert (there, await database.fetchval("SELECT to_regclass('half')")) == (["0001_good"], None)
    await database.close()


async def test_a_step_that_was_skipped_is_made_later(empty: Address, tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"000{n}_x.sql" for n in (1, 2, 3))
    one.write_text("CREATE TABLE origin (base bigint); CREATE TABLE change (seq bigint); CREATE TABLE folded (seq bigint);")
    two.write_text("CREATE TABLE two (n int)")
    three.write_text("CREATE TABLE three (n int)")
    await migrate(empty, migrations=[one, three])
    assert await migrate(empty, migrations=[one, two, three]) == ["0002_x"]


async def test_a_newer_schema_is_refused(postgres_url: str, database: asyncpg.Connection) -> None:
    await database.execute("INSERT INTO migration (number, name) VALUES (9000, '9000_future')")
    with pytest.raises(StoreUnsuitable, match="9000"):
        async with PostgresStore(postgres_url):
            pass


async def test_a_database_that_is_not_there_is_no_reason_to_wait(postgres_url: str) -> None:
    with pytest.raises(StoreUnsuitable):
        async with PostgresStore(f"{postgres_url}_gone", wait_s=600.0):
            pass


async def test_a_server_that_is_not_there_is_an_error_in_time() -> None:
    with pytest.raises(StoreError) as caught:
        async with PostgresStore("postgresql://nobody@127.0.0.1:1/none", wait_s=0.1):
            pass
    assert caught.value.retryable


async def test_two_stores_in_two_schemas_do_not_meet(postgres_url: str) -> None:
    async with PostgresStore(postgres_url, schema="one") as one, PostgresStore(postgres_url, schema="two", flags=ALL_OFF) as two:
        await put(one)
        assert len((await one.messages.list(Filter())).views) == 1
        assert len((await two.messages.list(Filter())).views) == 0


@pytest.mark.parametrize("name", ["", "Perdure", "a b", 'x"; DROP', "a" * 41])
def test_a_schema_has_a_plain_name(name: str) -> None:
    with pytest.raises(StoreUnsuitable):
        PostgresStore("postgresql://nobody@127.0.0.1:1/none", schema=name)


async def test_changes_of_a_restored_database_are_counted_on_from_there(postgres_url: str, database: asyncpg.Connection) -> None:
    """Another server counts its transactions anew; the changes of before must stay below those to come."""
    far = (1 << 40) << 20
    await database.execute("UPDATE folded SET seq = $1", far)
    async with PostgresStore(postgres_url) as store:
        assert await store.messages.last_change() == far
        new = await put(store)
        assert [change.id for change in await store.messages.changes(far)] == [new]
        assert await store.messages.last_change() > far
