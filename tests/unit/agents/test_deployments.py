"""A call goes to the next deployment where one cannot answer, within the same step (SEMANTICS 3, 13-15, 19)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from perdure.agents.agent import agent
from perdure.agents.journal import StepState
from perdure.agents.run import Run
from perdure.errors.base import (
    AuthenticationFailed,
    Billed,
    BudgetReached,
    CircuitOpen,
    ContentFiltered,
    ContextTooLong,
    EmptyAnswer,
    ErrorFacts,
    InvalidRequest,
    NetworkFailed,
    Overloaded,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    Refused,
    ServerFailed,
    StreamCut,
)
from perdure.events import listen
from perdure.messages.terms import with_terms
from perdure.providers.deployments import Deployments, Order
from perdure.providers.hedge import Hedge
from perdure.providers.models import Models
from perdure.providers.prices import OwnPrice, Prices
from perdure.providers.protocol import ChatAnswer
from perdure.providers.target import Target
from perdure.resources.usage import Usage
from perdure.testing import FakeProvider
from perdure.testing.cutting import CuttingJournal

DOWN = [Overloaded("529"), ServerFailed("502"), ProviderTimeout("slow"), NetworkFailed("refused"), StreamCut("cut"), EmptyAnswer("nothing")]


@agent(model="smart")
async def asker(run: Run) -> str:
    return await run.ask("think", "why?")


def serve(world: Any, *providers: FakeProvider, **more: Any) -> None:
    """Let `smart` be answered by these, in this order; `others` are models beside it."""
    others: dict[str, FakeProvider] = more.pop("others", {})
    named = {one.name: one for one in (*providers, *others.values())}
    smart = Deployments(name="smart", targets=tuple(Target(one, "m") for one in providers), **more)
    aliases: dict[str, Any] = {name: (one.name, "m") for name, one in others.items()}
    world.more["models"] = Models(named, {"smart": smart, **aliases}, "smart")


def pair(first: Any, second: Any = None) -> tuple[FakeProvider, FakeProvider]:
    return FakeProvider("one", [first] if first else None), FakeProvider("two", [second] if second else None)


@pytest.mark.parametrize("error", DOWN, ids=lambda one: one.code)
async def test_what_gives_no_answer_is_passed_over_within_the_same_step(world: Any, error: ProviderError) -> None:
    one, two = pair(error, "because")
    serve(world, one, two)
    missed: list[Mapping[str, Any]] = []
    stop = listen("try.passed-on", lambda _, facts: missed.append(facts))

    assert await world.result(asker) == "because"
    stop()
    assert (one.count, two.count) == (1, 1)
    [step] = await world.steps()
    assert (step.state, step.lane, step.tries, step.attempt) == (StepState.DONE, "two/m", 2, 1)
    assert [(tried.lane, tried.error.code) for tried in step.failed_tries] == [("one/m", error.code)]
    assert step.usage is not None
    assert step.usage.calls == 2
    assert step.ambiguous == (0 if error.billed is Billed.NO else 1), "what may have been billed is counted, and nothing else is"
    [passed_on] = [facts for name, facts in world.told if name == "step.passed-on"]
    assert (passed_on["code"], passed_on["lane"], passed_on["to"]) == (error.code, "one/m", "two/m")
    assert [(facts["error"].code, facts["agent"]) for facts in missed] == [(error.code, asker.name)]


async def test_once_all_have_failed_the_attempt_is_used_and_the_next_begins_with_the_first(world: Any) -> None:
    one, two = FakeProvider("one", [ServerFailed("502"), "because"]), FakeProvider("two", [Overloaded("529")])
    serve(world, one, two)

    ending = await world.failed(asker)
    assert ending.error.code == "provider-overloaded"
    [step] = await world.steps()
    assert (step.state, step.tries) == (StepState.FAILED, 2)
    await world.retry(ending)
    assert await world.result(asker) == "because"
    assert (one.count, two.count) == (2, 1)
    [step] = await world.steps()
    assert [tried.lane for tried in step.failed_tries] == ["one/m", "two/m"]


@pytest.mark.parametrize("error", [RateLimited("slow", retry_at=10**12), AuthenticationFailed("key")], ids=lambda one: one.code)
async def test_a_limited_deployment_is_not_waited_for_while_another_is_open(world: Any, error: ProviderError) -> None:
    one, two = pair(error, "because")
    serve(world, one, two)
    before = world.clock.now()

    assert await world.result(asker) == "because"
    assert world.clock.now() == before
    [step] = await world.steps()
    assert (step.lane, step.ambiguous, step.usage.calls) == ("two/m", 0, 1), "a refusal is no call that could be paid"


async def test_when_all_are_limited_the_run_waits_for_the_first_to_open(world: Any) -> None:
    now = world.clock.now()
    one, two = (
        FakeProvider("one", [RateLimited("slow", retry_at=now + 90)]),
        FakeProvider("two", [RateLimited("slow", retry_at=now + 30), "yes"]),
    )
    serve(world, one, two)

    ending = await world.parked(asker)
    assert now + 30 <= ending.wait.until <= now + 31
    await world.wake(ending)
    world.more["lanes"] = Lanes({"one/m": CircuitOpen("closed", retry_at=now + 90).facts()})
    assert await world.result(asker) == "yes"
    assert (one.count, two.count) == (1, 2)


async def test_what_is_wrong_with_the_request_is_wrong_everywhere(world: Any) -> None:
    one, two = pair(InvalidRequest("no such parameter"))
    serve(world, one, two)

    assert (await world.failed(asker)).error.code == InvalidRequest.code
    assert two.count == 0


@pytest.mark.parametrize(
    ("error", "fallback"),
    [(ContextTooLong("9000 tokens"), "larger"), (ContentFiltered("no"), "other"), (Refused("no"), "other")],
    ids=lambda one: getattr(one, "code", one),
)
async def test_what_a_model_cannot_answer_another_one_does(world: Any, error: ProviderError, fallback: str) -> None:
    one, two = pair(error)
    big, free = FakeProvider("big", ["from big"]), FakeProvider("free", ["from free"])
    serve(world, one, two, larger="long", other="open", others={"long": big, "open": free})

    assert await world.result(asker) == ("from big" if fallback == "larger" else "from free")
    assert (one.count, two.count, big.count + free.count) == (1, 0, 1)
    [step] = await world.steps()
    assert [tried.error.code for tried in step.failed_tries] == [error.code]


async def test_models_that_fall_back_on_each_other_are_asked_once_each(world: Any) -> None:
    one, big = FakeProvider("one", [ContextTooLong("long")]), FakeProvider("big", [ContextTooLong("longer")])
    smart = Deployments(name="smart", targets=(Target(one, "m"),), larger="long")
    long = Deployments(name="long", targets=(Target(big, "m"),), larger="smart")
    world.more["models"] = Models({"one": one, "big": big}, {"smart": smart, "long": long}, "smart")

    assert (await world.failed(asker)).error.message == "longer"
    assert (one.count, big.count) == (1, 1)


# Closed lanes -------------------------------------------------------------------------------------


class Lanes:
    """Some lanes are closed. Notes what calls told of theirs."""

    def __init__(self, closed: dict[str, ErrorFacts]) -> None:
        self.closed, self.inside, self.met_by = closed, [], []
        self.most = 0

    async def enter(self, lane: str, ask: Any = None) -> Any:
        if lane in self.closed:
            return self.closed[lane]
        self.inside.append(lane)
        self.most = max(self.most, len(self.inside))
        return Passing(self, lane)


class Passing:
    def __init__(self, lanes: Lanes, lane: str) -> None:
        self.lanes, self.lane = lanes, lane

    starts_at: float | None = None
    overtaken: bool = False

    def sent(self) -> None:
        assert self.lane in self.lanes.inside

    def answered(self, usage: Any = None, usd: float | None = None, headroom: Any = None) -> None:
        self.lanes.met_by.append((self.lane, "answered"))

    async def met(self, error: ErrorFacts) -> None:
        self.lanes.met_by.append((self.lane, error.code))

    def left(self) -> None:
        self.lanes.inside.remove(self.lane)


async def test_a_closed_lane_is_gone_round_and_nothing_is_asked_there(world: Any) -> None:
    one, two = pair(None, "because")
    serve(world, one, two)
    world.more["lanes"] = Lanes({"one/m": CircuitOpen("closed", retry_at=world.clock.now() + 60).facts()})

    assert await world.result(asker) == "because"
    assert (one.count, two.count) == (0, 1)
    [step] = await world.steps()
    assert (step.tries, step.lane) == (1, "two/m")


async def test_a_failure_uses_the_attempt_if_all_that_is_left_is_closed(world: Any) -> None:
    one, two = pair(ServerFailed("502"))
    serve(world, one, two)
    world.more["lanes"] = Lanes({"two/m": CircuitOpen("closed", retry_at=world.clock.now() + 60).facts()})

    assert (await world.failed(asker)).error.code == "provider-server"


async def test_each_lane_is_told_how_it_went_and_every_way_is_left(world: Any) -> None:
    one, two = pair(ServerFailed("502"), "because")
    serve(world, one, two)
    lanes = world.more["lanes"] = Lanes({})

    await world.result(asker)
    assert lanes.met_by == [("one/m", "provider-server"), ("two/m", "answered")]
    assert lanes.inside == []


# Crashes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "doubts"), [(ServerFailed("502"), 1), (ProviderTimeout("slow"), 2)], ids=["not billed", "perhaps billed"]
)
async def test_a_crash_at_the_second_deployment_costs_that_call_and_is_counted(world: Any, error: ProviderError, doubts: int) -> None:
    one, two = FakeProvider("one", [error, "again"]), FakeProvider("two", ["because"])
    serve(world, one, two)
    world.wrap_journal = lambda journal: CuttingJournal(journal, world.crash, after=None, during=2)

    with pytest.raises(Exception, match="taken away"):
        await world.attempt(asker)
    world.wrap_journal = lambda journal: journal
    assert await world.result(asker) == "again"
    [step] = await world.steps()
    assert (step.tries, step.ambiguous, step.lane) == (3, doubts, "one/m")


async def test_an_answer_that_goes_on_at_the_second_deployment_is_fetched_there(world: Any) -> None:
    one, two = FakeProvider("one", [ServerFailed("502")]), FakeProvider("two", handles=True)
    serve(world, one, two)

    class Cut(CuttingJournal):
        async def record(self, *given: Any, **named: Any) -> None:
            await self._fall(True)
            await super().record(*given, **named)

    cut = Cut(world.store.journal, world.crash, after=None, during=None)
    world.wrap_journal = lambda _: cut
    with pytest.raises(Exception, match="taken away"):
        await world.attempt(asker)
    world.wrap_journal = lambda journal: journal
    assert await world.result(asker) == "answer to: why?"
    assert (one.count, two.count, two.resumed) == (1, 1, ["call_1", "call_1"])


async def test_all_tries_together_end_with_the_attempts_time(world: Any) -> None:
    class Silent(FakeProvider):
        async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
            if self.name == "one":
                raise ServerFailed("502")
            return await asyncio.get_running_loop().create_future()

    serve(world, Silent("one"), Silent("two"))

    assert (await world.failed(asker, timeout_s=0.05)).error.code == "run-timeout"
    [step] = await world.steps()
    assert (step.state, step.lane) == (StepState.INTENT, "two/m"), "nobody knows what became of it"


# Hedging ------------------------------------------------------------------------------------------


class Slow(FakeProvider):
    """Answers when it is let."""

    def __init__(self, name: str, replies: Any = None) -> None:
        super().__init__(name, replies)
        self.go_on = asyncio.Event()
        self.cut_off = False

    async def chat(self, body: Mapping[str, Any], *, timeout_s: float | None = None) -> ChatAnswer:
        self.begun_once = True
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cut_off = True
            raise
        return await super().chat(body, timeout_s=timeout_s)


def hedging(world: Any, one: FakeProvider, two: FakeProvider, *, saved: int = 1) -> None:
    hedge = Hedge(100)
    for _ in range(saved - 1):
        hedge.called()
    if not saved:
        hedge = Hedge(1)
    serve(world, one, two, hedge=hedge)
    smart = world.parts().models.deployments("smart")
    for _ in range(20):
        smart.pace.note("one/m", 0.001)


async def test_a_slow_call_is_asked_elsewhere_and_the_first_answer_counts(world: Any) -> None:
    one, two = Slow("one"), FakeProvider("two", ["because"])
    hedging(world, one, two)
    lanes = world.more["lanes"] = Lanes({})

    assert await world.result(asker) == "because"
    assert one.cut_off
    [step] = await world.steps()
    assert (step.lane, step.tries, step.ambiguous, step.failed_tries) == ("two/m", 2, 0, ())
    assert (step.usage.hedged, step.usage.paid_again, step.usage.calls) == (1, 0, 2)
    assert lanes.inside == []
    assert world.count("step.hedged") == 1


async def test_whoever_answers_first_is_recorded_as_who_served(world: Any) -> None:
    one, two = Slow("one", ["late but first"]), Slow("two")
    hedging(world, one, two)
    running = asyncio.create_task(world.result(asker))
    while world.count("step.hedged") == 0:
        await asyncio.sleep(0)
    one.go_on.set()

    assert await running == "late but first"
    assert two.cut_off
    [step] = await world.steps()
    assert (step.lane, step.usage.hedged) == ("one/m", 1)


async def test_if_the_second_fails_the_first_is_waited_for(world: Any) -> None:
    one, two = Slow("one", ["at last"]), FakeProvider("two", [ServerFailed("502")])
    hedging(world, one, two)
    lanes = world.more["lanes"] = Lanes({})
    running = asyncio.create_task(world.result(asker))
    while ("two/m", "provider-server") not in lanes.met_by:
        await asyncio.sleep(0)
    one.go_on.set()

    assert await running == "at last"
    assert lanes.inside == []


async def test_if_both_fail_the_attempt_has_failed(world: Any) -> None:
    one, two = Slow("one", [Overloaded("529")]), FakeProvider("two", [ServerFailed("502")])
    hedging(world, one, two)
    lanes = world.more["lanes"] = Lanes({})
    running = asyncio.create_task(world.failed(asker))
    while ("two/m", "provider-server") not in lanes.met_by:
        await asyncio.sleep(0)
    one.go_on.set()

    assert (await running).error.code == "provider-overloaded"
    [step] = await world.steps()
    assert (step.usage.calls, step.usage.hedged) == (2, 1)


async def test_without_a_budget_nobody_is_asked_twice(world: Any) -> None:
    one, two = Slow("one", ["alone"]), FakeProvider("two")
    hedging(world, one, two, saved=0)
    asyncio.get_running_loop().call_later(0.02, one.go_on.set)

    assert await world.result(asker) == "alone"
    assert two.count == 0


def test_hedged_calls_have_a_counter_of_their_own() -> None:
    assert (Usage(calls=1) + Usage(calls=1, hedged=1)).hedged == 1


# Costs --------------------------------------------------------------------------------------------


async def test_the_cost_is_that_of_whoever_answered_and_one_that_may_have_been_billed_is_unknown(world: Any) -> None:
    one, two = pair(ProviderTimeout("slow"), "because")
    serve(world, one, two)
    world.more["prices"] = Prices({"one/m": OwnPrice(input_usd=1e9, output_usd=1e9), "two/m": OwnPrice(input_usd=0, output_usd=1e6)})

    await world.result(asker)
    [step] = await world.steps()
    assert (step.usage.cost_usd, step.usage.unpriced) == (float(step.usage.output_tokens), 1)
    assert step.usage.reckoned_usd > 1000, "as dear as the first would have been"


async def test_under_a_limit_of_cost_no_deployment_without_a_price_is_asked(world: Any) -> None:
    one, two = pair(ServerFailed("502"))
    serve(world, one, two)
    world.more["prices"] = Prices({"one/m": OwnPrice(input_usd=0, output_usd=0)})

    ending = await world.failed(asker, metadata=with_terms({}, max_cost_usd=1.0))
    assert (ending.error.code, one.count, two.count) == ("price-unknown", 0, 0)


async def test_a_try_that_may_have_been_billed_is_not_forgotten_while_there_is_no_money_for_the_next(world: Any) -> None:
    one, two = pair(ProviderTimeout("slow"), "because")
    serve(world, one, two)

    class Poor(CuttingJournal):
        async def intend(self, *given: Any) -> None:
            if self.intents == 1:
                self.intents += 1
                raise BudgetReached("no money left", retry_at=world.clock.now() + 1)
            await super().intend(*given)

    world.wrap_journal = lambda journal: Poor(journal, world.crash, after=None, during=None)
    assert await world.result(asker) == "because"
    [step] = await world.steps()
    assert (step.tries, step.ambiguous) == (2, 1)


# The order ----------------------------------------------------------------------------------------


async def test_an_agent_asks_them_by_their_priority(world: Any) -> None:
    one, two = pair(None)
    targets = (Target(one, "m", priority=2), Target(two, "m", priority=1))
    world.more["models"] = Models({"one": one, "two": two}, {"smart": Deployments(name="smart", targets=targets, order=Order.WEIGHTS)})

    await world.result(asker)
    assert (one.count, two.count) == (0, 1)
