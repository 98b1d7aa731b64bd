from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import TokenBucket


class Time:
    """Passes when somebody sleeps, or when told."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def bucket(time: Time, rate_per_s: float = 10.0, burst: float = 5.0) -> TokenBucket:
    return TokenBucket(rate_per_s=rate_per_s, burst=burst, now=time, sleep=time.sleep)


async def test_a_full_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    time = Time()
    here = bucket(time)
    for _ in range(8):
        await here.take()
    assert time.slept == pytest.approx([0.1, 0.1, 0.1])


def test_it_refills_with_time_up_to_its_burst() -> None:
    time = Time()
    here = bucket(time)
    assert here.try_take(5)
    assert not here.try_take()
    time.now = 0.25
    assert here.tokens == pytest.approx(2.5)
    time.now = 100.0
    assert here.tokens == 5.0


async def test_whoever_waits_is_served_in_the_order_of_coming() -> None:
    time = Time()
    here = bucket(time)
    assert here.try_take(5)
    assert here.wait_s(20) == pytest.approx(2.0)
    await here.take(20)
    assert time.slept == pytest.approx([2.0])
    assert here.wait_s() == pytest.approx(0.1)


async def test_who_is_cancelled_while_waiting_gives_the_tokens_back() -> None:
    time = Time()

    async def cancelled(seconds: float) -> None:
        raise asyncio.CancelledError

    here = TokenBucket(rate_per_s=1.0, burst=1.0, now=time, sleep=cancelled)
    await here.take()
    with pytest.raises(asyncio.CancelledError):
        await here.take()
    assert here.tokens == 0.0


def test_an_estimate_is_corrected_by_what_it_really_took() -> None:
    time = Time()
    here = bucket(time)
    assert here.try_take(4)
    here.settle(taken=4, used=1)
    assert here.tokens == 4.0
    here.settle(taken=0, used=10)
    assert here.wait_s() == pytest.approx(0.7)


@pytest.mark.parametrize(("rate_per_s", "burst"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_a_bucket_that_gives_nothing_makes_no_sense(rate_per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="gives nothing"):
        TokenBucket(rate_per_s=rate_per_s, burst=burst)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 4.0)), max_size=30))
def test_in_any_span_no_more_comes_out_than_rate_and_burst_allow(asks: list[tuple[float, float]]) -> None:
    time = Time()
    here = bucket(time, rate_per_s=2.0, burst=4.0)
    taken: list[tuple[float, float]] = []
    for pause_s, tokens in asks:
        time.now += pause_s
        if here.try_take(tokens):
            taken.append((time.now, tokens))
    for start, (since, _) in enumerate(taken):
        for end in range(start, len(taken)):
            assert sum(tokens for _, tokens in taken[start : end + 1]) <= 4.0 + 2.0 * (taken[end][0] - since) + 1e-6
