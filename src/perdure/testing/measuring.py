"""The kit that proves where measures of calls are kept."""

from __future__ import annotations

import asyncio

import msgspec

from perdure.monitor.measures import MOST_SERIES, OTHER, Counted, Measure, Series
from perdure.stores.store import Store
from perdure.testing.kit import Kit

__all__ = ["MeasuresKit"]

SERIES = Series(what=Measure.DURATION, provider="qwen", model="max", operation="chat")
FAILED = msgspec.structs.replace(SERIES, kind="timeout")


async def _kept(store: Store) -> dict[tuple[Series, int], tuple[int, float]]:
    """What is kept, by series and bucket."""
    found = await store.measures.all()
    kept = {(one.series, one.bucket): (one.count, one.total) for one in found}
    assert len(kept) == len(found), "each once"
    return kept


class MeasuresKit(Kit, standard=True):
    """Subclass it, give a `store` fixture, and how your store keeps measures is proved."""

    async def test_what_is_added_is_counted_by_series_and_bucket(self, store: Store) -> None:
        await store.measures.add([Counted(SERIES, 3, 2, 0.5), Counted(FAILED, 14, 1, 600.0)])
        await store.measures.add([Counted(SERIES, 3, 1, 0.25), Counted(SERIES, 4, 5, 2.0)])
        assert await _kept(store) == {(SERIES, 3): (3, 0.75), (SERIES, 4): (5, 2.0), (FAILED, 14): (1, 600.0)}

    async def test_nothing_added_is_nothing_kept(self, store: Store) -> None:
        await store.measures.add([])
        assert list(await store.measures.all()) == []

    async def test_many_processes_count_together(self, store: Store) -> None:
        mine = [Counted(SERIES, bucket, 1, 1.0) for bucket in range(5)] + [Counted(FAILED, 0, 1, 1.0)]
        await asyncio.gather(*(store.measures.add(mine if n % 2 else mine[::-1]) for n in range(10)))
        assert set((await _kept(store)).values()) == {(10, 10.0)}

    async def test_of_too_many_the_others_are_counted_together(self, store: Store) -> None:
        many = [Counted(msgspec.structs.replace(SERIES, model=f"m{n}"), 0, 1, 1.0) for n in range(MOST_SERIES)]
        await store.measures.add(many)
        await store.measures.add([Counted(msgspec.structs.replace(SERIES, model=f"more{n}"), 0, 1, 1.0) for n in range(3)])
        await store.measures.add([many[7]])
        kept = await _kept(store)
        assert len(kept) == MOST_SERIES + 1
        assert kept[msgspec.structs.replace(SERIES, model=OTHER), 0] == (3, 3.0)
        assert kept[many[7].series, 0] == (2, 2.0)
