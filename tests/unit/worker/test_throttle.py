"""How fast calls start after refusals: by itself, and against providers of several minds, in simulated time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, NamedTuple

import pytest

from perdure.testing import FakeClock
from perdure.worker.throttle import Sent, Throttle


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def ask(throttle: Throttle, clock: FakeClock) -> Sent:
    call = throttle.begin()
    clock.pass_by(seconds=call.wait_s)
    throttle.sent(call)
    return call


def test_nobody_is_held_back_before_the_first_refusal(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    for _ in range(100):
        assert throttle.begin().wait_s == 0.0
    assert (throttle.on, throttle.room, throttle.wait_s) == (False, None, 0.0)


def test_a_refusal_lowers_the_pace_to_little_more_than_was_let_in(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    for _ in range(20):
        throttle.let_in(ask(throttle, clock))
        clock.pass_by(seconds=0.05)
    throttle.refused(ask(throttle, clock), 2.0)
    assert 25 <= throttle.a_second <= 32


def test_where_all_goes_well_nobody_is_held_back_after_a_while(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    throttle.refused(ask(throttle, clock), 2.0)
    let_in = 0
    while throttle.on:
        throttle.let_in(ask(throttle, clock))
        let_in += 1
    assert 10 < let_in < 60


def test_calls_under_way_when_one_is_refused_are_let_in_unless_they_are_refused_soon(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    under_way = [ask(throttle, clock) for _ in range(50)]
    assert not throttle.refused(under_way[0], 30.0)
    clock.pass_by(seconds=2.0)
    ask(throttle, clock)  # 49 are let in by now, without an answer
    refusals = 0
    while not throttle.refused(ask(throttle, clock), 30.0):
        refusals += 1
    assert refusals == 5, "six in a row, where nearly all are let in"


def test_a_call_that_says_nothing_of_limits_counts_neither_way(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    for meant in (False, False, True):
        throttle.over(ask(throttle, clock))
        assert throttle.refused(ask(throttle, clock), 30.0) is meant


def closures(throttle: Throttle, clock: FakeClock) -> list[int]:
    """How many calls were refused before each of twenty closures of a minute."""
    refusals = []
    for _ in range(20):
        refusals.append(1)
        while not throttle.refused(ask(throttle, clock), 60.0):
            refusals[-1] += 1
            clock.pass_by(seconds=1)
        clock.pass_by(seconds=60)
    return refusals


def test_who_means_it_is_put_to_the_test_less_and_less_often(clock: FakeClock) -> None:
    assert closures(Throttle(clock.now), clock) == [3, 1, 2, 1, 1, 1, 2, *[1] * 7, 2, *[1] * 5]


def test_who_lets_one_in_after_all_is_believed_less(clock: FakeClock) -> None:
    throttle = Throttle(clock.now)
    closures(throttle, clock)
    under_way = ask(throttle, clock)
    assert throttle.refused(ask(throttle, clock), 60.0)
    throttle.let_in(under_way)
    assert throttle.refused(ask(throttle, clock), 60.0), "it was sent before the refusal"
    beside = ask(throttle, clock)
    throttle.let_in(beside)
    assert not throttle.refused(ask(throttle, clock), 60.0)


# Against providers ----------------------------------------------------------------------------------


class Obeys:
    """The rule before there was a throttle: the first refusal closes the lane until the moment it names."""

    def __init__(self, _: Callable[[], float]) -> None:
        self.wait_s = 0.0

    def begin(self) -> Sent:
        return Sent()

    def sent(self, call: Sent) -> None: ...

    def let_in(self, call: Sent) -> None: ...

    def refused(self, call: Sent, for_s: float) -> bool:
        return True


class Window:
    """So many calls in each full span."""

    def __init__(self, most: int, span_s: float) -> None:
        self.most, self.span_s, self.span, self.used = most, span_s, -1, 0

    def __call__(self, at: float) -> float | None:
        if int(at // self.span_s) != self.span:
            self.span, self.used = int(at // self.span_s), 0
        self.used += 1
        return None if self.used <= self.most else (self.span + 1) * self.span_s - at


class Bucket:
    """So many a second, and as many at once."""

    def __init__(self, a_second: float) -> None:
        self.a_second, self.left, self.at = a_second, a_second, 0.0

    def __call__(self, at: float) -> float | None:
        self.left, self.at = min(self.a_second, self.left + (at - self.at) * self.a_second), at
        if self.left < 1:
            return 1.0
        self.left -= 1
        return None


class Chance:
    """Refuses whomever the dice hit, and says to come back in 2 s, or says nothing, for which 20 s are guessed."""

    def __init__(self, share: float) -> None:
        self.share, self.dice = share, Random(5)

    def __call__(self, at: float) -> float | None:
        return self.dice.choice([2.0, 22.0]) if self.dice.random() < self.share else None


class Played(NamedTuple):
    done: int
    refused: int
    median_s: float


def play(rule: Any, provider: Callable[[float], float | None], *, a_second: float, latency_s: float, slots: int = 20) -> Played:
    """Ten minutes of a worker whose messages come by chance; a refused one waits for the moment named, and goes first then."""
    now, dice, seq = [0.0], Random(1), count()
    events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
    lane = rule(lambda: now[0])
    ready: list[float] = []
    took: list[float] = []
    free, closed_until, refusals, woken_at = slots, 0.0, 0, -1.0

    def at(moment: float, then: Callable[..., None], *given: Any) -> None:
        heapq.heappush(events, (moment, next(seq), then, given))

    def lease() -> None:
        nonlocal free, woken_at
        while ready and free:
            opens = max(closed_until, now[0] + lane.wait_s - 0.99)
            if opens > now[0]:
                if not now[0] < woken_at <= opens:
                    woken_at = opens
                    at(opens + 1e-6, lease)
                return
            free -= 1
            call = lane.begin()
            at(now[0] + call.wait_s, send, ready.pop(0), call)

    def again(message: float) -> None:
        ready.insert(0, message)
        lease()

    def send(message: float, call: Sent) -> None:
        nonlocal free
        if closed_until > now[0]:
            free += 1
            again(message)
            return
        lane.sent(call)
        at(now[0] + 0.02, arrive, message, call)

    def arrive(message: float, call: Sent) -> None:
        for_s = provider(now[0])
        if for_s is None:
            at(now[0] + latency_s, answer, message, call)
        else:
            at(now[0] + 0.02, refuse, message, call, for_s)

    def answer(message: float, call: Sent) -> None:
        nonlocal free
        free += 1
        took.append(now[0] - message)
        lane.let_in(call)
        lease()

    def refuse(message: float, call: Sent, for_s: float) -> None:
        nonlocal free, refusals, closed_until
        free, refusals = free + 1, refusals + 1
        if lane.refused(call, for_s):
            closed_until = max(closed_until, now[0] + for_s)
        at(now[0] + for_s + dice.random(), again, message)
        lease()

    def come(message: float) -> None:
        ready.append(message)
        lease()

    moment = 0.0
    while (moment := moment + dice.expovariate(a_second)) < 600:
        at(moment, come, moment)
    while events and events[0][0] < 600:
        now[0], _, then, given = heapq.heappop(events)
        then(*given)
    return Played(len(took), refusals, sorted(took)[len(took) // 2])


@pytest.mark.parametrize(
    ("provider", "a_second", "least"),
    [
        (lambda: Bucket(10), 50, 0.95),
        (lambda: Bucket(10), 15, 0.95),
        (lambda: Bucket(10), 8, 0.95),
        (lambda: Bucket(1), 3, 0.75),  # before, nineteen calls of twenty were refused for that
        (lambda: Window(60, 60), 3, 0.95),
        (lambda: Window(600, 60), 30, 0.95),
        (lambda: Window(10, 10), 2, 0.95),
        (lambda: Window(2, 60), 0.1, 0.95),
    ],
    ids=["10/s of 50", "10/s of 15", "10/s of 8", "1/s of 3", "60 a minute", "600 a minute", "10 in 10 s", "2 a minute"],
)
@pytest.mark.parametrize("latency_s", [0.1, 1.0])
def test_a_provider_that_means_it_is_asked_in_vain_no_more_often_than_if_the_first_refusal_were_obeyed(
    provider: Callable[[], Callable[[float], float | None]], a_second: float, least: float, latency_s: float
) -> None:
    before = play(Obeys, provider(), a_second=a_second, latency_s=latency_s)
    after = play(Throttle, provider(), a_second=a_second, latency_s=latency_s)
    assert after.done >= least * before.done
    assert after.refused / after.done <= before.refused / before.done


@pytest.mark.parametrize("latency_s", [0.1, 1.0])
def test_where_refusals_fall_by_chance_nobody_waits_for_them_but_the_refused(latency_s: float) -> None:
    before = play(Obeys, Chance(0.1), a_second=8, latency_s=latency_s)
    after = play(Throttle, Chance(0.1), a_second=8, latency_s=latency_s)
    assert after.median_s < latency_s + 0.5 < before.median_s / 10
    assert after.done > 0.98 * 8 * 600 * 0.98
    assert math.isclose(after.refused / after.done, 0.111, abs_tol=0.02)
