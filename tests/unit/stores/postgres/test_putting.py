"""Many messages in one put, as the client sends them: a statement for all of them."""

from __future__ import annotations

import asyncio

import pytest

from perdure.client.new import CHUNK_MESSAGES, new_message
from perdure.errors.base import Conflict, DedupConflict, NotFound
from perdure.messages.groups import NewGroup
from perdure.messages.message import NewMessage, Receipt, State
from perdure.messages.store import Filter
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.verify import verify
from perdure.stores.upkeep import Fault
from perdure.testing import FakeClock
from perdure.testing.given import alive, message, put, soon, state, states, take


async def faults(store: PostgresStore) -> list[Fault]:
    return await store._engine.read(verify)


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
    assert await faults(store) == []


async def test_a_chunk_that_is_sent_again_is_told_what_it_has_brought(store: PostgresStore, asked: list[str]) -> None:
    chunk = keyed(*(f"{n}" for n in range(100)))
    receipts = await store.messages.put(chunk)
    asked.clear()
    again = await store.messages.put(chunk)
    assert len(asked) == 2, "it is refused by one statement, and read by another"
    assert [(one.id, one.duplicate) for one in again] == [(one.id, True) for one in receipts]
    with pytest.raises(DedupConflict):
        await store.messages.put([*chunk[1:], message(dedup_key="0", body=b"other")])


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
    assert await faults(store) == []


async def test_a_known_key_with_another_body_leaves_nothing_of_its_call(store: PostgresStore) -> None:
    await put(store, dedup_key="b", body=b"2")
    found = await asyncio.gather(store.messages.put(keyed("a", "b", "c")), store.messages.put(keyed("d", "e")), return_exceptions=True)
    assert isinstance(found[0], DedupConflict)
    assert isinstance(found[1], list)
    assert len((await store.messages.list(Filter())).views) == 3
    assert [receipt.duplicate for receipt in await store.messages.put(keyed("a", "c"))] == [False, False]
    assert await faults(store) == []


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
    assert await faults(store) == []


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
    assert await faults(store) == []


async def test_conversations_that_begin_and_go_on_are_put_together(store: PostgresStore, asked: list[str]) -> None:
    worker = await alive(store)
    going_on = await put(store, session="0")
    asked.clear()
    puts = [store.messages.put([message(session=f"{n}"), message(session=f"{n}")]) for n in range(20)]
    receipts = await asyncio.gather(*puts, put(store))
    assert len(asked) <= 4, "who is in which line is asked, then all is put; in one batch, or two"
    leases = await take(store, worker, 100)
    assert {one.message.id for one in leases} == {going_on, receipts[-1], *(first.id for first, _ in receipts[1:-1])}
    assert await states(store, [second.id for _, second in receipts[:-1]]) == [State.HELD] * 20
    assert await faults(store) == []


async def test_a_line_is_as_urgent_as_its_most_urgent_however_it_is_put(store: PostgresStore) -> None:
    worker = await alive(store)
    head = await put(store, session="talk", priority=8)
    await asyncio.gather(put(store, session="talk", priority=1), put(store, priority=5))
    [lease] = await take(store, worker)
    assert lease.message.id == head
    assert await faults(store) == []


async def test_a_message_in_line_keeps_its_moment(store: PostgresStore, clock: FakeClock) -> None:
    first, second, third = await store.messages.put([message(session="talk", due_at=soon(clock)), *[message(session="talk")] * 2])
    assert await states(store, [first.id, second.id, third.id]) == [State.LATER, State.HELD, State.HELD]
    assert await faults(store) == []


async def test_processes_that_begin_the_same_lines_at_once_make_one_of_each(store: PostgresStore, second: PostgresStore) -> None:
    await asyncio.gather(put(store), put(second))
    puts = [one.messages.put([message(session=f"{n}")]) for n in range(20) for one in (store, second)]
    receipts = [receipt for [receipt] in await asyncio.gather(*puts)]
    found = await states(store, [receipt.id for receipt in receipts])
    assert (found.count(State.READY), found.count(State.HELD)) == (20, 20)
    assert await faults(store) == []


async def test_a_group_and_its_join_are_put_at_once(store: PostgresStore, asked: list[str]) -> None:
    await put(store)
    asked.clear()
    receipts = await store.messages.put([message(dedup_key=f"{n}") for n in range(100)], group=NewGroup(name="all", then=message()))
    assert len(asked) == 2, "its number is drawn, then all is put"
    [group] = {receipt.group for receipt in receipts}
    assert group is not None
    found = await store.messages.group(group)
    assert (found.name, found.total, found.left, found.open) == ("all", 100, 100, False)
    assert found.then is not None
    assert await state(store, found.then) == State.WAITING
    again = await store.messages.put([message(dedup_key=f"{n}") for n in range(100)], group=NewGroup(name="all", then=message()))
    assert [(one.id, one.duplicate, one.group) for one in again] == [(one.id, True, group) for one in receipts]
    assert await faults(store) == []


async def test_an_open_group_grows_by_a_statement_until_it_is_closed(store: PostgresStore, asked: list[str]) -> None:
    [first] = await store.messages.put([message()], group=NewGroup(open=True))
    assert first.group is not None
    asked.clear()
    await store.messages.put([message() for _ in range(100)], group=first.group)
    assert len(asked) == 1
    await asyncio.gather(*(store.messages.put([message()], group=first.group) for _ in range(5)))
    assert (await store.messages.close_group(first.group)).total == 106
    with pytest.raises(Conflict):
        await store.messages.put([message()], group=first.group)
    with pytest.raises(NotFound):
        await store.messages.put([message(tenant="other")], group=first.group)
    assert await faults(store) == []
