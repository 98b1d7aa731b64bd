"""How long calls of models take, in all processes together: kept as buckets in the store, so that one scrape sees all.

Theory of operation: a histogram is a row of counts, and counts of many processes add up. Each process gathers its own
(`measuring.py`) and adds them to the store's now and then; whoever serves `/metrics` reads the sums. What was counted
stays counted, whoever died. Names and bounds are those of OpenTelemetry's conventions for GenAI clients, where there are any.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

__all__ = ["BOUNDS", "MOST_SERIES", "OTHER", "Counted", "Measure", "MeasureBook", "Series", "bucket_of", "folded"]

MOST_SERIES = 2000
"""So many rows of counts are told apart; what goes beyond is counted under the model `other`."""
OTHER = "other"
_SECONDS = tuple(0.01 * 2**n for n in range(14))
_TOKENS = tuple(float(4**n) for n in range(14))


class Measure(StrEnum):
    """What is measured."""

    DURATION = "duration"
    FIRST_CHUNK = "first-chunk"
    WAIT = "wait"
    TOKENS = "tokens"


BOUNDS: Mapping[Measure, Sequence[float]] = {
    Measure.DURATION: _SECONDS,
    Measure.FIRST_CHUNK: _SECONDS,
    Measure.WAIT: _SECONDS,
    Measure.TOKENS: _TOKENS,
}
"""The upper ends of buckets; one more is for what is above all of them."""


class Series(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told apart; values of which there are few."""

    what: Measure
    provider: str
    model: str
    operation: str = ""
    """`chat`, `embeddings`, `text_completion`; of a wait the empty string."""
    kind: str = ""
    """Of a duration the category of the error, if it ended with one; of tokens `input` or `output`."""

    @property
    def overflow(self) -> Series:
        """Where it is counted when there are too many."""
        return msgspec.structs.replace(self, model=OTHER)


class Counted(msgspec.Struct, frozen=True):
    """What fell into one bucket of a series."""

    series: Series
    bucket: int
    """Which of its bounds, by number; the number of bounds for what is above them."""
    count: int
    total: float
    """The sum of its values."""


class MeasureBook(Protocol):
    """Keeps counts by bucket. Proved by `perdure.testing.MeasuresKit`."""

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what was counted; it is one transaction.

        Args:
            counted (Sequence[Counted]): Since the last time; a series beyond `MOST_SERIES` is counted in its `overflow`.
        """
        ...

    async def all(self) -> Sequence[Counted]:
        """List what was counted since the store began.

        Returns:
            Sequence[Counted]: Buckets with something in them, each once.
        """
        ...


def bucket_of(what: Measure, value: float) -> int:
    """Find the bucket of a value.

    Args:
        what (Measure): Of what.
        value (float): In seconds, or tokens.

    Returns:
        int: Its number; a value that is a bound lies below it.
    """
    return bisect_left(BOUNDS[what], value)


def folded(counted: Sequence[Counted]) -> dict[Series, list[Counted]]:
    """Put the buckets of each series together.

    Args:
        counted (Sequence[Counted]): As the store lists them.

    Returns:
        dict[Series, list[Counted]]: By series, in the order of its names.
    """
    found: dict[Series, list[Counted]] = {}
    for one in sorted(counted, key=lambda one: (*msgspec.structs.astuple(one.series), one.bucket)):
        found.setdefault(one.series, []).append(one)
    return found
