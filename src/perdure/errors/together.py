"""With what an error comes together more often than chance would have it.

Theory of operation: of all errors that have, say, a model, some have this one; among the errors of one kind it is a larger share. Whether
that says anything is asked of Fisher's exact test: if the errors of this kind had been drawn blindly from all, how likely would
so many with this model be among them? As many questions are asked at once, the answer has to be the rarer, the more there are
(Bonferroni); and as errors come in bursts, not one by one, what counts as rare is a tenth of what is usual. A share that is surely larger
but hardly so is left out as well: with a hundred thousand errors every difference is sure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

__all__ = ["Correlation", "by_chance", "outstanding"]

_RARE = 0.001
_FEW = 5
_LARGER = 0.1


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """With what an error comes together more often than chance would have it."""

    what: str
    """`provider`, `model`, `agent`, `tool` or `tool_version`."""
    value: str
    count: int
    share: float
    """Of the errors with this code and template that have one."""
    usual: float
    """Of all others that have one."""


def outstanding(here: Mapping[str, Mapping[str, int]], everywhere: Mapping[str, Mapping[str, int]]) -> list[Correlation]:
    """Find what stands out.

    Args:
        here (Mapping[str, Mapping[str, int]]): How often each value of each attribute came with these errors.
        everywhere (Mapping[str, Mapping[str, int]]): The same of all errors, these included.

    Returns:
        list[Correlation]: The largest difference first; none where there is nothing to compare with.
    """
    asked = [(what, value) for what, values in here.items() for value in values]
    found = []
    for what, value in asked:
        count, mine, alike, total = here[what][value], sum(here[what].values()), everywhere[what][value], sum(everywhere[what].values())
        if count < _FEW or mine == total:
            continue
        share, usual = count / mine, (alike - count) / (total - mine)
        if share - usual >= _LARGER and by_chance(count, mine, alike, total) * len(asked) < _RARE:
            found.append(Correlation(what=what, value=value, count=count, share=share, usual=usual))
    return sorted(found, key=lambda one: (one.usual - one.share, one.what, one.value))


def by_chance(count: int, drawn: int, marked: int, total: int) -> float:
    """Say how likely it is to draw so many marked ones blindly.

    Args:
        count (int): Marked ones among those drawn.
        drawn (int): So many were drawn.
        marked (int): So many there are.
        total (int): Out of so many.

    Returns:
        float: The probability of `count` or more.
    """
    most = min(drawn, marked)
    whole = _log_choose(total, drawn)
    likely = 0.0
    for hits in range(count, most + 1):
        one = math.exp(_log_choose(marked, hits) + _log_choose(total - marked, drawn - hits) - whole)
        likely += one
        if hits * total > drawn * marked and one < likely * 1e-9:  # beyond the mean each is smaller than the one before
            break
    return min(1.0, likely)


def _log_choose(n: int, k: int) -> float:
    if k < 0 or k > n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
