from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure.errors import base
from perdure.errors.base import StoreBusy
from perdure.messages.routes import Route
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import message
from perdure.worker.lanes import Lanes


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
