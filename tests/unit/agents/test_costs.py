"""What a run costs, and what it may cost."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Run, agent
from perdure.errors.base import Billed, ProviderTimeout
from perdure.messages.terms import with_terms
from perdure.providers.prices import OwnPrice, Prices
from perdure.resources.usage import Usage
from perdure.testing import FakeProvider

ONE_A_TOKEN = Prices({"fake/fake-1": OwnPrice(input_usd=1_000_000, output_usd=1_000_000)})


@agent
async def asks(run: Run) -> None:
    for n in range(3):
        await run.ask("one", f"{n} a b")


async def test_the_cost_of_each_call_is_recorded_and_summed(world: Any) -> None:
    world.more = {"prices": ONE_A_TOKEN}
    ending = await world.attempt(asks)
    costs = [step.usage.cost_usd for step in await world.steps()]
    tokens = [step.usage.input_tokens + step.usage.output_tokens for step in await world.steps()]
    assert costs == [float(n) for n in tokens]
    assert min(costs) > 0
    assert (ending.usage.cost_usd, ending.usage.unpriced) == (sum(costs), 0)


@pytest.mark.parametrize("prices", [Prices(), ONE_A_TOKEN], ids=["no price", "no usage"])
async def test_a_cost_that_nobody_knows_is_counted_and_not_zero(world: Any, prices: Prices) -> None:
    world.more = {"prices": prices}
    world.provider = FakeProvider(known_usage=prices is not ONE_A_TOKEN)
    ending = await world.attempt(asks)
    assert (ending.usage.cost_usd, ending.usage.unpriced) == (None, 3)
    assert (ending.usage.reckoned_usd > 0) == (prices is ONE_A_TOKEN)


@pytest.mark.parametrize(("billed", "cost", "unpriced"), [(Billed.NO, 0.0, 0), (Billed.MAYBE, None, 1), (Billed.PARTIAL, None, 1)])
async def test_what_a_failed_call_cost_is_nothing_only_where_the_provider_said_so(
    world: Any, billed: Billed, cost: Any, unpriced: int
) -> None:
    world.more = {"prices": ONE_A_TOKEN}
    world.provider = FakeProvider(replies=[ProviderTimeout("late", billed=billed)])
    await world.failed(asks)
    [step] = await world.steps()
    assert (step.usage.cost_usd, step.usage.unpriced, step.usage.reckoned_usd > 0) == (cost, unpriced, cost is None)


async def test_a_run_costs_no_more_than_it_may(world: Any) -> None:
    world.more = {"prices": ONE_A_TOKEN}

    @agent(max_cost_usd=1.0)
    async def costly(run: Run) -> None:
        for n in range(9):
            await run.ask("one", f"{n}")

    ending = await world.failed(costly)
    assert (ending.error.code, ending.error.retryable, world.provider.count) == ("limit-cost", False, 1)


async def test_a_message_may_cost_less_than_its_agent_allows_and_never_more(world: Any) -> None:
    world.more = {"prices": ONE_A_TOKEN}

    @agent(max_cost_usd=1_000.0)
    async def costly(run: Run) -> None:
        for n in range(9):
            await run.ask("one", f"{n}")

    ending = await world.failed(costly, metadata=with_terms({}, max_cost_usd=1.0))
    assert (ending.error.code, world.provider.count) == ("limit-cost", 1)
    capped = agent(max_cost_usd=1.0)(costly.function)
    world.id = 0
    ending = await world.failed(capped, metadata=with_terms({}, max_cost_usd=1_000.0))
    assert (ending.error.code, world.provider.count) == ("limit-cost", 2)


async def test_what_an_unknown_call_was_reckoned_to_cost_counts_against_the_limit(world: Any) -> None:
    world.more = {"prices": ONE_A_TOKEN}
    world.provider = FakeProvider(known_usage=False)

    @agent(max_cost_usd=100.0)
    async def costly(run: Run) -> None:
        for n in range(9):
            await run.ask("one", f"{n}")

    ending = await world.failed(costly)
    assert (ending.error.code, world.provider.count) == ("limit-cost", 1)  # 2,000 tokens of output are reckoned
    assert "unknown cost" in ending.error.message


async def test_under_a_limit_of_cost_a_model_without_a_price_is_not_asked(world: Any) -> None:
    world.more = {"prices": Prices()}

    @agent(max_cost_usd=100.0)
    async def blind(run: Run) -> None:
        await run.ask("one", "?")

    ending = await world.failed(blind)
    assert (ending.error.code, ending.error.retryable, world.provider.count) == ("price-unknown", False, 0)
    assert '[prices."fake/fake-1"]' in (ending.error.hint or "")


async def test_what_was_paid_before_counts_in_the_next_attempt(world: Any) -> None:
    world.more = {"prices": ONE_A_TOKEN}

    @agent(max_cost_usd=1.0)
    async def twice(run: Run) -> None:
        await run.ask("one", "1")
        if run.attempt == 1:
            raise ValueError
        await run.ask("two", "2")

    first = await world.failed(twice)
    assert first.error.code == "agent-failed"
    await world.retry(first)
    assert (await world.failed(twice)).error.code == "limit-cost"
    assert world.provider.count == 1


def test_sums_keep_what_is_known_and_count_what_is_not() -> None:
    known, unknown = Usage(calls=1).priced(0.5, reckoned_usd=9.0), Usage(calls=1).priced(None, reckoned_usd=0.25)
    total = known + unknown + Usage(calls=1).priced(None)
    assert (total.cost_usd, total.unpriced, total.reckoned_usd) == (0.5, 2, 0.25)
