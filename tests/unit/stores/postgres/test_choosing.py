"""Which messages are next."""

import random

import pytest

from perdure.stores.postgres.choosing import EVERY, Head, choose


def one_by_one(ready: list[Head], taken: int, limit: int) -> list[Head]:
    """The rule as it is said: take the most urgent, and each sixteenth time the one put earliest."""
    left, chosen = list(ready), []
    while left and len(chosen) < limit:
        taken += 1
        head = min(left, key=lambda one: one.id) if taken % EVERY == 0 else min(left)
        left.remove(head)
        chosen.append(head)
    return chosen


@pytest.mark.parametrize("seed", range(200))
def test_what_is_chosen_is_what_would_be_taken_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    numbers = dice.sample(range(1000), dice.randrange(0, 80))
    ready = [Head(dice.choice([0, 5, 9]), dice.randrange(1000), number, dice.choice([1, 2])) for number in numbers]
    taken, limit = dice.randrange(0, 40), dice.randrange(1, 50)
    urgent = sorted(ready)[:limit]
    slots = (taken + limit) // EVERY - taken // EVERY
    earliest = sorted((one for one in ready if one not in urgent), key=lambda one: one.id)[:slots]
    chosen = choose(urgent, earliest, taken=taken, limit=limit)
    assert chosen.order == one_by_one(ready, taken, limit)


def test_a_turn_that_is_owed_is_served_first_and_one_served_too_often_is_left_out() -> None:
    urgent, early = [Head(0, at, 100 + at, 1) for at in range(4)], [Head(9, 1, 1, 1), Head(9, 2, 2, 1)]
    assert [head.id for head in choose(urgent, early, taken=0, limit=4, owed=2).early] == [1, 2]
    assert [head.id for head in choose(urgent, early, taken=14, limit=4, owed=1).order] == [1, 2, 100, 101]
    assert choose(urgent, [], taken=14, limit=4, owed=-1).early == []


def test_the_rest_of_each_route_and_priority_is_counted_from_its_first() -> None:
    urgent = [Head(0, 7, 7, 1), Head(0, 8, 8, 2), Head(5, 3, 3, 1), Head(5, 4, 4, 1)]
    chosen = choose(urgent, [Head(9, 1, 1, 3)], taken=14, limit=4)
    assert [head.id for head in chosen.early] == [1]
    assert chosen.lanes() == {(1, 0): (7, 1), (2, 0): (8, 1), (1, 5): (3, 1)}
