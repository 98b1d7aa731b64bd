"""Calls that go on without us: what the provider calls them is kept, and asked after a crash (SEMANTICS 14a)."""

from __future__ import annotations

from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepState
from perdure.agents.run import Run
from perdure.errors.base import ContentFiltered, NetworkFailed, RateLimited
from perdure.testing import FakeProvider
from perdure.testing.cutting import CuttingJournal


@pytest.fixture(autouse=True)
def handles(world: Any) -> None:
    """The provider gives each call a handle."""
    world.provider = FakeProvider(handles=True)


@agent
async def asker(run: Run) -> str:
    return await run.ask("think", "why?")


def cut_at_the_answer(world: Any) -> None:
    """The worker dies when the answer is there and not yet recorded."""

    class Cut(CuttingJournal):
        async def record(self, *given: Any, **named: Any) -> None:
            await self._fall(True)
            await super().record(*given, **named)

    cut = Cut(world.store.journal, world.crash, after=None, during=None)
    world.wrap_journal = lambda _: cut


async def interrupted(world: Any, one: Any = asker) -> None:
    cut_at_the_answer(world)
    with pytest.raises(Exception, match="taken away"):
        await world.attempt(one)
    world.wrap_journal = lambda journal: journal


async def test_a_handle_is_kept_before_the_answer_is_waited_for(world: Any) -> None:
    await interrupted(world)

    [step] = await world.steps()
    assert (step.state, step.handle) == (StepState.INTENT, "fake:call_1")


async def test_after_a_crash_the_provider_is_asked_and_nothing_is_paid_twice(world: Any) -> None:
    await interrupted(world)

    assert await world.result(asker) == "answer to: why?"
    assert (world.provider.count, world.provider.resumed) == (1, ["call_1", "call_1"])
    [step] = await world.steps()
    assert (step.state, step.tries, step.ambiguous) == (StepState.DONE, 1, 0)
    assert step.usage.calls == 1
    assert (world.count("step.resumed"), world.count("step.ambiguous")) == (1, 0)
    assert "possibly_paid_twice" not in await world.store.messages.counters()


async def test_a_handle_that_has_expired_is_a_call_made_once_more_and_counted(world: Any) -> None:
    await interrupted(world)
    world.provider.begun.clear()

    assert await world.result(asker) == "answer to: why?"
    assert world.provider.count == 2
    [step] = await world.steps()
    assert (step.state, step.tries, step.ambiguous, step.handle) == (StepState.DONE, 2, 1, "fake:call_2")
    assert world.count("step.handle-gone") == 1
    assert (await world.store.messages.counters())["possibly_paid_twice"] == 1


async def test_another_providers_handle_is_not_asked_for_here(world: Any) -> None:
    await interrupted(world)
    world.provider.name = "other"
    world.more["models"] = world.parts().models.__class__({"other": world.provider}, {}, "other/fake-1")

    await world.result(asker)

    assert world.provider.resumed == ["call_1", "call_2"], "the second is its own"
    assert world.provider.count == 2


async def test_a_provider_that_cannot_be_asked_now_says_nothing_of_the_call(world: Any) -> None:
    await interrupted(world)
    answer = world.provider.begun["call_1"]

    async def cut(handle: str, *, timeout_s: float | None = None) -> Any:
        raise NetworkFailed("no route")

    resume, world.provider.resume = world.provider.resume, cut
    ending = await world.failed(asker)
    assert (ending.error.code, ending.error.retryable, ending.step) == ("provider-network", True, None)
    [step] = await world.steps()
    assert step.state is StepState.INTENT, "still under way"

    await world.retry(ending)
    world.provider.resume = resume
    world.clock.pass_by(seconds=1)
    assert await world.result(asker) == answer.text
    assert world.provider.count == 1


async def test_a_limit_met_while_asking_is_waited_for_like_any_other(world: Any) -> None:
    await interrupted(world)
    resume = world.provider.resume

    async def limited(handle: str, *, timeout_s: float | None = None) -> Any:
        raise RateLimited("fake", retry_at=world.clock.now() + 100)

    world.provider.resume = limited
    ending = await world.parked(asker)
    assert ending.wait.why == "rate-limit"

    world.provider.resume = resume
    await world.wake(ending)
    assert await world.result(asker) == "answer to: why?"
    assert world.provider.count == 1


async def test_a_call_that_failed_while_nobody_looked_is_recorded_as_failed(world: Any) -> None:
    world.provider = FakeProvider(replies=[ContentFiltered("not that")], handles=True)

    ending = await world.failed(asker)

    assert ending.error.code == "provider-content-filter"
    [step] = await world.steps()
    assert (step.state, step.usage.calls) == (StepState.FAILED, 1)


async def test_a_provider_without_handles_for_a_model_is_asked_as_ever(world: Any) -> None:
    world.provider.handles = False

    assert await world.result(asker) == "answer to: why?"
    assert world.provider.resumed == []
