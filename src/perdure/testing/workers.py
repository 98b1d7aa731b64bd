"""The kit that proves who works here: liveness and fencing (SEMANTICS 7)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from perdure.errors.base import LeaseLost, WorkerFenced
from perdure.messages.message import State, WorkerId
from perdure.messages.registry import AgentCard, WorkerCard
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.crashing import CrashKit
from perdure.testing.given import alive, card, dies, message, runs, take
from perdure.testing.kit import Kit

__all__ = ["LivenessKit", "WorkerRegistryKit"]


def beat(store: Store, worker: WorkerId) -> None:
    """Let a worker be heard of once, as its heartbeat thread would.

    Args:
        store (Store): Where it lives.
        worker (WorkerId): Who.
    """
    heart = store.workers.heart(worker)
    try:
        heart.beat()
    finally:
        heart.close()


class LivenessKit(Kit, standard=True):
    """Lets workers live, fall silent and bow out."""

    async def test_a_new_worker_is_alive(self, store: Store, clock: FakeClock) -> None:
        said = card("mail@v3", "triage", host="here", pid=7, slots=4, queues=["q"], quarantine=True)
        worker = await store.workers.register(said)
        [status] = await store.workers.workers()
        assert (status.id, status.alive, status.leases) == (worker, True, 0)
        assert (status.started_at, status.beat_at) == (clock.now(), clock.now())
        assert msgspec.to_builtins(status.card) == msgspec.to_builtins(said)

    async def test_no_two_workers_are_the_same(self, store: Store, clock: FakeClock) -> None:
        first = await alive(store)
        await dies(store, clock)
        assert len({first, *[await alive(store) for _ in range(3)]}) == 4

    async def test_the_newest_worker_is_listed_first(self, store: Store, clock: FakeClock) -> None:
        workers = []
        for _ in range(3):
            workers.append(await alive(store))
            clock.pass_by(seconds=1)
        assert [status.id for status in await store.workers.workers()] == workers[::-1]

    async def test_a_worker_says_how_much_it_holds(self, store: Store) -> None:
        worker = await alive(store)
        await store.messages.put([message() for _ in range(3)])
        first, *_ = await take(store, worker, 3)
        await store.messages.done(first, b"1")
        [status] = await store.workers.workers()
        assert status.leases == 2

    async def test_agents_are_known_as_registered_last(self, store: Store, clock: FakeClock) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
        old = AgentCard(name="mail", version="v1")
        new = AgentCard(
            name="mail",
            version="v2",
            queue="post",
            lane="p/m",
            description="Écrit",
            input_schema=schema,
            output_schema={"type": "null"},
            attempts=3,
            timeout_s=2.5,
        )
        other = AgentCard(name="audit", version="v1")
        await store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=[old, other]))
        assert await store.workers.agent("mail") == old
        await store.workers.register(WorkerCard(host="here", pid=1, slots=1, agents=[new]))
        assert await store.workers.agent("mail") == new
        assert list(await store.workers.agents()) == [other, new]
        await dies(store, clock)
        assert await store.workers.agent("mail") == new, "an agent is known after its worker is gone"

    async def test_an_agent_nobody_registered_is_unknown(self, store: Store) -> None:
        assert await store.workers.agent("nobody") is None

    async def test_who_is_heard_of_lives(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        for _ in range(5):
            clock.pass_by(seconds=8)
            beat(store, lease.worker)
            assert list(await store.workers.reap()) == []
        [status] = await store.workers.workers()
        assert (status.alive, status.beat_at) == (True, clock.now())
        await store.messages.done(lease, b"1")

    async def test_a_heart_can_beat_in_another_thread(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        clock.pass_by(seconds=8)
        await asyncio.to_thread(beat, store, worker)
        [status] = await store.workers.workers()
        assert status.beat_at == clock.now()

    async def test_who_is_silent_too_long_is_dead(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        clock.pass_by(seconds=10)
        assert list(await store.workers.reap()) == []
        clock.pass_by(seconds=1)
        [reaped] = await store.workers.reap()
        assert reaped.worker == worker
        [status] = await store.workers.workers()
        assert not status.alive

    async def test_how_long_is_too_long_can_be_said(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        clock.pass_by(seconds=21)
        assert list(await store.workers.reap(dead_after_s=30)) == []
        assert len(await store.workers.reap(dead_after_s=20)) == 1

    async def test_the_dead_can_neither_beat_nor_lease(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        await dies(store, clock)
        with pytest.raises(WorkerFenced):
            beat(store, worker)
        with pytest.raises(WorkerFenced):
            await take(store, worker)

    async def test_nobody_dies_twice(self, store: Store, clock: FakeClock) -> None:
        await runs(store)
        clock.pass_by(seconds=11)
        rounds = await asyncio.gather(*(store.workers.reap() for _ in range(5)))
        assert sum(len(reaped) for reaped in rounds) == 1
        assert (await store.messages.counters())["reaped"] == 1

    async def test_the_living_keep_what_they_hold_when_another_dies(self, store: Store, clock: FakeClock) -> None:
        dying, living = await runs(store), await runs(store)
        clock.pass_by(seconds=9)
        beat(store, living.worker)
        clock.pass_by(seconds=2)
        [reaped] = await store.workers.reap()
        assert (reaped.worker, list(reaped.released)) == (dying.worker, [dying.message.id])
        await store.messages.done(living, b"1")

    async def test_the_dead_are_shown_for_an_hour(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        await dies(store, clock)
        clock.pass_by(seconds=3000)
        assert [status.alive for status in await store.workers.workers()] == [False]
        clock.pass_by(seconds=700)
        assert list(await store.workers.workers()) == []

    async def test_who_bows_out_gives_back_without_a_crash(self, store: Store) -> None:
        lease = await runs(store)
        await store.workers.bow_out(lease.worker)
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.crashes, view.attempt) == (State.READY, 0, 0)
        assert list(await store.messages.attempts(lease.message.id)) == []
        assert not any(status.alive for status in await store.workers.workers())
        with pytest.raises(LeaseLost):
            await store.messages.done(lease, b"1")
        with pytest.raises(WorkerFenced):
            await take(store, lease.worker)

    async def test_bowing_out_twice_changes_nothing(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await store.workers.bow_out(lease.worker)
        before = await store.messages.last_change()
        await store.workers.bow_out(lease.worker)
        clock.pass_by(seconds=11)
        assert list(await store.workers.reap()) == []
        assert await store.messages.last_change() == before


class WorkerRegistryKit(LivenessKit, CrashKit, standard=True):
    """Subclass it, give a `store` fixture made with the `clock` fixture, and your registry is proved. No test sleeps."""
