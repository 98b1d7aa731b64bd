"""What a registry promises of crashes: counted, quarantined, poison (SEMANTICS 6)."""

from __future__ import annotations

import pytest

from perdure.errors.base import LeaseLost
from perdure.messages.message import MessageId, State, Wait
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, dies, intent, leased, message, put, runs, state, states, take
from perdure.testing.kit import Kit

__all__ = ["CrashKit"]


async def crashes(store: Store, clock: FakeClock, id: MessageId, *, results: int = 0) -> None:
    """Let a worker take a message, record some steps, and die.

    Args:
        store (Store): Where.
        clock (FakeClock): Its time.
        id (MessageId): Which message; it must be the next.
        results (int): How many new steps are recorded before.
    """
    quarantine = (await store.messages.get(id)).crashes >= 2
    [lease] = await take(store, await alive(store, quarantine=quarantine), quarantine=quarantine)
    assert lease.message.id == id
    known = len(await store.journal.steps(id))
    for number in range(known + 1, known + 1 + results):
        await store.journal.intend(lease, intent(number))
        await store.journal.record(lease, number, b"1")
    await dies(store, clock)


class CrashKit(Kit, standard=True):
    """Lets workers die with messages in their hands and counts."""

    async def test_a_dead_workers_message_is_ready_again(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        id = lease.message.id
        clock.pass_by(seconds=11)
        [reaped] = await store.workers.reap()
        assert (list(reaped.released), list(reaped.quarantined), list(reaped.buried)) == ([id], [], [])
        view = await store.messages.get(id)
        assert (view.state, view.attempt, view.crashes, view.worker) == (State.READY, 0, 1, None)
        again = await leased(store, id)
        assert (again.attempt, again.crashes) == (1, 1)

    async def test_a_crash_is_kept_among_what_went_wrong(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await dies(store, clock)
        [entry] = await store.messages.attempts(lease.message.id)
        assert (entry.n, entry.kind, entry.error.code) == (1, "crash", "worker-died")
        assert (entry.worker, entry.at) == (lease.worker, clock.now())
        assert (await store.messages.counters())["crashes"] == 1

    async def test_what_had_ended_or_waits_does_not_crash(self, store: Store, clock: FakeClock) -> None:
        worker = await alive(store)
        await store.messages.put([message() for _ in range(4)])
        done, buried, parked, retried = await take(store, worker, 4)
        await store.messages.done(done, b"1")
        await store.messages.bury(buried, BROKE)
        await store.messages.park(parked, Wait(why="sleep", until=clock.now() + 99))
        await store.messages.retry(retried, BROKE, at=clock.now() + 99)
        clock.pass_by(seconds=11)
        [reaped] = await store.workers.reap()
        assert (list(reaped.released), list(reaped.quarantined), list(reaped.buried)) == ([], [], [])
        ids = [lease.message.id for lease in (done, buried, parked, retried)]
        assert await states(store, ids) == [State.DONE, State.DEAD, State.LATER, State.LATER]

    async def test_after_two_crashes_it_runs_only_in_quarantine(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        await crashes(store, clock, id)
        await leased(store, id)
        clock.pass_by(seconds=11)
        [reaped] = await store.workers.reap()
        assert list(reaped.quarantined) == [id]
        assert await take(store, await alive(store), 10) == [], "an ordinary worker does not get it"
        assert (await store.messages.get(id)).blocked_by == "quarantine"
        [route] = [route for route in await store.messages.routes() if route.quarantine]
        assert (route.queue, route.agent, route.occupied) == ("default", "mail", True)
        recluse = await alive(store, quarantine=True)
        assert (await store.messages.get(id)).blocked_by is None
        [lease] = await take(store, recluse, quarantine=True)
        assert (lease.message.id, lease.crashes, lease.attempt) == (id, 2, 1)
        assert [route.occupied for route in await store.messages.routes() if route.quarantine] == [False]
        await store.messages.done(lease, b"1")

    async def test_a_third_crash_makes_it_poison(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        await crashes(store, clock, id)
        await crashes(store, clock, id)
        [lease] = await take(store, await alive(store, quarantine=True), quarantine=True)
        clock.pass_by(seconds=11)
        [reaped] = await store.workers.reap()
        assert list(reaped.buried) == [id]
        view = await store.messages.get(id)
        assert (view.state, view.error and view.error.code, view.crashes) == (State.DEAD, "poison", 3)
        assert [entry.kind for entry in await store.messages.attempts(id)] == ["crash"] * 3
        with pytest.raises(LeaseLost):
            await store.messages.done(lease, b"1")

    async def test_a_run_that_gets_further_is_no_poison(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        for _ in range(6):
            await crashes(store, clock, id, results=1)
            assert (await store.messages.get(id)).crashes == 0
        await store.messages.done(await leased(store, id), b"1")

    async def test_getting_further_in_quarantine_leads_out_of_it(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        for results, counted in ((2, 0), (0, 1), (0, 2), (1, 0), (0, 1), (0, 2), (0, 3)):
            await crashes(store, clock, id, results=results)
            assert (await store.messages.get(id)).crashes == counted
        assert await state(store, id) is State.DEAD

    async def test_only_results_count_as_getting_further(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        await crashes(store, clock, id)
        lease = await leased(store, id)
        await store.journal.intend(lease, intent(1))
        await store.journal.fail(lease, 1, BROKE)
        await store.journal.intend(lease, intent(2))
        await dies(store, clock)
        assert (await store.messages.get(id)).crashes == 2

    async def test_a_quarantined_message_that_is_tried_again_stays_there(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        await crashes(store, clock, id)
        await crashes(store, clock, id)
        [lease] = await take(store, await alive(store, quarantine=True), quarantine=True)
        await store.messages.retry(lease, BROKE, at=clock.now())
        await store.messages.tend()
        assert await take(store, await alive(store)) == []
        [again] = await take(store, await alive(store, quarantine=True), quarantine=True)
        assert (again.attempt, again.crashes) == (2, 2)

    async def test_revived_poison_begins_anew(self, store: Store, clock: FakeClock) -> None:
        id = await put(store)
        for _ in range(3):
            await crashes(store, clock, id)
        view = await store.messages.revive(id)
        assert (view.state, view.crashes) == (State.READY, 0)
        await crashes(store, clock, id)
        view = await store.messages.get(id)
        assert (view.state, view.crashes) == (State.READY, 1)

    async def test_bystanders_lose_nothing_but_time(self, store: Store, clock: FakeClock) -> None:
        receipts = await store.messages.put([message() for _ in range(20)])
        leases = await take(store, await alive(store), 20)
        for lease in leases[1:]:
            await store.journal.intend(lease, intent(1))
            await store.journal.record(lease, 1, b'"kept"')
        await dies(store, clock)
        again = await take(store, await alive(store), 20)
        assert [lease.attempt for lease in again] == [1] * 20
        for lease in again:
            await store.messages.done(lease, b"1")
        assert set(await states(store, [receipt.id for receipt in receipts])) == {State.DONE}

    async def test_quarantine_keeps_what_else_a_message_needs(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, queue="q", version="v1", lane="p/m")
        await crashes(store, clock, id)
        await crashes(store, clock, id)
        [route] = [route for route in await store.messages.routes() if route.quarantine]
        assert (route.queue, route.agent, route.version, route.lane) == ("q", "mail", "v1", "p/m")
        await store.messages.pause("q")
        assert await take(store, await alive(store, quarantine=True), quarantine=True) == []
