"""What comes together by chance is not called a cause; what surely stands out is."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from perdure.errors.together import by_chance, outstanding


def drawn(seed: int, mine: int, others: int, leaning: float = 0.0) -> tuple[dict[str, Counter[str]], dict[str, Counter[str]]]:
    """Errors with a model and an agent each, drawn blindly; a share of mine all with the model `m0`."""
    dice = random.Random(seed)
    here: dict[str, Counter[str]] = {"model": Counter(), "agent": Counter()}
    everywhere: dict[str, Counter[str]] = {"model": Counter(), "agent": Counter()}
    for n in range(mine + others):
        model = "m0" if n < mine and dice.random() < leaning else f"m{int(dice.paretovariate(1.2)) % 7}"
        for what, value in (("model", model), ("agent", f"a{dice.randrange(5)}")):
            everywhere[what][value] += 1
            here[what][value] += n < mine
    return {what: +counts for what, counts in here.items()}, everywhere


def test_chance_is_called_chance() -> None:
    called = [seed for seed in range(400) if outstanding(*drawn(seed, mine=10 + seed % 50, others=40 + seed))]
    assert len(called) <= 1, called


@pytest.mark.parametrize("seed", range(20))
def test_what_leans_to_one_model_is_found_whatever_else_there_is(seed: int) -> None:
    [found] = outstanding(*drawn(seed, mine=60, others=300, leaning=0.9))
    assert (found.what, found.value) == ("model", "m0")
    assert found.share > 0.8 > 0.5 > found.usual


def test_few_errors_prove_nothing() -> None:
    assert outstanding({"model": {"m": 3}}, {"model": {"m": 3, "n": 500}}) == []
    assert outstanding({"model": {"m": 9}}, {"model": {"m": 9, "n": 1}}) == [], "nor do few others"
    assert outstanding({"model": {"m": 500}}, {"model": {"m": 500}}) == [], "nor none"


def test_a_difference_that_is_sure_but_small_is_no_news() -> None:
    assert outstanding({"model": {"m": 53_000, "n": 47_000}}, {"model": {"m": 103_000, "n": 97_000}}) == []


def test_the_odds_are_those_of_drawing_blindly() -> None:
    exact = sum(math.comb(7, k) * math.comb(13, 5 - k) for k in range(3, 6)) / math.comb(20, 5)
    assert by_chance(3, 5, 7, 20) == pytest.approx(exact)
    assert by_chance(0, 5, 7, 20) == pytest.approx(1.0)
    assert by_chance(900_000, 1_000_000, 1_500_000, 3_000_000) == 0.0
