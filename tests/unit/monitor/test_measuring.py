"""Calls of models are measured in each process and added up in the store, with labels of which there are few."""

from __future__ import annotations

from contextlib import suppress

import pytest

from perdure.agents.choosing import Choosing
from perdure.errors.base import ModelNotFound, RateLimited, StoreBusy
from perdure.monitor.measures import BOUNDS, OTHER, Counted, Measure, MeasureBook, Series, bucket_of
from perdure.monitor.measuring import Measuring
from perdure.providers.generic import GenericProvider
from perdure.providers.models import Models
from perdure.testing import FakeProvider, InMemoryStore, Upstream

BODY = {"messages": [{"role": "user", "content": "hello there"}]}


async def measured(*calls: object) -> list[Counted]:
    async with InMemoryStore() as store:
        measuring = Measuring(store.measures)
        measuring.begin()
        for call in calls:
            with suppress(RateLimited, ModelNotFound):
                await call  # type: ignore[misc]
        await measuring.end()
        return list(await store.measures.all())


def series(found: list[Counted]) -> set[tuple[str, ...]]:
    return {(one.series.what.value, one.series.provider, one.series.model, one.series.operation, one.series.kind) for one in found}


async def test_a_call_that_was_answered_and_one_that_failed() -> None:
    fake = FakeProvider(replies=["hi", RateLimited("slow down")])
    found = await measured(fake.chat({**BODY, "model": "fake-1"}), fake.chat({**BODY, "model": "fake-1"}))
    assert series(found) == {
        ("duration", "fake", "fake-1", "chat", ""),
        ("duration", "fake", "fake-1", "chat", "rate-limit"),
        ("tokens", "fake", "fake-1", "chat", "input"),
        ("tokens", "fake", "fake-1", "chat", "output"),
    }
    assert all(one.count == 1 for one in found)


async def test_a_model_that_is_not_there_adds_no_name() -> None:
    fake = FakeProvider(replies=[ModelNotFound("none such")])
    assert series(await measured(fake.chat({**BODY, "model": "whatever-a-caller-wrote"}))) == {
        ("duration", "fake", OTHER, "chat", "model-not-found")
    }


async def test_a_stream_has_a_first_piece() -> None:
    async def streamed(provider: GenericProvider) -> None:
        async for _ in provider.stream({**BODY, "model": "fake-1"}):
            pass
        await provider.aclose()

    with Upstream() as upstream:
        found = await measured(streamed(GenericProvider("mine", base_url=upstream.base_url)))
    took = {one.series.what: one.total for one in found}
    assert 0 < took[Measure.FIRST_CHUNK] <= took[Measure.DURATION]


async def test_how_long_a_call_waits_for_its_lane() -> None:
    class Parts:
        models = Models({"fake": FakeProvider()}, default="fake/fake-1")
        lanes = None
        clock = None

    choosing = Choosing(Parts.models.deployments(None), Parts(), lambda _: None, lambda _: None)  # type: ignore[arg-type, return-value]
    found = await measured(choosing.enter())
    assert series(found) == {("wait", "fake", "fake-1", "", "")}


async def test_what_could_not_be_written_is_written_later() -> None:
    class Busy(MeasureBook):
        def __init__(self) -> None:
            self.got: list[Counted] = []
            self.busy = True

        async def add(self, counted: list[Counted]) -> None:  # type: ignore[override]
            if self.busy:
                raise StoreBusy("busy")
            self.got += counted

    book = Busy()
    measuring, fake = Measuring(book), FakeProvider()
    measuring.begin()
    await fake.chat({**BODY, "model": "fake-1"})
    with pytest.raises(StoreBusy):
        await measuring.write()
    await fake.chat({**BODY, "model": "fake-1"})
    book.busy = False
    await measuring.end()
    assert sum(one.count for one in book.got if one.series.what is Measure.DURATION) == 2


def test_a_value_lies_in_the_bucket_whose_end_it_does_not_pass() -> None:
    bounds = BOUNDS[Measure.DURATION]
    assert (bounds[0], round(bounds[-1], 2)) == (0.01, 81.92)
    assert [bucket_of(Measure.DURATION, value) for value in (0.0, 0.01, 0.011, bounds[-1], 1000.0)] == [0, 0, 1, 13, 14]
    assert Series(what=Measure.WAIT, provider="a", model="b").overflow.model == OTHER
