from __future__ import annotations

import asyncio

import pytest

from perdure import CircuitBreaker, CircuitRefused, CircuitState


class Line:
    """Something that is up or down, behind a breaker; time passes when told."""

    def __init__(self, **options: float) -> None:
        self.now, self.called = 0.0, 0
        self.error: BaseException | None = OSError("down")
        self.breaker = CircuitBreaker(failures=3, rest_s=1.0, longest_rest_s=4.0, counts=OSError, now=lambda: self.now)

    async def call(self) -> None:
        async with self.breaker:
            self.called += 1
            if self.error is not None:
                raise self.error

    async def fails(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(OSError, match="down"):
                await self.call()


async def test_it_opens_after_so_many_failures_in_a_row_and_says_when_to_come_again() -> None:
    line = Line()
    await line.fails(3)
    line.now = 0.4
    with pytest.raises(CircuitRefused) as refused:
        await line.call()
    assert (line.breaker.state, line.called) == (CircuitState.OPEN, 3)
    assert refused.value.wait_s == pytest.approx(0.6)


async def test_a_success_forgets_failures() -> None:
    line = Line()
    await line.fails(2)
    line.error = None
    await line.call()
    line.error = OSError("down")
    await line.fails(2)
    assert line.breaker.state is CircuitState.CLOSED


async def test_after_its_rest_one_call_goes_through_to_see_and_closes_it() -> None:
    line = Line()
    await line.fails(3)
    line.now = 1.0
    assert line.breaker.state is CircuitState.HALF_OPEN
    line.breaker.allow()
    with pytest.raises(CircuitRefused):
        line.breaker.allow()
    line.breaker.succeeded()
    assert line.breaker.state is CircuitState.CLOSED


async def test_while_probes_fail_it_rests_longer_and_longer_up_to_a_limit() -> None:
    line = Line()
    await line.fails(3)
    rests = []
    for _ in range(4):
        before = line.now
        while line.breaker.state is CircuitState.OPEN:
            line.now += 0.5
        rests.append(line.now - before)
        await line.fails()
    assert rests == [1.0, 2.0, 4.0, 4.0]


async def test_whoever_counts_for_itself_is_told_when_it_opens() -> None:
    breaker = Line().breaker
    assert [breaker.failed() for _ in range(4)] == [False, False, True, False]
    assert breaker.wait_s == 1.0


async def test_what_others_found_failing_rests_and_is_then_tried_by_one() -> None:
    line = Line()
    line.breaker.trip(7.0)
    assert (line.breaker.state, line.breaker.wait_s) == (CircuitState.OPEN, 7.0)
    line.now = 7.0
    await line.fails()
    assert line.breaker.wait_s == 2.0


@pytest.mark.parametrize("error", [ValueError("my own mistake"), asyncio.CancelledError()])
async def test_what_says_nothing_of_the_other_side_is_no_failure(error: BaseException) -> None:
    line = Line()
    await line.fails(3)
    line.now, line.error = 1.0, error
    with pytest.raises(type(error)):
        await line.call()
    assert line.breaker.state is CircuitState.HALF_OPEN
    line.error = None
    await line.call()
    assert line.breaker.state is CircuitState.CLOSED
