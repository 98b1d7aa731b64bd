"""The proxy breaks what it is told to break, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from servers.chaos import Chaos

BROKEN = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


@pytest.fixture
async def chaos(empty_postgres_url: str) -> AsyncIterator[Chaos]:
    async with Chaos(empty_postgres_url) as proxy:
        yield proxy


async def direct(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_forwards(chaos: Chaos) -> None:
    assert await direct(chaos.url, "SELECT repeat('x', 200000)") == "x" * 200000


async def test_a_cut_connection_is_gone_and_a_new_one_works(chaos: Chaos) -> None:
    connection = await asyncpg.connect(chaos.url)

    chaos.cut()

    with pytest.raises(BROKEN):
        await connection.fetchval("SELECT 1")
    connection.terminate()
    assert await direct(chaos.url, "SELECT 2") == 2


async def test_a_stalled_call_waits_until_healed(chaos: Chaos) -> None:
    connection = await asyncpg.connect(chaos.url)
    chaos.stall()
    answer = asyncio.create_task(connection.fetchval("SELECT 3"))
    done, _ = await asyncio.wait([answer], timeout=0.1)
    assert not done

    await chaos.heal()

    assert await answer == 3
    await connection.close()


async def test_refused_is_refused_until_healed(chaos: Chaos) -> None:
    await chaos.refuse()
    with pytest.raises(ConnectionError):
        await asyncpg.connect(chaos.url)

    await chaos.heal()

    assert await direct(chaos.url, "SELECT 4") == 4


async def test_a_lost_answer_is_of_something_that_happened(chaos: Chaos, empty_postgres_url: str) -> None:
    connection = await asyncpg.connect(chaos.url)

    chaos.lose_answer()

    with pytest.raises(BROKEN):
        await connection.execute("CREATE TABLE happened (n int)")
    connection.terminate()
    assert await direct(empty_postgres_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'happened'") == 1


async def test_cut_in_the_middle_of_a_call_it_did_not_happen(chaos: Chaos, empty_postgres_url: str) -> None:
    connection = await asyncpg.connect(chaos.url)

    chaos.cut_after(10)

    with pytest.raises(BROKEN):
        await connection.execute("CREATE TABLE never (n int)")
    connection.terminate()
    assert await direct(empty_postgres_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'never'") == 0


async def test_what_a_server_says_last_arrives(chaos: Chaos) -> None:
    connection = await asyncpg.connect(chaos.url)

    with pytest.raises(BROKEN, match="due to administrator command"):
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    connection.terminate()
