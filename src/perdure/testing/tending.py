"""What a store promises of time: due messages, deadlines, and waits without a stated end (SEMANTICS 2, 3)."""

from __future__ import annotations

import pytest

from perdure.messages.message import Lease, State, Wait
from perdure.messages.store import Tended
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, NO_CREDIT, UNKNOWN, alive, asks, dies, leased, put, runs, soon, state, states, take
from perdure.testing.kit import Kit

__all__ = ["TendingKit"]


async def waits_for_account(store: Store, lease: Lease, clock: FakeClock, seconds: float) -> None:
    """Park a run until an account is looked at again.

    Args:
        store (Store): Where.
        lease (Lease): The run.
        clock (FakeClock): The store's time.
        seconds (float): When to look again.
    """
    await store.messages.park(lease, Wait(why="account", until=soon(clock, seconds), open_ended=True, error=NO_CREDIT))


class TendingKit(Kit, standard=True):
    """Lets time pass and looks what becomes of those who wait."""

    async def test_tending_an_empty_store_does_nothing(self, store: Store) -> None:
        assert await store.messages.tend() == Tended()

    async def test_due_messages_become_ready(self, store: Store, clock: FakeClock) -> None:
        ids = [await put(store, due_at=soon(clock, seconds)) for seconds in (10, 20, 30)]
        clock.pass_by(seconds=20)
        tended = await store.messages.tend()
        assert tended.due == 2
        assert await states(store, ids) == [State.READY, State.READY, State.LATER]
        assert await store.messages.tend() == Tended(next_due_at=soon(clock, 10))

    async def test_the_next_due_moment_is_told(self, store: Store, clock: FakeClock) -> None:
        await put(store, due_at=soon(clock, 50))
        await put(store, due_at=soon(clock, 20))
        await store.messages.retry(await runs(store), BROKE, at=soon(clock, 30))
        assert (await store.messages.tend()).next_due_at == soon(clock, 20)

    async def test_a_message_due_earlier_is_ready_earlier(self, store: Store, clock: FakeClock) -> None:
        late, early = [await put(store, due_at=soon(clock, seconds)) for seconds in (20, 10)]
        clock.pass_by(seconds=30)
        await store.messages.tend()
        assert [lease.message.id for lease in await take(store, await alive(store), 2)] == [early, late]

    @pytest.mark.parametrize("place", ["ready", "later", "waiting"])
    async def test_a_passed_deadline_ends_what_does_not_run(self, store: Store, clock: FakeClock, place: str) -> None:
        id = await put(store, deadline=soon(clock, 60), due_at=soon(clock, 90) if place == "later" else None)
        if place == "waiting":
            await asks(store, await leased(store, id))
        clock.pass_by(seconds=59)
        assert (await store.messages.tend()).expired == 0
        clock.pass_by(seconds=2)
        assert (await store.messages.tend()).expired == 1
        view = await store.messages.get(id)
        assert (view.state, view.error and view.error.code, view.ended_at) == (State.DEAD, "deadline-passed", clock.now())
        assert (view.attempt, view.wait) == (0, None)

    async def test_what_is_due_at_its_deadline_is_too_late(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, due_at=soon(clock, 60), deadline=soon(clock, 60))
        clock.pass_by(seconds=60)
        assert await store.messages.tend() == Tended(expired=1)
        assert await state(store, id) is State.DEAD

    async def test_a_deadline_does_not_take_a_message_from_its_worker(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, deadline=soon(clock, 5))
        clock.pass_by(seconds=6)
        assert (await store.messages.tend()).expired == 0
        await store.messages.done(lease, b"1")

    async def test_a_wait_without_an_end_is_ended(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=100.0)
        await asks(store, lease)
        clock.pass_by(seconds=99)
        assert (await store.messages.tend()).gave_up == 0
        clock.pass_by(seconds=2)
        assert (await store.messages.tend()).gave_up == 1
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.error and view.error.code) == (State.DEAD, "waited-too-long")
        assert view.error is not None
        assert UNKNOWN.message in "".join(view.error.causes), "what it waited for is named"

    async def test_a_wait_for_a_moment_is_never_too_long(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=10.0)
        await store.messages.park(lease, Wait(why="sleep", until=soon(clock, 1000)))
        sent_later = await put(store, max_wait_s=10.0, due_at=soon(clock, 1000))
        clock.pass_by(seconds=999)
        assert (await store.messages.tend()).gave_up == 0
        assert await states(store, [lease.message.id, sent_later]) == [State.LATER, State.LATER]

    async def test_account_waits_add_up_over_their_steps(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=100.0)
        id, began = lease.message.id, clock.now()
        for _ in range(4):
            await waits_for_account(store, lease, clock, 30)
            if clock.now() - began >= 90:
                break
            clock.pass_by(seconds=30)
            await store.messages.tend()
            lease = await leased(store, id)
            assert (lease.waiting_since, lease.attempt) == (began, 1)
        clock.pass_by(seconds=11)
        assert (await store.messages.tend()).gave_up == 1
        view = await store.messages.get(id)
        assert (view.state, view.error) == (State.DEAD, NO_CREDIT), "it ends with the account's own error"

    @pytest.mark.parametrize("after", ["sleep", "retry"])
    async def test_a_wait_that_is_over_counts_no_more(self, store: Store, clock: FakeClock, after: str) -> None:
        lease = await runs(store, max_wait_s=100.0)
        await waits_for_account(store, lease, clock, 60)
        clock.pass_by(seconds=60)
        await store.messages.tend()
        lease = await leased(store, lease.message.id)
        if after == "sleep":
            await store.messages.park(lease, Wait(why="sleep", until=soon(clock, 60)))
        else:
            await store.messages.retry(lease, BROKE, at=soon(clock, 60))
        clock.pass_by(seconds=60)
        await store.messages.tend()
        assert (await leased(store, lease.message.id)).waiting_since is None

    @pytest.mark.parametrize("obstacle", ["queue-paused", "all-paused", "lane-closed", "no-worker"])
    async def test_a_blocked_route_does_not_hold_a_message_for_ever(self, store: Store, clock: FakeClock, obstacle: str) -> None:
        blocked = await put(store, max_wait_s=100.0, lane="p/m", queue="q")
        if obstacle != "no-worker":
            await alive(store)
        if obstacle.endswith("paused"):
            await store.messages.pause("q" if obstacle == "queue-paused" else None)
        elif obstacle == "lane-closed":
            await store.messages.close_lane("p/m", until=soon(clock, 500), why="provider-billing")
        await store.messages.tend()
        clock.pass_by(seconds=99)
        assert (await store.messages.get(blocked)).blocked_by == obstacle
        assert (await store.messages.tend()).gave_up == 0
        clock.pass_by(seconds=2)
        assert (await store.messages.tend()).gave_up == 1
        view = await store.messages.get(blocked)
        assert (view.state, view.attempt, view.error and view.error.code) == (State.DEAD, 0, "waited-too-long")
        assert view.error is not None
        assert obstacle in view.error.message

    async def test_a_block_that_was_lifted_is_forgotten(self, store: Store, clock: FakeClock) -> None:
        id = await put(store, max_wait_s=100.0)
        await alive(store)
        for _ in range(2):
            await store.messages.pause("default")
            await store.messages.tend()
            clock.pass_by(seconds=60)
            await store.messages.tend()
            await store.messages.resume("default")
            await store.messages.tend()
        assert await state(store, id) is State.READY

    async def test_who_comes_to_a_blocked_route_waits_from_then_on(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        await store.messages.pause("default")
        await put(store)
        await store.messages.tend()
        clock.pass_by(seconds=80)
        late = await put(store, max_wait_s=100.0)
        clock.pass_by(seconds=80)
        await store.messages.tend()
        assert await state(store, late) is State.READY
        clock.pass_by(seconds=21)
        await store.messages.tend()
        assert await state(store, late) is State.DEAD

    async def test_who_comes_back_to_a_blocked_route_waits_from_then_on(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=100.0)
        await store.messages.pause("default")
        await store.messages.tend()
        clock.pass_by(seconds=80)
        await store.messages.release(lease)
        clock.pass_by(seconds=80)
        await store.messages.tend()
        assert await state(store, lease.message.id) is State.READY
        clock.pass_by(seconds=20)
        await store.messages.tend()
        assert await state(store, lease.message.id) is State.DEAD

    async def test_a_long_line_is_no_wait_without_an_end(self, store: Store, clock: FakeClock) -> None:
        await alive(store)
        id = await put(store, max_wait_s=10.0)
        await store.messages.tend()
        clock.pass_by(seconds=1000)
        assert (await store.messages.tend()).gave_up == 0
        assert await state(store, id) is State.READY

    async def test_a_message_given_up_can_be_revived(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=10.0)
        await asks(store, lease)
        clock.pass_by(seconds=11)
        await store.messages.tend()
        await store.messages.revive(lease.message.id)
        again = await leased(store, lease.message.id)
        assert (again.attempt, again.waiting_since) == (1, None)

    async def test_tending_twice_does_it_once(self, store: Store, clock: FakeClock) -> None:
        await put(store, due_at=soon(clock, 1))
        await put(store, deadline=soon(clock, 1))
        clock.pass_by(seconds=2)
        first, second = await store.messages.tend(), await store.messages.tend()
        assert (first.due, first.expired, second) == (1, 1, Tended())

    async def test_a_dead_workers_message_meets_its_deadline(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, deadline=soon(clock, 5))
        await dies(store, clock)
        await store.messages.tend()
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.error and view.error.code) == (State.DEAD, "deadline-passed")
