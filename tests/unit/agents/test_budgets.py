"""A run and the brake on spending."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Run, agent
from perdure.errors.base import CallTooDear, LeaseLost, RateLimited
from perdure.messages.spending import EACH, Budget, BudgetScope, day_of
from perdure.messages.terms import with_terms
from perdure.providers.prices import OwnPrice, Prices
from perdure.testing import FakeProvider

DEAR = Prices({"fake/fake-1": OwnPrice(input_usd=1_000_000, output_usd=1_000_000)})


@agent
async def asks(run: Run) -> int:
    for n in range(3):
        await run.ask("one", f"{n}", max_tokens=5)
    return run.attempt


async def entries(world: Any) -> Any:
    today = day_of(world.clock.now())
    return await world.store.spending.entries(today, today)


async def brake(world: Any, usd: float, scope: BudgetScope = BudgetScope.INSTALLATION, name: str = EACH) -> None:
    world.more = {"prices": DEAR}
    await world.store.spending.set_budget(Budget(scope=scope, name=name, daily_usd=usd))


async def test_a_run_waits_for_the_next_day_when_the_money_is_spent_and_uses_no_attempt(world: Any) -> None:
    await brake(world, 16.5)  # one may cost 16, and costs less
    ending = await world.parked(asks)
    assert (ending.wait.why, ending.wait.step, ending.wait.open_ended) == ("budget-window", None, False)
    assert (ending.wait.error.code, ending.wait.error.category) == ("budget-reached", "budget-window")
    assert day_of(ending.wait.until) > day_of(world.clock.now())
    assert (world.provider.count, len(await world.steps())) == (1, 1)
    await world.wake(ending)
    await brake(world, 1_000.0)
    assert await world.result(asks) == 1
    assert world.provider.count == 3, "what was paid for before the wait was not paid for again"


async def test_a_call_beyond_a_whole_budget_ends_its_message_unless_the_agent_knows_better(world: Any) -> None:
    @agent
    async def careful(run: Run) -> str:
        try:
            await run.ask("long", "all of it", max_tokens=500)
        except CallTooDear as error:
            return error.message + str(await run.ask("short", "0", max_tokens=5))[:0]
        return "it was made"

    await brake(world, 20.0)
    assert "more than the whole budget of the installation" in await world.result(careful)
    world.id = 0
    await brake(world, 1.0)
    failed = await world.attempt(asks)
    assert (failed.error.code, failed.error.retryable, failed.step) == ("call-too-dear", False, None)
    assert world.provider.count == 1


async def test_what_a_run_costs_is_booked_on_its_tenant_key_agent_and_lane(world: Any) -> None:
    await brake(world, 1_000.0)
    ending = await world.attempt(asks, tenant="acme", metadata=with_terms({}, by="key_7"))
    [entry] = await entries(world)
    account = entry.account
    assert (account.tenant, account.key, account.agent, account.lane) == ("acme", "key_7", "asks", "fake/fake-1")
    assert (entry.usage.calls, entry.usage.cost_usd, entry.held_usd) == (3, ending.usage.cost_usd, 0.0)


async def test_the_budget_of_a_key_stops_what_that_key_has_put(world: Any) -> None:
    await brake(world, 16.5, BudgetScope.KEY, "key_7")
    assert isinstance(await world.result(asks, metadata=with_terms({}, by="key_8")), int)
    world.id = 0
    ending = await world.parked(asks, metadata=with_terms({}, by="key_7"))
    assert "key 'key_7'" in ending.wait.error.message


async def test_a_rate_limit_gives_back_what_was_held(world: Any) -> None:
    await brake(world, 1_000.0)
    world.provider = FakeProvider(replies=[RateLimited("slow down", retry_at=world.clock.now() + 60)])
    await world.parked(asks)
    [entry] = await entries(world)
    assert (entry.held_usd, entry.usage.calls, entry.usage.cost_usd) == (0.0, 0, 0.0)


async def test_a_call_lost_in_a_crash_keeps_what_was_held_for_it(world: Any) -> None:
    await brake(world, 1_000.0)
    lost = []

    class Dies:
        def __init__(self, journal: Any) -> None:
            self.journal = journal

        def __getattr__(self, name: str) -> Any:
            return getattr(self.journal, name)

        async def record(self, *given: Any, **more: Any) -> None:
            if not lost:
                lost.append(1)
                await world.crash()
            await self.journal.record(*given, **more)

    world.wrap_journal = Dies
    with pytest.raises(LeaseLost):
        await world.attempt(asks)
    assert isinstance(await world.result(asks), int)
    [entry] = await entries(world)
    assert entry.usage.calls == 3
    assert entry.held_usd > 0


async def test_a_call_that_went_on_without_us_is_booked_once(world: Any) -> None:
    await brake(world, 1_000.0)
    world.provider = FakeProvider(handles=True)

    class Dies:
        def __init__(self, journal: Any) -> None:
            self.journal, self.handles = journal, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.journal, name)

        async def handle(self, *given: Any) -> None:
            await self.journal.handle(*given)
            self.handles += 1
            if self.handles == 1 and not crashed:
                crashed.append(1)
                await world.crash()

    crashed: list[int] = []
    world.wrap_journal = Dies
    with pytest.raises(LeaseLost):
        await world.attempt(asks)
    ending = await world.attempt(asks)
    [entry] = await entries(world)
    assert (entry.usage.calls, entry.held_usd) == (3, 0.0)
    assert entry.usage.cost_usd == ending.usage.cost_usd
