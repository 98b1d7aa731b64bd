"""A store in PostgreSQL is copied while it works, put back when it does not, and looked over."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from perdure.errors.base import ConfigError, Conflict, NotFound, StoreError, StoreUnsuitable
from perdure.messages.limits import Limit, Scope
from perdure.messages.message import State
from perdure.stores.postgres import copies
from perdure.stores.postgres import migrate as migrating
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.upkeep import PostgresUpkeep
from perdure.testing import FakeClock
from perdure.testing.given import alive, put, runs, state, states, take
from released.keep import live
from servers.server import Server
from servers.shared import Shared


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def programs(postgres: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the server's own version."""
    monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")


@pytest.fixture
def upkeep(postgres_url: str, tmp_path: Path) -> PostgresUpkeep:
    return PostgresUpkeep(postgres_url, folder=tmp_path)


@pytest.fixture
async def lived(postgres_url: str, clock: FakeClock) -> AsyncIterator[PostgresStore]:
    """A store in which everything has happened to somebody."""
    async with PostgresStore(postgres_url, clock=clock) as store:
        await live(store, clock)
        yield store


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": "perdure"})
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_a_first_upgrade_makes_the_store(empty_postgres_url: str, tmp_path: Path) -> None:
    upkeep = PostgresUpkeep(empty_postgres_url, folder=tmp_path)
    steps = await upkeep.pending()
    for fails in (upkeep.verify, lambda: upkeep.backup(tmp_path / "copy.dump")):
        with pytest.raises(NotFound):
            await fails()

    assert (await upkeep.upgrade()).applied == steps
    assert await upkeep.pending() == []
    assert (await upkeep.upgrade()).applied == []
    assert await upkeep.verify() == []


async def test_upgrades_at_once_are_one(empty_postgres_url: str, tmp_path: Path) -> None:
    done = await asyncio.gather(*(PostgresUpkeep(empty_postgres_url, folder=tmp_path).upgrade() for _ in range(4)))

    assert sorted(step for one in done for step in one.applied) == [step.stem for step in migrating._MIGRATIONS]


async def test_a_restored_store_is_what_was_copied_and_the_other_is_kept(
    upkeep: PostgresUpkeep, postgres_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    async with PostgresStore(postgres_url, clock=clock) as store:
        early = await put(store)
        await upkeep.backup(tmp_path / "copy.dump")
        late = await put(store)
        seen = await store.messages.last_change()

    done = await upkeep.restore(tmp_path / "copy.dump")

    assert stat.S_IMODE((tmp_path / "copy.dump").stat().st_mode) == 0o600
    async with PostgresStore(postgres_url, clock=clock) as store:
        assert await state(store, early) is State.READY
        with pytest.raises(NotFound):
            await store.messages.get(late)
        assert await put(store) > late
        assert await store.messages.last_change() > seen
    assert done.replaced is not None
    async with PostgresStore(postgres_url, clock=clock, schema=done.replaced.split()[-1]) as store:
        assert await state(store, late) is State.READY
    assert await upkeep.verify() == []


async def test_a_store_can_be_brought_to_another_server(
    lived: PostgresStore, upkeep: PostgresUpkeep, private_postgres: Server, tmp_path: Path
) -> None:
    await upkeep.backup(tmp_path / "copy.dump")
    there = await private_postgres.create("there")

    done = await PostgresUpkeep(there, folder=tmp_path).restore(tmp_path / "copy.dump")

    assert done.replaced is None
    assert await PostgresUpkeep(there, folder=tmp_path).verify() == []
    async with PostgresStore(there) as store:
        before = await store.messages.last_change()
        await put(store)
        assert await store.messages.changed(before, timeout_s=5) > before


async def test_what_ran_when_it_was_copied_runs_again(upkeep: PostgresUpkeep, postgres_url: str, tmp_path: Path, clock: FakeClock) -> None:
    async with PostgresStore(postgres_url, clock=clock) as store:
        lease = await runs(store)
        await upkeep.backup(tmp_path / "copy.dump")
        await store.messages.done(lease, b"null")
    clock.pass_by(seconds=60)
    await upkeep.restore(tmp_path / "copy.dump")

    async with PostgresStore(postgres_url, clock=clock) as store:
        await store.workers.reap()
        worker = await alive(store)
        [again] = await take(store, worker)

    assert again.message.id == lease.message.id
    assert again.token != lease.token
    assert worker > lease.worker


async def test_a_store_in_use_is_not_replaced(upkeep: PostgresUpkeep, lived: PostgresStore, tmp_path: Path) -> None:
    await upkeep.backup(tmp_path / "copy.dump")

    with pytest.raises(Conflict, match="somebody uses the store"):
        await upkeep.restore(tmp_path / "copy.dump")

    await lived.check()


async def test_a_copy_takes_nobodys_place(upkeep: PostgresUpkeep, tmp_path: Path) -> None:
    (tmp_path / "copy.dump").write_text("mine")

    with pytest.raises(Conflict, match="there already"):
        await upkeep.backup(tmp_path / "copy.dump")

    assert (tmp_path / "copy.dump").read_text() == "mine"


async def test_what_is_no_copy_is_not_put_in_place(upkeep: PostgresUpkeep, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await upkeep.restore(tmp_path / "copy.dump")
    (tmp_path / "copy.dump").write_bytes(b"once upon a time " * 500)
    with pytest.raises(StoreUnsuitable, match="no copy of a store"):
        await upkeep.restore(tmp_path / "copy.dump")

    assert await upkeep.verify() == []


async def test_a_copy_that_breaks_in_the_middle_changes_nothing(
    upkeep: PostgresUpkeep, postgres_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    async with PostgresStore(postgres_url, clock=clock) as store:
        kept = await put(store)
        await upkeep.backup(tmp_path / "copy.dump")
    whole = (tmp_path / "copy.dump").read_bytes()
    (tmp_path / "copy.dump").write_bytes(whole[: len(whole) - 3000])

    with pytest.raises((StoreError, StoreUnsuitable)):
        await upkeep.restore(tmp_path / "copy.dump")

    async with PostgresStore(postgres_url, clock=clock) as store:
        assert await state(store, kept) is State.READY


async def test_without_pg_dump_it_says_what_to_install(upkeep: PostgresUpkeep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies.shutil, "which", lambda program: None)

    with pytest.raises(ConfigError, match="'pg_dump' is not installed"):
        await upkeep.backup(tmp_path / "copy.dump")

    assert list(tmp_path.iterdir()) == []


async def test_the_password_is_on_no_command_line(upkeep: PostgresUpkeep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, ...]] = []
    real: Callable[..., Any] = asyncio.create_subprocess_exec

    async def watched(*command: Any, **how: Any) -> Any:
        started.append(command)
        return await real(*command, **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    await upkeep.backup(tmp_path / "copy.dump")

    password = upkeep._address.url.split(":")[2].partition("@")[0]
    assert len(password) > 10
    assert started
    assert password not in str(started)


async def test_a_store_that_has_lived_is_sound(upkeep: PostgresUpkeep, lived: PostgresStore) -> None:
    assert await upkeep.verify() == []
    await lived.messages.tend()
    assert await upkeep.verify() == []


async def test_a_store_in_which_messages_are_held_is_sound(upkeep: PostgresUpkeep, postgres_url: str, clock: FakeClock) -> None:
    """By a session, and by a limit, with one of each at work."""
    async with PostgresStore(postgres_url, clock=clock) as store:
        await store.messages.set_limit(Limit(scope=Scope.QUEUE, name="slow", at_once=1))
        ids = [await put(store, session="customer-17") for _ in range(3)] + [await put(store, queue="slow") for _ in range(3)]
        await take(store, await alive(store), 2)
        assert await states(store, ids) == [State.LEASED, State.HELD, State.HELD] * 2
        assert await upkeep.verify() == []
    assert await upkeep.verify() == []


BREAKING = {
    "places": "DELETE FROM ready WHERE id = (SELECT min(id) FROM ready)",
    "strays": "INSERT INTO ready (route, priority, tag, id, tenant, since) VALUES (1, 5, 7, 7, 1, 0)",
    "leases": "UPDATE worker SET ended_at = 1",
    "dedup": "UPDATE dedup SET key = 'other'",
    "numbers": "SELECT setval('number', 1)",
    "counts": "INSERT INTO tally SELECT queue, 'now', 'held', 7 FROM route LIMIT 1",
}


@pytest.mark.parametrize("rule", BREAKING)
async def test_rules_find_what_breaks_them_here_too(upkeep: PostgresUpkeep, lived: PostgresStore, postgres_url: str, rule: str) -> None:
    await execute(postgres_url, BREAKING[rule])

    found = {fault.check: fault for fault in await upkeep.verify()}

    assert rule in found
