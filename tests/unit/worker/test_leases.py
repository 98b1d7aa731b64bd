from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import Run, agent
from perdure.clock import SystemClock
from perdure.errors.base import ErrorFacts, StoreBusy, WorkerFenced
from perdure.messages.message import Lease
from perdure.providers.asks import Ask
from perdure.providers.lane_limits import LaneLimits, LaneTable
from perdure.testing.given import alive, message
from perdure.worker.end import LastCall, WorkerEnd
from perdure.worker.lanes import Lanes
from perdure.worker.leases import Leases
from perdure.worker.slots import Slots

PATIENCE_S = 20.0


@agent(version="v1")
async def mail(run: Run) -> None:
    """Never runs here."""


class Taking:
    """A lease loop whose messages are not worked, only noted."""

    def __init__(self, house: Any, worker: Any, *, limit: int, quarantine: bool = False, table: LaneTable | None = None) -> None:
        self.taken: list[Lease] = []
        self.last_call = LastCall()
        self.slots = Slots({"mail": mail}, limit=limit, threads=1)
        self.lanes = Lanes(house.store.messages, SystemClock(), table=table)
        self.lanes.share(house.store.lanes, worker)
        self.leases = Leases(
            house.store.messages,
            worker,
            slots=self.slots,
            lanes=self.lanes,
            last_call=self.last_call,
            begin=self._begin,
            clock=SystemClock(),
            quarantine=quarantine,
        )
        self.more: asyncio.Event = asyncio.Event()

    def _begin(self, lease: Lease) -> None:
        self.slots.take(mail)
        self.taken.append(lease)
        self.more.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.taken) < count:
                self.more.clear()
                await self.more.wait()


async def taking(house: Any, *, limit: int = 10, **more: Any) -> tuple[Taking, asyncio.Task[None]]:
    taking = Taking(house, await alive(house.store, "mail", quarantine=more.get("quarantine", False)), limit=limit, **more)
    return taking, asyncio.create_task(taking.leases.run())


async def end(taking: Taking, running: asyncio.Task[None]) -> None:
    taking.last_call.call(WorkerEnd.STOPPED)
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_put_wakes_it(house: Any) -> None:
    loop, running = await taking(house)
    for n in range(1, 4):
        await house.store.messages.put([message()])
        await loop.until(n)
    await end(loop, running)


async def test_a_full_worker_takes_again_when_a_slot_is_free(house: Any) -> None:
    loop, running = await taking(house, limit=2)
    await house.store.messages.put([message() for _ in range(3)])
    await loop.until(2)
    loop.slots.free(mail)
    loop.slots.settled()
    await loop.until(3)
    await end(loop, running)


async def test_urgent_messages_are_taken_first(house: Any) -> None:
    await house.store.messages.put([message(priority=9), message(priority=0), message(priority=5)])
    loop, running = await taking(house)
    await loop.until(3)
    assert [lease.message.priority for lease in loop.taken] == [0, 5, 9]
    await end(loop, running)


async def test_a_closed_lane_is_left_alone_and_made_known(house: Any) -> None:
    await house.store.messages.put([message(lane="up/m")])
    await house.store.messages.close_lane("up/m", until=SystemClock().now() + 60, why="provider-rate-limited")
    loop, running = await taking(house)
    await house.store.messages.put([message()])
    await loop.until(1)
    assert loop.taken[0].message.lane is None
    assert loop.lanes.closed("up/m") is not None
    await end(loop, running)


async def test_no_more_of_a_lane_with_limits_is_leased_than_can_start_soon(house: Any) -> None:
    await house.store.messages.put([message(lane="up/m") for _ in range(5)])
    table = LaneTable({"up": LaneLimits(rpm=60)})
    loop, running = await taking(house, table=table)
    await loop.until(1)
    others = [message() for _ in range(8)]
    await house.store.messages.put(others)
    await loop.until(9)
    assert [lease.message.lane for lease in loop.taken].count("up/m") == 1
    await end(loop, running)


async def test_of_two_lanes_the_full_one_does_not_hold_up_the_other(house: Any) -> None:
    await house.store.messages.put([message(lane="up/m"), message(lane="up/m"), message(lane="fast/m"), message(lane="fast/m")])
    table = LaneTable({"up": LaneLimits(rpm=60), "fast": LaneLimits(rpm=60_000)})
    loop, running = await taking(house, table=table)
    portion_asks = loop.lanes.enter("fast/m", Ask())
    assert not isinstance(await portion_asks, ErrorFacts)  # from now on it is known how fast it is
    await loop.until(3)
    assert sorted(str(lease.message.lane) for lease in loop.taken) == ["fast/m", "fast/m", "up/m"]
    await end(loop, running)
    await loop.lanes.close_all()


async def test_the_last_call_ends_it_although_it_sleeps(house: Any) -> None:
    loop, running = await taking(house)
    await asyncio.sleep(0)
    await end(loop, running)
    assert loop.taken == []


async def test_being_fenced_ends_it(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fenced(*args: Any, **kwargs: Any) -> None:
        raise WorkerFenced("too late")

    monkeypatch.setattr(type(house.store.messages), "lease", fenced)
    await house.store.messages.put([message()])
    loop, running = await taking(house)
    await asyncio.wait_for(running, PATIENCE_S)
    assert loop.last_call.end is WorkerEnd.FENCED


async def test_it_does_not_spin_while_the_store_is_in_trouble(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def busy(*args: Any, **kwargs: Any) -> None:
        nonlocal asked
        asked += 1
        raise StoreBusy("locked")

    monkeypatch.setattr(type(house.store.messages), "routes", busy)
    loop, running = await taking(house)
    for _ in range(100):
        await asyncio.sleep(0)
    assert asked == 1
    await end(loop, running)


async def test_a_quarantine_process_that_finds_nothing_ends(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.worker.leases.LOOK_S", 0.01)
    await house.store.messages.put([message()])
    loop, running = await taking(house, limit=1, quarantine=True)
    await asyncio.wait_for(running, PATIENCE_S)
    assert loop.last_call.end is WorkerEnd.IDLE
    assert loop.taken == []
