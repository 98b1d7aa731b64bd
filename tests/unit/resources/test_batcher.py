"""A batcher: many callers, one flush, each with its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from perdure.resources.batcher import Batcher


class Till:
    """Doubles numbers, one batch at a time, when it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0

    async def double(self, numbers: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(numbers))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self.gate.wait()
        self.at_once -= 1
        return [ValueError(f"{number} is odd") if number % 2 else number * 2 for number in numbers]


@pytest.fixture
async def till() -> Till:
    return Till()


async def until(condition: object) -> None:
    """Let the loop come round until something holds; no clock is needed."""
    for _ in range(100):
        if callable(condition) and condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def test_callers_of_one_moment_share_a_batch_and_each_gets_its_own_answer(till: Till) -> None:
    async with Batcher(till.double) as batcher:
        assert await asyncio.gather(*(batcher.add(n) for n in (2, 4, 6))) == [4, 8, 12]
    assert till.batches == [[2, 4, 6]]


async def test_a_lone_caller_does_not_wait_for_company(till: Till) -> None:
    async with Batcher(till.double) as batcher:
        assert await batcher.add(2) == 4
    assert till.batches == [[2]]


async def test_who_comes_again_the_moment_it_is_answered_is_served(till: Till) -> None:
    async with Batcher(till.double) as batcher:
        assert [await batcher.add(n) for n in (2, 4, 6)] == [4, 8, 12]


async def test_whoever_comes_during_a_flush_makes_the_next_one(till: Till) -> None:
    till.gate.clear()
    async with Batcher(till.double) as batcher:
        first = batcher.add(2)
        await until(lambda: till.batches)
        others = [batcher.add(n) for n in (4, 6, 8)]
        await asyncio.sleep(0)
        assert till.batches == [[2]]
        assert batcher.waiting == 3
        till.gate.set()
        assert await asyncio.gather(first, *others) == [4, 8, 12, 16]
    assert till.batches == [[2], [4, 6, 8]]


async def test_an_error_of_one_item_is_raised_to_its_caller_alone(till: Till) -> None:
    async with Batcher(till.double) as batcher:
        even, odd = await asyncio.gather(batcher.add(2), batcher.add(3), return_exceptions=True)
    assert even == 4
    assert isinstance(odd, ValueError)


async def test_an_error_of_the_flush_is_raised_to_all_and_the_next_batch_is_served() -> None:
    failing = True

    async def flush(items: Sequence[int]) -> list[int | BaseException]:
        if failing:
            raise OSError("no disk")
        return list(items)

    async with Batcher(flush) as batcher:
        found = await asyncio.gather(batcher.add(1), batcher.add(2), return_exceptions=True)
        assert [type(one) for one in found] == [OSError, OSError]
        failing = False
        assert await batcher.add(3) == 3


async def test_a_flush_that_answers_too_few_is_an_error_of_all() -> None:
    async def flush(items: Sequence[int]) -> list[int | BaseException]:
        return list(items[1:])

    async with Batcher(flush) as batcher:
        with pytest.raises(ValueError, match="of 1 items returned 0"):
            await batcher.add(1)


async def test_batches_are_bounded_in_count(till: Till) -> None:
    async with Batcher(till.double, most_items=2) as batcher:
        await asyncio.gather(*(batcher.add(n) for n in (2, 4, 6, 8, 10)))
    assert till.batches == [[2, 4], [6, 8], [10]]


async def test_batches_are_bounded_in_bytes_and_a_huge_item_goes_alone(till: Till) -> None:
    async with Batcher(till.double, most_bytes=10) as batcher:
        await asyncio.gather(*(batcher.add(n, size_bytes=size) for n, size in ((2, 6), (4, 4), (6, 1), (8, 99), (10, 1))))
    assert till.batches == [[2, 4], [6], [8], [10]]


async def test_no_more_flushes_are_under_way_than_allowed(till: Till) -> None:
    till.gate.clear()
    async with Batcher(till.double, most_items=1, flushes=2) as batcher:
        answers = []
        for number in (2, 4, 6, 8):
            answers.append(batcher.add(number))
            await asyncio.sleep(0)
        await until(lambda: till.at_once == 2)
        till.gate.set()
        await asyncio.gather(*answers)
    assert till.most_at_once == 2
    assert len(till.batches) == 4


async def test_a_caller_cancelled_while_it_waits_takes_its_item_with_it(till: Till) -> None:
    till.gate.clear()
    async with Batcher(till.double) as batcher:
        first = batcher.add(2)
        await until(lambda: till.batches)
        gone, stays = batcher.add(4), batcher.add(6)
        gone.cancel()
        till.gate.set()
        assert await stays == 12
        assert await first == 4
    assert till.batches == [[2], [6]]


async def test_a_caller_cancelled_during_the_flush_harms_nobody(till: Till) -> None:
    till.gate.clear()
    async with Batcher(till.double) as batcher:
        gone, stays = batcher.add(2), batcher.add(4)
        await until(lambda: till.batches)
        gone.cancel()
        till.gate.set()
        assert await stays == 8
    assert till.batches == [[2, 4]]


async def test_closing_drains_and_takes_no_more(till: Till) -> None:
    till.gate.clear()
    batcher = Batcher(till.double)
    first = batcher.add(2)
    await until(lambda: till.batches)
    second = batcher.add(4)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        batcher.add(6)
    assert not closing.done()
    till.gate.set()
    await closing
    assert (first.result(), second.result()) == (4, 8)
    await batcher.close()


async def test_when_a_flush_is_cancelled_nobody_waits_for_ever() -> None:
    async def flush(items: Sequence[int]) -> list[int | BaseException]:
        raise asyncio.CancelledError

    batcher = Batcher(flush, most_items=1)
    found = await asyncio.gather(batcher.add(1), batcher.add(2), return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError] * 2
    await batcher.close()
