from __future__ import annotations

import asyncio

import pytest

from perdure import Bulkhead, BulkheadFull


async def inside(bulkhead: Bulkhead, order: list[int], number: int, go: asyncio.Event) -> None:
    async with bulkhead:
        order.append(number)
        await go.wait()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_so_many_are_inside_and_the_others_come_in_their_order() -> None:
    bulkhead, order, go = Bulkhead(2), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(inside(bulkhead, order, number, go)) for number in range(5)]
    await turns()
    assert (order, bulkhead.inside, bulkhead.waiting) == ([0, 1], 2, 3)
    go.set()
    await asyncio.gather(*tasks)
    assert (order, bulkhead.inside, bulkhead.waiting) == ([0, 1, 2, 3, 4], 0, 0)


async def test_who_finds_the_waiting_room_full_is_turned_away_at_once() -> None:
    bulkhead = Bulkhead(1, waiting=0)
    async with bulkhead:
        with pytest.raises(BulkheadFull, match="1 are inside"):
            await bulkhead.enter()
    async with bulkhead:
        assert bulkhead.inside == 1


async def test_nobody_waits_longer_than_they_like() -> None:
    bulkhead = Bulkhead(1, wait_s=0.0)
    async with bulkhead:
        with pytest.raises(BulkheadFull, match="within"):
            await bulkhead.enter()
    assert (bulkhead.inside, bulkhead.waiting) == (0, 0)


async def test_who_gives_up_waiting_leaves_the_place_to_the_next() -> None:
    bulkhead, order, go = Bulkhead(1), list[int](), asyncio.Event()
    first, second, third = (asyncio.create_task(inside(bulkhead, order, number, go)) for number in range(3))
    await turns()
    second.cancel()
    await turns()
    go.set()
    await asyncio.gather(first, third)
    assert order == [0, 2]
    assert bulkhead.inside == 0


async def test_a_place_given_to_one_who_just_gave_up_is_not_lost() -> None:
    bulkhead = Bulkhead(1)
    await bulkhead.enter()
    waiting = asyncio.create_task(bulkhead.enter())
    await turns()
    bulkhead.leave()
    waiting.cancel()  # it has been let in but has not woken yet
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bulkhead.inside == 0
    await asyncio.wait_for(bulkhead.enter(), 30)


def test_a_bulkhead_without_places_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="nobody"):
        Bulkhead(0)
