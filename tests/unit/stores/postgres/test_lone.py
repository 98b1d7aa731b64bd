"""A message put by a lone caller: one statement, no batch; and whoever comes meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from perdure.messages.limits import Limit, Scope
from perdure.messages.store import Filter
from perdure.resources.batcher import Batcher
from perdure.stores.postgres.hot import hot
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql.verify import verify
from perdure.testing.given import put

ALONE = " ".join(hot("put_one").split()[:6])


async def test_who_is_alone_waits_for_no_batch(store: PostgresStore, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store)
    monkeypatch.setattr(Batcher, "add", None)
    asked.clear()
    await put(store)
    assert asked == [ALONE]


@pytest.mark.parametrize(
    "said", [{"session": "s"}, {"key": "k"}, {"dedup_key": "d"}, {"cost": 2}, {"due_at": 9e9}, {"deadline": 9e9}], ids=str
)
async def test_of_whom_more_is_to_be_said_goes_with_the_others(store: PostgresStore, asked: list[str], said: dict[str, object]) -> None:
    await put(store)
    asked.clear()
    await put(store, **said)
    assert ALONE not in asked
    assert await store._engine.read(verify) == []


async def test_of_many_at_once_one_goes_ahead_and_the_others_share_a_statement(store: PostgresStore, asked: list[str]) -> None:
    await put(store)
    asked.clear()
    ids = await asyncio.gather(*(put(store) for _ in range(100)))
    assert asked.count(ALONE) == 1
    assert len(asked) <= 4, "one alone, the rest together, and their tags"
    assert len(set(ids)) == 100
    assert await store._engine.read(verify) == []


async def test_a_put_that_is_called_off_on_its_way_leaves_all_of_it_or_nothing(store: PostgresStore) -> None:
    await put(store)
    leaving = asyncio.create_task(put(store))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await put(store)
    assert len((await store.messages.list(Filter())).views) in {2, 3}
    assert await store._engine.read(verify) == []


async def test_closing_waits_for_the_one_under_way(store: PostgresStore) -> None:
    await put(store)
    putting = asyncio.create_task(put(store))
    await asyncio.sleep(0)
    await store.messages.close()
    assert putting.done() or await asyncio.wait_for(putting, 5)


async def test_a_limit_that_somebody_has_set_is_kept_by_who_is_alone(store: PostgresStore, second: PostgresStore, asked: list[str]) -> None:
    await put(store)
    await second.messages.set_limit(Limit(scope=Scope.QUEUE, name="default", at_once=1))
    await put(store)
    asked.clear()
    await put(store)
    assert ALONE not in asked, "the put before has heard of it"
