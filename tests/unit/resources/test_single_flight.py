from __future__ import annotations

import asyncio

import pytest

from perdure import SingleFlight


class Call:
    """A call that goes on until it is let go."""

    def __init__(self, answer: str | Exception = "answer") -> None:
        self.answer, self.made, self.cancelled = answer, 0, False
        self.go = asyncio.Event()

    async def __call__(self) -> str:
        self.made += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def flown(count: int, flights: SingleFlight[str, str], call: Call, key: str = "key") -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(flights.fly(key, call)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_at_the_same_time_share_one_call() -> None:
    flights, call = SingleFlight[str, str](), Call()
    tasks = await flown(10, flights, call)
    assert flights.flying == 1
    call.go.set()
    assert await asyncio.gather(*tasks) == ["answer"] * 10
    assert (call.made, flights.flying) == (1, 0)


async def test_an_answer_is_not_kept_for_whoever_comes_later() -> None:
    flights, call = SingleFlight[str, str](), Call()
    call.go.set()
    assert [await flights.fly("key", call), await flights.fly("key", call)] == ["answer", "answer"]
    assert call.made == 2


async def test_other_keys_are_other_calls() -> None:
    flights, call = SingleFlight[str, str](), Call()
    tasks = await flown(1, flights, call, "a") + await flown(1, flights, call, "b")
    call.go.set()
    await asyncio.gather(*tasks)
    assert call.made == 2


async def test_its_error_is_everybodys() -> None:
    flights, call = SingleFlight[str, str](), Call(OSError("down"))
    tasks = await flown(3, flights, call)
    call.go.set()
    assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == ["down"] * 3
    assert call.made == 1


async def test_one_who_leaves_does_not_disturb_the_others() -> None:
    flights, call = SingleFlight[str, str](), Call()
    first, second = await flown(2, flights, call)
    first.cancel()
    await asyncio.sleep(0)
    call.go.set()
    assert await second == "answer"
    assert first.cancelled()
    assert not call.cancelled


async def test_when_the_last_one_leaves_the_call_is_cancelled_and_the_next_makes_another() -> None:
    flights, call = SingleFlight[str, str](), Call()
    [only] = await flown(1, flights, call)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    again = Call()
    again.go.set()
    assert await flights.fly("key", again) == "answer"
    assert (call.cancelled, again.made, flights.flying) == (True, 1, 0)
