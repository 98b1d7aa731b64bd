from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure.agents.parts import Passage
from perdure.errors import base
from perdure.errors.base import Category, ErrorFacts, StoreBusy
from perdure.messages.routes import Route
from perdure.providers.asks import Ask
from perdure.providers.headroom import Headroom
from perdure.providers.lane_limits import LaneLimits, LaneTable
from perdure.resources.usage import Usage
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import alive, message
from perdure.worker.lanes import Circuit, Lanes


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[InMemoryStore]:
    async with InMemoryStore(clock=clock) as opened:
        await opened.messages.put([message(lane="qwen/max"), message(lane="qwen/plus"), message(lane="local/small")])
        yield opened


async def closed_in(store: InMemoryStore, clock: FakeClock) -> set[str | None]:
    return {route.lane for route in await store.messages.routes() if (route.lane_closed_until or 0) > clock.now()}


async def test_a_rate_limit_closes_its_own_lane_until_its_moment(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = Lanes(store.messages, clock)
    lanes.seen(await store.messages.routes())
    await lanes.close("qwen/max", base.RateLimited("slow", retry_at=clock.now() + 30).facts())
    assert await closed_in(store, clock) == {"qwen/max"}
    refusal = lanes.closed("qwen/max")
    assert refusal is not None
    assert refusal.code == "provider-rate-limited"
    clock.pass_by(seconds=31)
    assert lanes.closed("qwen/max") is None
    assert await closed_in(store, clock) == set()


async def test_an_account_error_closes_every_lane_of_its_provider(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = Lanes(store.messages, clock)
    lanes.seen(await store.messages.routes())
    await lanes.close("qwen/max", base.BillingRefused("pay").facts())
    assert await closed_in(store, clock) == {"qwen/max", "qwen/plus"}
    assert lanes.closed("local/small") is None


async def test_what_concerns_one_request_closes_nothing(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = Lanes(store.messages, clock)
    await lanes.close("qwen/max", base.ServerFailed("502").facts())
    assert lanes.closed("qwen/max") is None
    assert await closed_in(store, clock) == set()


async def test_what_another_process_closed_is_seen_in_the_routes(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        lanes = Lanes(store.messages, clock)
        lanes.seen(
            [Route(id=1, queue="q", agent="a", lane="qwen/max", lane_closed_until=clock.now() + 9), Route(id=2, queue="q", agent="a")]
        )
        refusal = lanes.closed("qwen/max")
        assert refusal is not None
        assert (refusal.category.value, refusal.retry_at) == ("circuit-open", clock.now() + 9)


async def test_the_same_limit_met_by_many_is_written_once(clock: FakeClock) -> None:
    written: list[str] = []

    class Messages:
        async def close_lane(self, lane: str, *, until: float, why: str) -> None:
            written.append(lane)

    lanes = Lanes(Messages(), clock)  # type: ignore[arg-type]
    for n in range(20):
        await lanes.close("qwen/max", base.RateLimited("slow", retry_at=clock.now() + 30 + n / 100).facts())
    assert written == ["qwen/max"]


async def test_a_store_that_does_not_answer_leaves_the_lane_closed_here(clock: FakeClock) -> None:
    class Messages:
        async def close_lane(self, lane: str, *, until: float, why: str) -> None:
            raise StoreBusy("locked")

    lanes = Lanes(Messages(), clock)  # type: ignore[arg-type]
    await lanes.close("qwen/max", base.RateLimited("slow", retry_at=clock.now() + 30).facts())
    assert lanes.closed("qwen/max") is not None


async def test_a_lane_that_a_person_has_opened_is_open_to_whoever_had_closed_it_before(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 3)
    await lanes.close("qwen/plus", base.BillingRefused("pay").facts())
    await store.messages.open_lane("qwen/max")
    await store.messages.open_lane("qwen/plus")
    lanes.seen(await store.messages.routes())
    for lane in ("qwen/max", "qwen/plus"):
        assert lanes.closed(lane) is None
        await let_in(lanes, lane)
    clock.pass_by(seconds=1)
    await lanes.close("qwen/plus", base.BillingRefused("pay").facts())
    lanes.seen(await store.messages.routes())
    assert lanes.closed("qwen/plus") is not None, "it was closed anew since"


# Several deployments --------------------------------------------------------------------------------


async def test_a_model_is_closed_once_none_of_its_deployments_is_open(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        await store.messages.put([message(lane="smart"), message(lane="a/m")])
        lanes = Lanes(store.messages, clock, several={"smart": ["a/m", "b/m"], "dull": ["c/m", "d/m"]})
        await lanes.close("a/m", base.RateLimited("slow", retry_at=clock.now() + 90).facts())
        assert await closed_in(store, clock) == {"a/m"}
        await lanes.close("b/m", base.RateLimited("slow", retry_at=clock.now() + 30).facts())
        assert await closed_in(store, clock) == {"a/m", "smart"}
        clock.pass_by(seconds=31)
        assert await closed_in(store, clock) == {"a/m"}, "as soon as the first is open again"
        await lanes.close("b/m", base.BillingRefused("pay").facts())
        assert await closed_in(store, clock) == {"a/m", "smart"}


async def test_what_others_closed_counts_too_and_their_word_on_the_model_does_not_close_a_deployment(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        await store.messages.put([message(lane="smart"), message(lane="a/m")])
        lanes = Lanes(store.messages, clock, several={"smart": ["a/m", "b/m"]})
        await store.messages.close_lane("smart", until=clock.now() + 60, why="circuit-open")
        await store.messages.close_lane("a/m", until=clock.now() + 60, why="circuit-open")
        lanes.seen(await store.messages.routes())
        assert (lanes.closed("smart"), lanes.closed("b/m")) == (None, None)
        assert lanes.closed("a/m") is not None


async def test_a_key_closes_its_own_lanes_and_an_endpoint_those_of_every_account(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        lanes = Lanes(store.messages, clock, several={"smart": ["q/m", "q@two/m", "q@two/n", "other/m"]})
        await lanes.close("q@two/m", base.AuthenticationFailed("no").facts())
        assert [lane for lane in ("q/m", "q@two/m", "q@two/n", "other/m") if lanes.closed(lane)] == ["q@two/m", "q@two/n"]
        await lanes.close("q@two/m", base.RateLimited("full", retry_at=clock.now() + 600, scope=base.Scope.ENDPOINT).facts())
        assert lanes.closed("q/m") is not None
        assert lanes.closed("other/m") is None


# Circuits -----------------------------------------------------------------------------------------


DOWN = [
    base.Overloaded("529"),
    base.ServerFailed("502"),
    base.ProviderTimeout("600 s"),
    base.NetworkFailed("refused"),
    base.StreamCut("cut"),
    base.EmptyAnswer("nothing"),
]


async def let_in(lanes: Lanes, lane: str = "qwen/max") -> Passage:
    passage = await lanes.enter(lane)
    assert not isinstance(passage, ErrorFacts)
    return passage


async def refused(lanes: Lanes, lane: str = "qwen/max") -> ErrorFacts:
    error = await lanes.enter(lane)
    assert isinstance(error, ErrorFacts)
    return error


async def fails(lanes: Lanes, times: int, error: base.ProviderError = DOWN[1]) -> None:
    for _ in range(times):
        passage = await let_in(lanes)
        await passage.met(error.facts())
        passage.left()


def watching(store: InMemoryStore, clock: FakeClock) -> Lanes:
    return Lanes(store.messages, clock, circuit=Circuit(failures=3, rest_s=5.0, longest_rest_s=15.0), now=clock.now)


@pytest.mark.parametrize("error", DOWN, ids=lambda error: error.code)
async def test_calls_without_an_answer_close_their_own_lane_for_everybody(
    store: InMemoryStore, clock: FakeClock, error: base.ProviderError
) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 2, error)
    assert await closed_in(store, clock) == set()
    await fails(lanes, 1, error)
    [route] = [route for route in await store.messages.routes() if route.lane == "qwen/max"]
    assert (route.lane_closed_until, route.lane_closed_why) == (clock.now() + 5, "circuit-open")
    assert await closed_in(store, clock) == {"qwen/max"}
    assert (await refused(lanes)).category is Category.CIRCUIT_OPEN
    await let_in(lanes, "qwen/plus")


@pytest.mark.parametrize("error", [base.InvalidRequest("400"), base.Refused("no"), base.ContextTooLong("long")])
async def test_what_the_provider_did_answer_says_nothing_against_it(
    store: InMemoryStore, clock: FakeClock, error: base.ProviderError
) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 9, error)
    await let_in(lanes)


async def test_an_answer_forgets_what_failed_before(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    for _ in range(3):
        await fails(lanes, 2)
        (await let_in(lanes)).answered()
    assert await closed_in(store, clock) == set()


async def test_after_its_rest_one_call_goes_through_and_its_answer_opens_the_lane(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 3)
    clock.pass_by(seconds=5)
    probe = await let_in(lanes)
    assert (await refused(lanes)).retry_at == clock.now() + 5
    assert await closed_in(store, clock) == {"qwen/max"}
    probe.answered()
    clock.pass_by(seconds=5)
    for _ in range(3):
        await let_in(lanes)


async def test_while_such_calls_fail_the_rests_grow_up_to_a_limit(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 3)
    rests = []
    for _ in range(4):
        until = (await refused(lanes)).retry_at
        assert until is not None
        rests.append(until - clock.now())
        clock.pass_by(seconds=rests[-1])
        await fails(lanes, 1)
    assert rests == [5.0, 10.0, 15.0, 15.0]


async def test_a_call_that_ends_without_a_word_leaves_its_turn_to_the_next(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await fails(lanes, 3)
    clock.pass_by(seconds=5)
    (await let_in(lanes)).left()
    await let_in(lanes)


async def test_another_process_also_lets_one_through_first(store: InMemoryStore, clock: FakeClock) -> None:
    here, there = watching(store, clock), watching(store, clock)
    await fails(here, 3)
    there.seen(await store.messages.routes())
    await refused(there)
    clock.pass_by(seconds=5)
    await let_in(there)
    await refused(there)


async def test_a_quota_met_elsewhere_lets_all_through_afterwards(store: InMemoryStore, clock: FakeClock) -> None:
    here, there = watching(store, clock), watching(store, clock)
    await (await let_in(here)).met(base.RateLimited("the day's", retry_at=clock.now() + 3600).facts())
    there.seen(await store.messages.routes())
    await refused(there)
    clock.pass_by(seconds=3601)
    for _ in range(3):
        await let_in(there)


# Refusals -----------------------------------------------------------------------------------------


async def is_refused(lanes: Lanes, clock: FakeClock, *, for_s: float = 30.0, lane: str = "qwen/max") -> None:
    passage = await let_in(lanes, lane)
    passage.sent()
    await passage.met(base.RateLimited("slow", retry_at=clock.now() + for_s).facts())
    passage.left()


async def test_one_refusal_for_a_rate_leaves_the_lane_open_and_slower(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await is_refused(lanes, clock)
    assert await closed_in(store, clock) == set()
    starts = [(await let_in(lanes)).starts_at or 0.0 for _ in range(2)]
    assert starts[1] - starts[0] == pytest.approx(1.0), "nothing is known to be let in: one a second"
    assert await lanes.rooms.now(await store.messages.routes()) == {"qwen/max": 0}
    assert lanes.rooms.opens_in_s(["qwen/max"]) == pytest.approx(3.0), "two are in line, and one comes a second before its start"


async def test_a_lane_where_all_are_refused_is_closed_until_the_moment_named(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    for _ in range(3):
        await is_refused(lanes, clock)
        clock.pass_by(seconds=1)
    assert await closed_in(store, clock) == {"qwen/max"}
    assert (await refused(lanes)).retry_at == clock.now() + 29
    clock.pass_by(seconds=29)
    await is_refused(lanes, clock)
    assert await closed_in(store, clock) == {"qwen/max"}, "who has meant it is believed at once"


@pytest.mark.parametrize(
    "error",
    [
        base.RateLimited("tomorrow", retry_at=FakeClock().now() + 3600),
        base.RateLimited("the account's", retry_at=FakeClock().now() + 2, scope=base.Scope.ACCOUNT),
        base.BillingRefused("pay"),
    ],
    ids=["a quota", "an account", "money"],
)
async def test_what_is_no_rate_of_one_model_closes_at_once(error: base.ProviderError) -> None:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        await store.messages.put([message(lane="qwen/max")])
        lanes = watching(store, clock)
        passage = await let_in(lanes)
        passage.sent()
        await passage.met(error.facts())
        assert await closed_in(store, clock) == {"qwen/max"}


async def test_who_waits_for_his_turn_in_a_slower_lane_is_told_when_others_are_refused(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await is_refused(lanes, clock)
    in_line = [await let_in(lanes) for _ in range(3)]
    for passage in in_line[:2]:
        clock.pass_by(seconds=1)
        assert not passage.overtaken
        passage.sent()
        await passage.met(base.RateLimited("slow", retry_at=clock.now() + 30).facts())
    assert in_line[2].overtaken


async def test_whose_turn_in_a_slower_lane_is_far_off_is_refused_and_the_lane_stays_open(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = watching(store, clock)
    await is_refused(lanes, clock)
    for _ in range(5):
        await let_in(lanes)
    error = await refused(lanes)
    assert (error.code, error.retry_at) == ("lane-full", clock.now() + 6)
    assert await closed_in(store, clock) == set()


async def test_a_slower_deployment_leaves_the_model_as_much_room_as_the_others_have(clock: FakeClock) -> None:
    async with InMemoryStore(clock=clock) as store:
        await store.messages.put([message(lane="smart"), message(lane="a/m")])
        lanes = Lanes(store.messages, clock, several={"smart": ["a/m", "b/m"]}, now=clock.now)
        await is_refused(lanes, clock, lane="a/m")
        routes = await store.messages.routes()
        assert await lanes.rooms.now(routes) == {"a/m": 0}, "as much as one likes of the model: its other deployment is free"
        await is_refused(lanes, clock, lane="b/m")
        clock.pass_by(seconds=0.5)
        assert await lanes.rooms.now(routes) == {"a/m": 1, "smart": 2}
        lanes.rooms.leased("smart")
        assert (await lanes.rooms.now(routes))["smart"] == 1


# Limits -------------------------------------------------------------------------------------------


async def limited(store: InMemoryStore, clock: FakeClock, *, patience_s: float = 5.0, **limits: Any) -> Lanes:
    table = LaneTable({"qwen": LaneLimits(**{"gentle_s": 0, **limits})})
    lanes = Lanes(store.messages, clock, circuit=Circuit(failures=3), table=table, patience_s=patience_s, now=clock.now)
    lanes.share(store.lanes, await alive(store))
    return lanes


async def test_a_lane_without_limits_asks_nobody(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, rpm=60)
    passage = await let_in(lanes, "local/small")
    assert passage.starts_at is None
    assert list(await store.lanes.lanes()) == []
    assert await lanes.rooms.now(await store.messages.routes()) == {"qwen/max": 1, "qwen/plus": 1}


async def test_calls_of_a_lane_with_limits_start_one_after_the_other(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, rpm=60)
    starts = [(await let_in(lanes)).starts_at for _ in range(3)]
    assert [round((start or 0.0) - clock.now()) for start in starts] == [0, 1, 2]


async def test_each_model_has_the_limits_of_its_provider_for_itself_or_its_own(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = Lanes(store.messages, clock, table=LaneTable({"qwen": LaneLimits(rpm=1)}, {"qwen/plus": LaneLimits(rpm=60)}), now=clock.now)
    lanes.share(store.lanes, await alive(store))
    for lane in ("qwen/max", "qwen/plus"):
        await let_in(lanes, lane)
    await refused(lanes, "qwen/max")
    await let_in(lanes, "qwen/plus")


async def test_where_the_next_call_is_far_off_the_lane_is_closed_until_shortly_before(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, rpm=6)
    await let_in(lanes)
    error = await refused(lanes)
    assert (error.code, error.category) == ("lane-full", Category.RATE_LIMIT)
    assert error.retry_at == pytest.approx(clock.now() + 10, abs=0.2)
    [route] = [route for route in await store.messages.routes() if route.lane == "qwen/max"]
    assert route.lane_closed_why == "lane-full"
    assert route.lane_closed_until == pytest.approx(error.retry_at - 1, abs=0.1)
    assert await closed_in(store, clock) == {"qwen/max"}
    clock.pass_by(seconds=10)
    await let_in(lanes)


async def test_who_has_no_patience_is_refused_and_the_lane_stays_open(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, rpm=60)
    await let_in(lanes)
    error = await lanes.enter("qwen/max", Ask(patience_s=0.0))
    assert isinstance(error, ErrorFacts)
    assert await closed_in(store, clock) == set()
    await let_in(lanes)


async def test_a_spent_budget_closes_the_lane_until_the_next_day(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, usd_per_day=1.0)
    passage = await lanes.enter("qwen/max", Ask(usd=0.9))
    assert not isinstance(passage, ErrorFacts)
    error = await lanes.enter("qwen/max", Ask(usd=0.9))
    assert isinstance(error, ErrorFacts)
    assert (error.code, (error.retry_at or 0) % 86400) == ("lane-budget-spent", 0)
    assert await closed_in(store, clock) == {"qwen/max"}


async def test_a_call_that_no_budget_allows_is_refused_for_good(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, usd_per_day=1.0)
    error = await lanes.enter("qwen/max", Ask(usd=1.5))
    assert isinstance(error, ErrorFacts)
    assert (error.code, error.retryable) == ("call-too-dear", False)
    assert await closed_in(store, clock) == set()


async def test_of_a_budget_of_nothing_all_wait_whatever_they_cost(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, usd_per_day=0.0)
    error = await lanes.enter("qwen/max", Ask(usd=1.5))
    assert isinstance(error, ErrorFacts)
    assert (error.code, error.retryable) == ("lane-budget-spent", True)


async def test_what_an_answer_says_takes_the_place_of_the_estimate_and_teaches_the_next(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, tpm=60_000)
    ask = Ask({"messages": [{"role": "user", "content": "x" * 384}], "max_tokens": 100})
    for _ in range(30):
        passage = await lanes.enter("qwen/max", ask)
        assert not isinstance(passage, ErrorFacts)
        passage.sent()
        passage.answered(Usage(input_tokens=200, output_tokens=10))
        passage.left()
        clock.pass_by(seconds=1)
    clock.pass_by(seconds=62)
    await lanes.enter("qwen/max", ask)
    [lane] = await store.lanes.lanes()
    assert 290 <= lane.tokens <= 301  # 100 of its answer, and now near 200 of its prompt
    await lanes.close_all()


@pytest.mark.parametrize(("billed", "tokens"), [(base.Billed.NO, 0), (base.Billed.MAYBE, 100)])
async def test_a_call_that_failed_keeps_what_may_be_billed(
    store: InMemoryStore, clock: FakeClock, billed: base.Billed, tokens: int
) -> None:
    lanes = await limited(store, clock, tpm=6000)
    passage = await lanes.enter("qwen/max", Ask({"max_tokens": 100}))
    assert not isinstance(passage, ErrorFacts)
    passage.sent()
    await passage.met(base.ServerFailed("502", billed=billed).facts())
    passage.left()
    await lanes.close_all()
    [lane] = await store.lanes.lanes()
    assert (lane.requests, lane.tokens) == (1, tokens)


async def test_a_refusal_that_is_meant_for_all_slows_every_worker_down(store: InMemoryStore, clock: FakeClock) -> None:
    here, there = await limited(store, clock, rpm=600, gentle_s=10), await limited(store, clock, rpm=600, gentle_s=10)
    for passage in [await let_in(here) for _ in range(3)]:
        passage.sent()
        await passage.met(base.RateLimited("slow", retry_at=clock.now() + 30).facts())
    assert (await refused(there)).retry_at == pytest.approx(clock.now() + 30, abs=0.1)
    clock.pass_by(seconds=31)
    starts = [(await let_in(there)).starts_at or 0.0 for _ in range(2)]
    assert starts[1] - starts[0] > 0.2  # a tenth of a second at full speed


async def test_of_two_workers_one_alone_lets_a_call_through_to_see(store: InMemoryStore, clock: FakeClock) -> None:
    here, there = await limited(store, clock, rpm=6000), await limited(store, clock, rpm=6000)
    await fails(here, 3)
    there.seen(await store.messages.routes())
    clock.pass_by(seconds=5.1)
    probe = await let_in(here)
    await refused(there)
    probe.answered()
    for _ in range(3):
        await asyncio.sleep(0)  # it is told in the background
    clock.pass_by(seconds=5.1)
    for lanes in (there, here, there):
        await let_in(lanes)


async def test_a_probe_that_fails_is_known_to_the_other_worker(store: InMemoryStore, clock: FakeClock) -> None:
    here, there = await limited(store, clock), await limited(store, clock)
    await fails(here, 3)
    there.seen(await store.messages.routes())
    clock.pass_by(seconds=5.1)
    await fails(here, 1)
    assert (await refused(there)).retry_at == pytest.approx(clock.now() + 10, abs=0.1)
    clock.pass_by(seconds=10.1)
    await let_in(there)
    await refused(here)


async def test_what_the_provider_says_is_left_holds_from_the_next_call_on(store: InMemoryStore, clock: FakeClock) -> None:
    lanes = await limited(store, clock, rpm=6000)
    passage = await let_in(lanes)
    passage.sent()
    passage.answered(None, None, Headroom(requests=0, requests_for_s=20.0))
    passage.left()
    assert (await refused(lanes)).retry_at == pytest.approx(clock.now() + 20, abs=0.1)
