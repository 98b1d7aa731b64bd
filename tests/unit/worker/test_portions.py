"""What a process has of a lane: permits, slices, and corrections that go to the store in batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.errors.base import StoreBusy
from perdure.providers.lane_limits import LaneLimits
from perdure.providers.lanes import LaneStatus, Need, NotYet, Reason, Turn
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import alive
from perdure.worker.permits import Permit
from perdure.worker.portions import Portion, Shared

LANE = "qwen/max"


class Counting:
    """A lane store whose turns are counted, and fail if told to."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store
        self.turns = 0
        self.fails = False

    async def turn(self, lane: str, limits: LaneLimits, **given: Any) -> Turn:
        self.turns += 1
        if self.fails:
            raise StoreBusy("locked")
        await asyncio.sleep(0)
        return await self._store.lanes.turn(lane, limits, **given)


class Stage:
    """Portions of one lane, over one store."""

    def __init__(self, store: InMemoryStore, clock: FakeClock) -> None:
        self.store, self.clock = store, clock
        self.books = Counting(store)
        self.portions: list[Portion] = []

    async def portion(self, **limits: Any) -> Portion:
        shared = Shared(self.books, await alive(self.store))  # type: ignore[arg-type]
        portion = Portion(LANE, LaneLimits(**{"gentle_s": 0, **limits}), shared, self.clock.now, lambda: None)
        self.portions.append(portion)
        return portion

    async def shown(self) -> LaneStatus:
        [lane] = await self.store.lanes.lanes()
        return lane


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stage(clock: FakeClock) -> AsyncIterator[Stage]:
    async with InMemoryStore(clock=clock) as store:
        stage = Stage(store, clock)
        yield stage
        for portion in stage.portions:
            await portion.close()


async def permit(portion: Portion, **need: Any) -> Permit:
    got = await portion.take(Need(**{"patience_s": 5.0, **need}))
    assert isinstance(got, Permit)
    return got


async def test_calls_of_the_same_moment_go_to_the_store_together(stage: Stage) -> None:
    portion = await stage.portion(rpm=60)
    permits = await asyncio.gather(*(permit(portion) for _ in range(5)))
    assert stage.books.turns == 1
    assert [round(one.starts_at - stage.clock.now()) for one in permits] == [0, 1, 2, 3, 4]


async def test_who_is_told_to_wait_has_nothing_to_give_back(stage: Stage) -> None:
    portion = await stage.portion(rpm=6)
    await permit(portion)
    answer = await portion.take(Need(patience_s=5.0))
    assert isinstance(answer, NotYet)
    assert (await stage.shown()).requests == 1


async def test_a_caller_that_is_cut_off_while_its_permit_is_on_the_way_leaves_none(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, at_once=3)
    asking = asyncio.create_task(permit(portion))
    while not stage.books.turns:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await portion.close()
    shown = await stage.shown()
    assert (shown.requests, shown.at_once) == (0, 0)


async def test_a_call_that_was_never_sent_has_used_nothing(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, tpm=6000)
    (await permit(portion, tokens=100)).left()
    await portion.close()
    shown = await stage.shown()
    assert (shown.requests, shown.tokens) == (0, 0)


async def test_a_call_that_was_sent_and_says_nothing_keeps_what_was_reserved(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, tpm=6000)
    got = await permit(portion, tokens=100)
    got.sent()
    got.left()
    await portion.close()
    shown = await stage.shown()
    assert (shown.requests, shown.tokens) == (1, 100)


async def test_what_a_call_used_takes_the_place_of_what_was_reserved_once(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, tpm=6000, usd_per_day=1.0)
    got = await permit(portion, tokens=100, usd=0.5)
    got.sent()
    for _ in range(2):
        got.ended(tokens=30, usd=0.1)
    got.left()
    await portion.close()
    shown = await stage.shown()
    assert (shown.requests, shown.tokens, round(shown.usd_today, 6)) == (1, 30, 0.1)


async def test_a_call_that_starts_late_counts_from_then_on(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, tpm=6000)
    got = await permit(portion, tokens=100)
    stage.clock.pass_by(seconds=20)
    got.sent()
    await portion.close()
    stage.clock.pass_by(seconds=45)
    shown = await stage.shown()
    assert (shown.requests, shown.tokens) == (1, 100)
    stage.clock.pass_by(seconds=17)
    assert (await stage.shown()).requests == 0


async def test_corrections_of_many_calls_are_one_turn(stage: Stage) -> None:
    portion = await stage.portion(tpm=60_000)
    permits = await asyncio.gather(*(permit(portion, tokens=100) for _ in range(8)))
    for one in permits:
        one.sent()
        one.ended(tokens=10)
    await portion.close()
    assert stage.books.turns == 2
    assert (await stage.shown()).tokens == 80


async def test_where_many_calls_come_most_need_no_turn(stage: Stage) -> None:
    portion = await stage.portion(rpm=60_000)
    for _ in range(1000):
        (await permit(portion)).sent()
        stage.clock.pass_by(seconds=0.002)
    assert stage.books.turns < 200
    await portion.close()
    assert (await stage.shown()).requests == 1000  # what of slices was not used has been given back


async def test_where_few_calls_come_no_slice_is_taken(stage: Stage) -> None:
    portion = await stage.portion(rpm=300)
    for _ in range(50):
        (await permit(portion)).sent()
        assert (await stage.shown()).requests <= 50
        stage.clock.pass_by(seconds=0.3)
    assert stage.books.turns == 50


async def test_a_slice_that_is_over_is_given_back(stage: Stage) -> None:
    portion = await stage.portion(rpm=60_000, at_once=1000)
    for _ in range(600):
        got = await permit(portion)
        got.sent()
        got.ended()
        stage.clock.pass_by(seconds=0.002)
    stage.clock.pass_by(seconds=5)
    await permit(portion)
    await portion.close()
    assert (await stage.shown()).requests == 601


async def test_who_waits_for_a_call_to_end_gets_its_place_when_it_does(stage: Stage) -> None:
    portion = await stage.portion(at_once=1)
    first = await permit(portion)
    first.sent()
    waiting = asyncio.create_task(portion.take(Need(patience_s=5.0)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    first.ended()
    async with asyncio.timeout(5):
        assert isinstance(await waiting, Permit)


async def test_who_has_no_patience_for_that_is_told_so_at_once(stage: Stage) -> None:
    portion = await stage.portion(at_once=1)
    await permit(portion)
    answer = await portion.take(Need())
    assert isinstance(answer, NotYet)
    assert answer.why is Reason.AT_ONCE


async def test_a_store_in_trouble_is_each_callers_trouble_and_lends_nothing_twice(stage: Stage) -> None:
    portion = await stage.portion(rpm=60, tpm=6000)
    got = await permit(portion, tokens=100)
    got.sent()
    got.ended(tokens=10)
    stage.books.fails = True
    with pytest.raises(StoreBusy):
        await permit(portion)
    stage.books.fails = False
    await permit(portion, tokens=1)
    assert (await stage.shown()).tokens == 101  # whether the correction was heard nobody knows, so it counts in full


# Room ---------------------------------------------------------------------------------------------


async def test_a_worker_leases_no_more_than_can_start_soon(stage: Stage) -> None:
    portion = await stage.portion(rpm=60)
    assert portion.room.messages == 1
    portion.room.leased()
    assert portion.room.messages == 0
    await asyncio.gather(*(permit(portion) for _ in range(3)))
    assert portion.room.messages == 0
    assert 1.9 < portion.room.opens_in_s < 2.6
    stage.clock.pass_by(seconds=2.6)
    assert portion.room.messages == 1


async def test_a_fast_lane_has_room_for_many_and_shares_it(stage: Stage) -> None:
    portion, other = await stage.portion(rpm=6000), await stage.portion(rpm=6000)
    await permit(portion)
    assert portion.room.messages > 90
    await permit(other)
    assert 40 < other.room.messages < 60


async def test_a_message_that_was_leased_and_does_not_come_gives_up_its_room(stage: Stage) -> None:
    portion = await stage.portion(rpm=60)
    portion.room.leased()
    stage.clock.pass_by(seconds=1.1)
    assert portion.room.messages == 1


async def test_while_all_permits_are_out_nothing_is_leased_but_to_look(stage: Stage) -> None:
    portion = await stage.portion(at_once=1)
    got = await permit(portion)
    assert portion.room.messages == 0
    stage.clock.pass_by(seconds=0.6)
    assert portion.room.messages == 1
    got.sent()
    got.ended()
    assert portion.room.messages == 1


async def test_before_a_scarce_permit_is_leased_for_it_is_looked_whether_it_is_still_there(stage: Stage) -> None:
    portion, other = await stage.portion(rpm=60), await stage.portion(rpm=60)
    await permit(portion)
    await permit(other)
    stage.clock.pass_by(seconds=2)
    assert other.room.messages == 1
    await asyncio.gather(*(permit(portion) for _ in range(3)))
    await other.look()
    assert other.room.messages == 0
