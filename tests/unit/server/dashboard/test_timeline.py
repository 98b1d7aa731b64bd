from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from perdure.agents.journal import Step, StepKey, StepKind, StepState
from perdure.server.dashboard.timeline import WIDTH, bars


def step(number, began, ended, *, kind=StepKind.LLM, state=StepState.DONE):
    key = StepKey("", kind, "s", "f", 0)
    return Step(number=number, key=key, state=state, attempt=1, began_at=began, ended_at=ended)


def test_no_steps_are_no_bars():
    assert bars([], now=0.0) == []


def test_work_is_drawn_to_scale():
    one, two = bars([step(1, 0, 1), step(2, 1, 4)], now=9)
    assert (one.x, one.width) == (0, 250)
    assert (two.x, two.width) == (250, 750)


def test_a_day_of_waiting_takes_little_room():
    one, sleep, two = bars([step(1, 0, 1), step(2, 1, 86_401, kind=StepKind.SLEEP), step(3, 86_401, 86_402)], now=9e9)
    assert one.width > 400
    assert two.width > 400
    assert sleep.width < 60
    assert sleep.look == "waits"


def test_what_is_under_way_reaches_until_now():
    [one] = bars([step(1, 0, None, state=StepState.INTENT)], now=8)
    assert (one.x, one.width, one.look) == (0, WIDTH, "open")


def test_parallel_steps_lie_beside_each_other():
    one, two = bars([step(1, 0, 4), step(2, 0, 2)], now=9)
    assert (one.x, two.x, one.width, two.width) == (0, 0, 1000, 500)


def test_even_the_shortest_step_can_be_seen():
    assert bars([step(1, 0, 100), step(2, 100, 100)], now=100)[1].width >= 4


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5), st.sampled_from(StepKind)), max_size=12))
def test_every_bar_lies_on_the_line_in_the_order_of_time(spans):
    drawn = bars([step(n, begin, begin + length, kind=kind) for n, (begin, length, kind) in enumerate(spans)], now=2e6)
    assert all(0 <= bar.x <= WIDTH and 4 <= bar.width <= WIDTH + 0.1 and bar.x + bar.width <= WIDTH + 0.2 for bar in drawn)
    in_time = sorted(drawn, key=lambda bar: bar.step.began_at)
    assert all(earlier.x <= later.x + 0.1 for earlier, later in itertools.pairwise(in_time))
