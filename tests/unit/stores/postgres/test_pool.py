"""Connections are few, handed to one at a time, and never handed on broken."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from perdure.clock import awake
from perdure.errors.base import StoreBusy, StoreClosed
from perdure.stores.postgres.connection import Address
from perdure.stores.postgres.flags import Flags
from perdure.stores.postgres.pool import Pool
from servers.server import Server


@pytest.fixture
async def pool(address: Address) -> Pool:
    pool = Pool(address, 2)
    yield pool
    await pool.close()


async def test_who_finds_all_taken_waits_for_one(pool: Pool) -> None:
    async with AsyncExitStack() as held:
        taken = [await held.enter_async_context(pool.take()) for _ in range(2)]

        async def third() -> object:
            async with pool.take() as connection:
                return connection

        waiting = asyncio.create_task(third())
        await asyncio.sleep(0)
        assert not waiting.done()
        await held.aclose()
        assert await waiting in taken


async def test_who_waits_too_long_hears_that_it_is_busy(pool: Pool) -> None:
    async with pool.take(), pool.take():
        with pytest.raises(StoreBusy, match="2 connections"):
            async with pool.take(awake() + 0.01):
                pass


async def test_one_that_broke_is_thrown_away(pool: Pool) -> None:
    async with pool.take() as first:
        first.terminate()
    async with pool.take() as second:
        assert second is not first
        assert await second.fetchval("SELECT 1") == 1


async def test_one_given_back_in_the_middle_of_a_transaction_is_thrown_away(pool: Pool) -> None:
    async with pool.take() as first:
        await first.execute("BEGIN")
    async with pool.take() as second:
        assert (second is first, first.is_closed()) == (False, True)


async def test_one_in_good_order_is_used_again(pool: Pool) -> None:
    async with pool.take() as first:
        pass
    async with pool.take() as second:
        assert second is first


async def test_a_closed_pool_hands_out_none(pool: Pool) -> None:
    await pool.close()
    with pytest.raises(StoreClosed):
        async with pool.take():
            pass


async def test_a_full_server_says_what_to_do(tmp_path: object) -> None:
    async with Server(max_connections="5", superuser_reserved_connections="3") as server:
        pool = Pool(Address(await server.create("small"), "perdure", Flags(), 0.2), 10)
        async with AsyncExitStack() as held:
            for _ in range(2):  # the rest is the superuser's
                await held.enter_async_context(pool.take())
            with pytest.raises(StoreBusy, match="no more connections") as caught:
                await held.enter_async_context(pool.take())
            assert "store.pool" in caught.value.hint
        await pool.close()
