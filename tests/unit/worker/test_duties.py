from __future__ import annotations

import asyncio

import pytest

from perdure.errors.base import StoreBusy
from perdure.messages.message import State
from perdure.stores.inmemory import InMemoryStore
from perdure.testing import FakeClock
from perdure.testing.given import message, runs
from perdure.worker import duties
from perdure.worker.duties import FRESH_S, REAP_S, TEND_S, Duties, rounds


class Machine:
    """Its two clocks: one that counts also while it is suspended, and one that can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady = self.wall = 1000.0
        monkeypatch.setattr(duties, "awake", lambda: self.steady)
        monkeypatch.setattr(duties, "now", lambda: self.wall)

    def goes_on(self, seconds: float, *, clock: FakeClock, set_by: float = 0.0) -> None:
        self.steady += seconds
        self.wall += seconds + set_by
        clock.pass_by(seconds=seconds + set_by)


async def test_reaping_takes_back_what_a_silent_worker_held(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        round_ = Duties(store.messages, store.workers, clock)
        assert await round_.reap() == REAP_S
        await rounds_of(round_, machine, clock, seconds=11)
        assert (await store.messages.get(lease.message.id)).state is State.READY


async def test_who_has_just_begun_to_look_calls_nobody_dead_who_could_not_beat_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        machine.goes_on(0.5, clock=clock, set_by=3600)
        round_ = Duties(store.messages, store.workers, clock)
        await rounds_of(round_, machine, clock, seconds=2)
        store.workers.heart(lease.worker).beat()
        await rounds_of(round_, machine, clock, seconds=8)
        assert (await store.messages.get(lease.message.id)).state is State.LEASED


async def test_who_was_silent_for_long_is_dead_soon_after_somebody_begins_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        clock.pass_by(seconds=60)
        await rounds_of(Duties(store.messages, store.workers, clock), machine, clock, seconds=FRESH_S + 1)
        assert (await store.messages.get(lease.message.id)).state is State.READY


async def test_the_limit_of_silence_is_the_one_given(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        await rounds_of(Duties(store.messages, store.workers, clock, dead_after_s=60), machine, clock, seconds=20)
        assert (await store.messages.get(lease.message.id)).state is State.LEASED


async def rounds_of(duties: Duties, machine: Machine, clock: FakeClock, *, seconds: float) -> None:
    for _ in range(int(seconds / REAP_S)):
        await duties.reap()
        machine.goes_on(REAP_S, clock=clock)


@pytest.mark.parametrize(("slept_s", "set_by_s"), [(3600, 0), (0.5, 3600)], ids=["suspended", "clock set"])
async def test_nobody_is_called_dead_by_a_pause_of_the_machine(slept_s: float, set_by_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        round_ = Duties(store.messages, store.workers, clock)
        await round_.reap()

        machine.goes_on(slept_s, clock=clock, set_by=set_by_s)
        await round_.reap()
        store.workers.heart(lease.worker).beat()

        for _ in range(20):
            machine.goes_on(0.5, clock=clock)
            await round_.reap()
        assert (await store.messages.get(lease.message.id)).state is State.LEASED


async def test_who_is_still_silent_after_a_pause_of_the_machine_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine = FakeClock(), Machine(monkeypatch)
    async with InMemoryStore(clock=clock) as store:
        lease = await runs(store)
        round_ = Duties(store.messages, store.workers, clock)
        await round_.reap()

        machine.goes_on(3600, clock=clock)
        for _ in range(21):
            await round_.reap()
            machine.goes_on(0.5, clock=clock)
        assert (await store.messages.get(lease.message.id)).state is State.READY


async def test_tending_comes_back_when_the_next_message_is_due() -> None:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        [receipt] = await store.messages.put([message(due_at=clock.now() + 0.1)])
        round_ = Duties(store.messages, store.workers, clock)
        assert await round_.tend() == pytest.approx(0.1, abs=0.01)
        clock.pass_by(seconds=0.1)
        assert await round_.tend() == TEND_S
        assert (await store.messages.get(receipt.id)).state is State.READY


async def test_a_message_due_in_an_hour_does_not_keep_tending_from_its_rounds() -> None:
    clock = FakeClock()
    async with InMemoryStore(clock=clock) as store:
        await store.messages.put([message(due_at=clock.now() + 3600)])
        assert await Duties(store.messages, store.workers, clock).tend() == TEND_S


async def test_rounds_go_on_after_trouble_with_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [StoreBusy("locked"), StoreBusy("locked"), ValueError("a bug")]
    done, pauses = asyncio.Event(), []

    async def once() -> float:
        if errors:
            raise errors.pop(0)
        done.set()
        return 0.125

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(duties.asyncio, "sleep", sleep)
    monkeypatch.setattr(duties, "chance", lambda: 0.5)
    going = asyncio.ensure_future(rounds("testing", once))
    await done.wait()
    await real_sleep(0)
    going.cancel()
    assert pauses[:4] == [0.5, 1.0, 5.0, 0.125]
