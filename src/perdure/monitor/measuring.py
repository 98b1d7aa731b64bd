"""Measures this process's calls of models by listening to events, and adds that to the store's counts now and then."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from perdure.errors.base import Category, StoreError
from perdure.events import listen
from perdure.monitor.measures import OTHER, Counted, Measure, MeasureBook, Series, bucket_of

__all__ = ["WRITE_S", "Measuring"]

WRITE_S = 10.0
"""How often what was measured is written."""
_MOST = 5000


class Measuring:
    """Counts, until somebody writes it down.

    Args:
        book (MeasureBook): Where counts are kept.
    """

    def __init__(self, book: MeasureBook) -> None:
        self._book = book
        self._counts: dict[tuple[Series, int], tuple[int, float]] = {}
        self._counting = threading.Lock()
        self._stops: deque[Callable[[], None]] = deque()

    def begin(self) -> None:
        """Hear of this process's calls."""
        self._stops += [
            listen("provider.answered", self._answered),
            listen("provider.failed", self._failed),
            listen("lane.entered", self._entered),
        ]

    async def end(self) -> None:
        """Hear no more, and write what there is."""
        while self._stops:
            self._stops.pop()()
        try:
            await self.write()
        except StoreError:  # it is going away too: counts of ten seconds are no reason to hold it
            return

    async def write(self) -> float:
        """Write what was measured.

        Returns:
            float: Seconds until the next time.

        Raises:
            StoreError: The store did not take it; it is kept for the next time.
        """
        with self._counting:
            gathered, self._counts = self._counts, {}
        if gathered:
            try:
                await self._book.add([Counted(series, bucket, *sums) for (series, bucket), sums in gathered.items()])
            except BaseException:
                for (series, bucket), (count, total) in gathered.items():
                    self._add(series, bucket, count, total)
                raise
        return WRITE_S

    def _answered(self, _: str, facts: Mapping[str, Any]) -> None:
        self._note(Measure.DURATION, facts["seconds"], facts)
        self._note(Measure.FIRST_CHUNK, facts.get("first_s"), facts)
        used = facts["usage"]
        self._note(Measure.TOKENS, used.input_tokens, facts, kind="input")
        self._note(Measure.TOKENS, used.output_tokens, facts, kind="output")

    def _failed(self, _: str, facts: Mapping[str, Any]) -> None:
        """A model that is not there is whatever a caller wrote, and of such names there may be many."""
        known = facts if facts["category"] != Category.MODEL_NOT_FOUND else {**facts, "model": OTHER}
        self._note(Measure.DURATION, facts["seconds"], known, kind=str(facts["category"]))

    def _entered(self, _: str, facts: Mapping[str, Any]) -> None:
        self._note(Measure.WAIT, facts["seconds"], facts)

    def _note(self, what: Measure, value: float | None, facts: Mapping[str, Any], *, kind: str = "") -> None:
        if value is not None:
            model, operation = str(facts.get("model") or OTHER), str(facts.get("operation") or "")
            series = Series(what=what, provider=str(facts["provider"]), model=model, operation=operation, kind=kind)
            self._add(series, bucket_of(what, value), 1, float(value))

    def _add(self, series: Series, bucket: int, count: int, total: float) -> None:
        with self._counting:
            key = (series, bucket)
            if key not in self._counts and len(self._counts) >= _MOST:
                key = (series.overflow, bucket)
            before = self._counts.get(key, (0, 0.0))
            self._counts[key] = (before[0] + count, before[1] + total)
