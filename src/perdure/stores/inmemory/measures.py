"""How long calls of models take, in memory."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from perdure.monitor.measures import MOST_SERIES, Counted, MeasureBook, Series
from perdure.stores.inmemory.contents import Contents

__all__ = ["InMemoryMeasures"]


class InMemoryMeasures(MeasureBook):
    """Keeps counts by bucket.

    Args:
        contents (Contents): What the store keeps.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def add(self, counted: Sequence[Counted]) -> None:
        """Add what was counted; it is one transaction."""
        with self._contents.open():
            kept = self._contents.measures
            known = {series for series, _ in kept}
            rooms = {series: self._room_for(series, known) for series in {one.series for one in counted}}
            for one in counted:
                key = (rooms[one.series], one.bucket)
                count, total = kept.get(key, (0, 0.0))
                kept[key] = (count + one.count, total + one.total)

    async def all(self) -> builtins.list[Counted]:
        """List what was counted since the store began."""
        with self._contents.open():
            return [Counted(series, bucket, *sums) for (series, bucket), sums in self._contents.measures.items()]

    @staticmethod
    def _room_for(series: Series, known: set[Series]) -> Series:
        return series if series in known or len(known) < MOST_SERIES else series.overflow
