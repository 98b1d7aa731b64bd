from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from perdure.providers.deployments import Deployments, Order
from perdure.providers.hedge import Hedge
from perdure.providers.pace import Pace
from perdure.providers.target import Target
from perdure.testing import FakeProvider


def model(order: Order, *rows: tuple[str, float, int], **more: Any) -> Deployments:
    targets = tuple(Target(FakeProvider(name), "m", weight, priority) for name, weight, priority in rows)
    return Deployments(name="smart", targets=targets, order=order, **more)


def asked(made: Deployments, dice: Any) -> list[str]:
    return [target.provider.name for target in made.in_order(dice)]


def test_by_priority_those_of_the_lowest_number_come_first_as_they_are_listed() -> None:
    made = model(Order.PRIORITY, ("spare", 1, 9), ("one", 1, 0), ("two", 1, 0))
    assert asked(made, random.Random(1).random) == ["one", "two", "spare"]


def test_by_weight_each_gets_its_share_of_the_calls() -> None:
    made, dice = model(Order.WEIGHTS, ("heavy", 3, 0), ("light", 1, 0), ("spare", 100, 1)), random.Random(7).random
    first = Counter(asked(made, dice)[0] for _ in range(4000))
    assert first["heavy"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert first["spare"] == 0
    assert all(asked(made, dice)[2] == "spare" for _ in range(50)), "another priority is never mixed in"


def test_by_latency_the_fastest_of_late_comes_first_and_the_others_are_tried_now_and_then() -> None:
    made, dice = model(Order.LATENCY, ("slow", 1, 0), ("fast", 1, 0)), random.Random(3).random
    made.pace.note("slow/m", 2.0)
    made.pace.note("fast/m", 0.2)
    first = Counter(asked(made, dice)[0] for _ in range(2000))
    assert 0.01 < first["slow"] / 2000 < 0.05
    for _ in range(100):
        made.pace.note("fast/m", 5.0)
    assert Counter(asked(made, dice)[0] for _ in range(200)).most_common(1)[0][0] == "slow"


def test_who_was_never_asked_is_asked_soon() -> None:
    made = model(Order.LATENCY, ("known", 1, 0), ("new", 1, 0))
    made.pace.note("known/m", 0.1)
    assert asked(made, lambda: 0.5)[0] == "new"


def test_a_model_with_one_deployment_shares_its_lane_and_one_with_several_has_its_own() -> None:
    assert model(Order.PRIORITY, ("one", 1, 0)).lane == "one/m"
    assert model(Order.PRIORITY, ("one", 1, 0), ("two", 1, 0)).lane == "smart"


def test_a_pace_forgets_what_is_long_past_and_says_nothing_of_too_few() -> None:
    pace = Pace()
    assert (pace.typical_s("a"), pace.slow_s("a")) == (None, None)
    for n in range(19):
        pace.note("a", n)
    assert (pace.typical_s("a"), pace.slow_s("a")) == (9, None)
    for n in range(100):
        pace.note("a", 100 + n)
    assert (pace.typical_s("a"), pace.slow_s("a")) == (150, 195)


def test_a_hedge_budget_is_a_share_of_the_calls_and_is_not_saved_up_for_ever() -> None:
    hedge = Hedge(5)
    taken = 0
    for _ in range(1000):
        hedge.called()
        taken += hedge.take()
    assert taken == 50
    for _ in range(10_000):
        hedge.called()
    assert sum(hedge.take() for _ in range(100)) == 10
