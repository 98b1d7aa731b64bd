"""Errors of a process are gathered by line and written now and then; nothing secret is, and nothing is lost by a busy store."""

from __future__ import annotations

import pytest

from perdure.errors.base import BillingRefused, DeadlinePassed, Evidence, RateLimited, StoreBusy, ToolFailed
from perdure.errors.handler import ErrorHandler
from perdure.errors.patterns import patterns_of
from perdure.events import tell
from perdure.monitor.gathering import Gathering, line_of
from perdure.testing import FakeClock, InMemoryStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_what_differs_in_values_alone_is_one_line(clock: FakeClock) -> None:
    handler = ErrorHandler()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(handler)
        for n in range(30):
            handler.handle(ToolFailed(f"order {n} of 'customer-{n}' was refused"), where="run", agent="shop")
        handler.handle(RateLimited("slow down", evidence=Evidence(provider="qwen", model="qwen-max")), where="run", agent="shop")
        await gathering.end()
        handler.handle(ToolFailed("nobody hears this any more"), where="run", agent="shop")
        await gathering.write()
        refused, slow = sorted(await store.errors.lines(), key=lambda one: -one.count)
    assert (refused.count, refused.line.message, refused.sample) == (
        30,
        "order <n> of <said> was refused",
        "order 29 of 'customer-29' was refused",
    )
    assert (slow.line.provider, slow.line.model, slow.line.agent) == ("qwen", "qwen-max", "shop")


async def test_no_secret_is_written(clock: FakeClock) -> None:
    handler = ErrorHandler()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(handler)
        handler.handle(BillingRefused("key sk-abcdefghijklmnop1234 at https://me:secretword@host/x is out of credit"), where="run")
        await gathering.end()
        [kept] = await store.errors.lines()
    assert "abcdefgh" not in str(kept)
    assert "secretword" not in str(kept)


async def test_what_a_busy_store_did_not_take_is_written_later(clock: FakeClock) -> None:
    class Busy:
        busy = True

        async def note(self, noted: object) -> None:
            if self.busy:
                raise StoreBusy("locked")
            await store.errors.note(noted)  # type: ignore[arg-type]

        async def lines(self) -> list[object]:
            return []

    handler, book = ErrorHandler(), Busy()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(book, clock)  # type: ignore[arg-type]
        gathering.begin(handler)
        for _ in range(2):
            handler.handle(ToolFailed("it broke"), where="run")
            with pytest.raises(StoreBusy):
                await gathering.write()
        book.busy = False
        await gathering.end()
        [kept] = await store.errors.lines()
    assert kept.count == 2


async def test_what_a_store_buries_by_itself_is_counted_as_the_dead_letter_will_be(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(ErrorHandler())
        tell("message.dead", message=1, agent="shop", code="deadline-passed")
        tell("message.dead", message=2, agent="shop", code="tool-failed")  # its run has said that itself
        await gathering.end()
        [kept] = await store.errors.lines()
    assert kept.line == line_of(DeadlinePassed("its deadline 2027-01-01T00:00:00Z passed").facts(), where="run", agent="shop")


async def test_a_flood_of_different_lines_is_counted_together(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.monitor.gathering._MOST", 3)
    handler = ErrorHandler()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(handler)
        for word in ("one", "two", "three", "four", "five"):
            handler.handle(ToolFailed(f"{word} failed"), where="run")
        await gathering.end()
        kept = await store.errors.lines()
    assert sum(one.count for one in kept) == 5
    assert {one.line.message for one in kept} == {"one failed", "two failed", "three failed", "<*>"}
    assert patterns_of(kept, clock.now())


async def test_the_end_of_a_trouble_is_no_error_among_others(clock: FakeClock) -> None:
    handler = ErrorHandler()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(handler)
        facts = RateLimited("away", evidence=Evidence(provider="qwen")).facts()
        handler.alarm(facts, where="health", what="it is away")
        handler.over(facts, where="health", what="it is back")
        await gathering.end()
        [kept] = await store.errors.lines()
    assert kept.count == 1


async def test_tries_that_another_deployment_made_good_are_a_pattern_and_wake_nobody(clock: FakeClock) -> None:
    handler = ErrorHandler()
    async with InMemoryStore(clock=clock) as store:
        gathering = Gathering(store.errors, clock)
        gathering.begin(handler)
        for _ in range(3):
            tell("try.passed-on", error=RateLimited("slow", evidence=Evidence(provider="qwen", model="max")).facts(), agent="shop")
        await gathering.end()
        [kept] = await store.errors.lines()
    assert (kept.count, kept.line.where, kept.line.provider, kept.line.agent) == (3, "passed-on", "qwen", "shop")
    assert handler.tracked() == []
