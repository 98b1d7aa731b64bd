"""Many messages in one put, as the client sends them: a statement for all of them."""

from __future__ import annotations

import asyncio

import pytest

from perdure.client.new import CHUNK_MESSAGES, new_message
from perdure.errors.base import DedupConflict
from perdure.messages.message import NewMessage, Receipt
from perdure.messages.store import Filter
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.verify import verify
from perdure.testing.given import message, put


async def sound(store: PostgresStore) -> bool:
    return not await store._engine.read(verify)


def keyed(*keys: str, body: bytes = b"1") -> list[NewMessage]:
    return [message(dedup_key=key, body=body) for key in keys]


async def test_a_whole_chunk_of_the_client_is_one_statement(store: PostgresStore, asked: list[str]) -> None:
    await put(store)
    chunk = [message(dedup_key=new_message("mail", n, {})["dedup_key"]) for n in range(CHUNK_MESSAGES)]
    asked.clear()
    receipts = await store.messages.put(chunk)
    assert len(asked) == 1
    assert len({receipt.id for receipt in receipts}) == CHUNK_MESSAGES
    assert not any(receipt.duplicate for receipt in receipts)
    assert await sound(store)


async def test_many_callers_with_keys_share_a_statement(store: PostgresStore, asked: list[str]) -> None:
    await put(store)
    asked.clear()
    puts = [store.messages.put(keyed(*(f"{caller}-{n}" for n in range(5)))) for caller in range(20)]
    receipts = [receipt for found in await asyncio.gather(*puts) for receipt in found]
    assert len(asked) <= 2, "those of the same moment are together from the first"
    assert [receipt.id for receipt in receipts] == sorted({receipt.id for receipt in receipts})


async def test_of_a_call_with_a_known_key_all_is_told_and_the_rest_is_put(store: PostgresStore) -> None:
    first = await put(store, dedup_key="b", body=b"1")
    receipts = await store.messages.put(keyed("a", "b", "c"))
    assert [receipt.duplicate for receipt in receipts] == [False, True, False]
    assert receipts[1].id == first
    assert await sound(store)


async def test_a_known_key_with_another_body_leaves_nothing_of_its_call(store: PostgresStore) -> None:
    await put(store, dedup_key="b", body=b"2")
    found = await asyncio.gather(store.messages.put(keyed("a", "b", "c")), store.messages.put(keyed("d", "e")), return_exceptions=True)
    assert isinstance(found[0], DedupConflict)
    assert isinstance(found[1], list)
    assert len((await store.messages.list(Filter())).views) == 3
    assert [receipt.duplicate for receipt in await store.messages.put(keyed("a", "c"))] == [False, False]
    assert await sound(store)


async def test_calls_of_one_moment_that_share_keys_put_each_of_them_once(store: PostgresStore) -> None:
    await put(store)
    puts = [store.messages.put(keyed(*(f"{n}" for n in range(at, at + 4)))) for at in range(8)]
    ids: dict[str, set[int]] = {}
    fresh = 0
    for at, receipts in enumerate(await asyncio.gather(*puts)):
        fresh += sum(not receipt.duplicate for receipt in receipts)
        for n, receipt in enumerate(receipts, at):
            ids.setdefault(f"{n}", set()).add(receipt.id)
    assert fresh == len(ids) == 11
    assert all(len(same) == 1 for same in ids.values())
    assert await sound(store)


@pytest.mark.parametrize("order", [1, -1])
async def test_processes_that_put_the_same_keys_at_once_put_each_of_them_once(
    store: PostgresStore, second: PostgresStore, order: int
) -> None:
    await asyncio.gather(put(store), put(second))
    for n in range(10):
        keys = [f"{n}-{one}" for one in range(20)]

        async def puts(one: PostgresStore, keys: list[str]) -> dict[str, Receipt]:
            return dict(zip(keys, await one.messages.put(keyed(*keys)), strict=True))

        here, there = await asyncio.gather(puts(store, keys), puts(second, keys[5:][::order]))
        assert all(here[key].id == there[key].id for key in keys[5:])
        assert all(here[key].duplicate != there[key].duplicate for key in keys[5:])
    assert await sound(store)
