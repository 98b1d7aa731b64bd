"""Each moment is fired once, whoever looks at the same time and wherever somebody dies in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from perdure.errors.base import StoreError
from perdure.messages.calendar import Misfire
from perdure.messages.store import Filter
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.sql import schedules
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing import FakeClock
from perdure.testing.schedules import planned, schedule

PROCESSES = 3


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[FakeClock], Any]:
    """Makes the same store again and again, as each of several processes would."""
    if request.param == "sqlite":
        return lambda clock: SqliteStore(tmp_path / "perdure.db", clock=clock)
    url = request.getfixturevalue("postgres_url")
    return lambda clock: PostgresStore(url, clock=clock, pool=2)


@pytest.fixture
async def stores(engine: Callable[[FakeClock], Any]) -> AsyncIterator[tuple[FakeClock, list[Any]]]:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        yield clock, [await stack.enter_async_context(engine(clock)) for _ in range(PROCESSES)]


async def test_several_processes_that_fire_at_once_put_each_moment_once(stores: tuple[FakeClock, list[Any]]) -> None:
    clock, several = stores
    for name in ("a", "b"):
        await several[0].schedules.add(schedule(name=name, cron="* * * * *", misfire=Misfire.ALL))
    for _ in range(5):
        clock.pass_by(seconds=150)
        rounds = await asyncio.gather(*(store.schedules.fire() for store in several for _ in range(3)))
        assert sum(len(one.put) for one in rounds) in {4, 5, 6}

    messages = [view.message for view in (await several[0].messages.list(Filter(), limit=100)).views]
    for name in ("a", "b"):
        moments = planned([message for message in messages if message.metadata["schedule"] == name])
        assert len(moments) == len(set(moments)) == 12 + (clock.now() % 60 < 30)  # 750 s: every minute of them
        assert (await several[0].schedules.get(name)).fired == len(moments)


async def test_a_firing_that_fails_in_the_middle_has_not_happened_and_is_made_again(
    stores: tuple[FakeClock, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, several = stores
    kept = await several[0].schedules.add(schedule())
    clock.pass_by(seconds=3600)

    def full(*_: Any) -> Any:
        raise StoreError("the power went out")

    with monkeypatch.context() as broken:
        broken.setattr(schedules.putting, "put", full)
        with pytest.raises(StoreError):
            await several[0].schedules.fire()
    assert (await several[1].schedules.get("report")).next_at == kept.next_at

    assert len((await several[1].schedules.fire()).put) == 1
    assert len((await several[2].schedules.fire()).put) == 0
