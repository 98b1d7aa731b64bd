"""Workers look at providers on a schedule: one look for all, nothing held up by one that hangs, one alarm for each turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from perdure import agent
from perdure.errors.handler import Report, handler
from perdure.providers.generic import GenericProvider
from perdure.providers.qwen import QwenProvider
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock, Upstream
from perdure.worker.watch import Looks, Watch


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[InMemoryStore]:
    async with InMemoryStore(clock=clock) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def told() -> Iterator[list[Report]]:
    """What sinks are told of the health of providers."""
    reports: list[Report] = []

    class Sink:
        def take(self, report: Report) -> None:
            reports.extend([report] if report.where == "health" else [])

    stop = handler().add(Sink())
    yield reports
    stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


class Hangs(GenericProvider):
    """Does not answer, and does not even let itself be called off."""

    def __init__(self) -> None:
        super().__init__("hangs", base_url="http://127.0.0.1:9/v1")
        self.asked = 0
        self.let_go = asyncio.Event()

    async def models(self) -> list[str]:
        self.asked += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue
        return ["late"]


def watch(store: InMemoryStore, *providers: Any, **looks: Any) -> Watch:
    return Watch(store.health, {one.name: one for one in providers}, Looks(**{"every_s": 300.0, **looks}))


async def test_one_look_is_made_for_all_workers(store: InMemoryStore, clock: FakeClock, upstream: Upstream) -> None:
    mine = GenericProvider("mine", base_url=upstream.base_url, models=["fake-1"])
    workers = [watch(store, mine) for _ in range(5)]
    mine.models, listed = _counted(mine.models)  # type: ignore[method-assign]
    for looks in (1, 2, 3):
        for worker in workers:
            assert 0 < await worker.once() <= 15
        assert len(listed) == looks
        clock.pass_by(seconds=300)
    [health] = await store.health.all()
    assert (health.provider, health.well) == ("mine", True)
    assert health.found is not None
    assert (health.found.reachable, health.found.key_good, health.found.models_there) == (True, True, True)
    await mine.aclose()


async def test_an_alarm_is_sounded_once_and_called_off_once(
    store: InMemoryStore, clock: FakeClock, upstream: Upstream, told: list[Report]
) -> None:
    upstream.api_key = "sk-right-0123456789abcdef"
    mine = QwenProvider("mine", base_url=upstream.base_url, api_key="sk-wrong-0123456789abcdef")
    looking = watch(store, mine)
    for _ in range(3):
        await looking.once()
        clock.pass_by(seconds=300)
    [alarm] = told
    assert (alarm.over, alarm.error.code, alarm.context) == (False, "provider-auth", {"provider": "mine"})
    assert alarm.error.hint
    upstream.api_key = "sk-wrong-0123456789abcdef"
    for _ in range(3):
        await looking.once()
        clock.pass_by(seconds=300)
    assert [(one.over, one.error.code) for one in told] == [(False, "provider-auth"), (True, "provider-auth")]
    [health] = await store.health.all()
    assert health.well
    assert "sk-wrong" not in repr(await store.health.all())
    await mine.aclose()


async def test_a_provider_that_hangs_is_left_behind_and_never_asked_twice_at_once(
    store: InMemoryStore, clock: FakeClock, told: list[Report]
) -> None:
    hangs = Hangs()
    looking = watch(store, hangs, timeout_s=0.01)
    await looking.once()
    clock.pass_by(seconds=30)
    await looking.once()
    assert hangs.asked == 1
    [alarm] = told
    assert alarm.error.code == "provider-timeout"
    [health] = await store.health.all()
    assert health.found is not None
    assert (health.well, health.found.reachable) == (False, False)
    hangs.let_go.set()
    while looking._under_way:
        await asyncio.wait(looking._under_way.values())
    clock.pass_by(seconds=300)
    await looking.once()
    assert hangs.asked == 2
    assert [one.over for one in told] == [False, True]


async def test_no_model_is_asked_for_anything_unless_that_is_wanted(store: InMemoryStore, clock: FakeClock, upstream: Upstream) -> None:
    upstream.models_status = 404
    mine = GenericProvider("mine", base_url=upstream.base_url, models=["fake-1"])
    await watch(store, mine).once()
    [health] = await store.health.all()
    assert health.found is not None
    assert (health.well, health.found.key_good, health.found.models_there) == (True, None, None)
    assert upstream.count() == 0
    clock.pass_by(seconds=300)
    await watch(store, mine, paid=True).once()
    [health] = await store.health.all()
    assert health.found is not None
    assert (upstream.count(), health.found.key_good) == (1, True)
    await mine.aclose()


async def test_a_worker_looks_beside_its_work_whoever_hangs(house: Any) -> None:
    @agent
    async def quick(run: Any) -> str:
        return "done"

    hangs = Hangs()
    worker = house.worker(quick, watch=watch(house.store, hangs))
    async with house.working(worker):
        view = await house.ended(await house.put(quick))
        assert view.result == b'"done"'
        async with asyncio.timeout(20):
            while not hangs.asked:
                await asyncio.sleep(0)
        hangs.let_go.set()


def _counted(method: Any) -> tuple[Any, list[int]]:
    calls: list[int] = []

    async def counted() -> Any:
        calls.append(1)
        return await method()

    return counted, calls
