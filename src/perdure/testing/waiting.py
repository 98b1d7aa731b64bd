"""What it means to wait for a signal, and that no wake-up is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure.agents.journal import Decision, StepKind, StepState
from perdure.errors.base import Conflict, DedupConflict, LeaseLost, NotFound
from perdure.messages.children import MOST_SIGNALS
from perdure.messages.message import Lease, MessageId, State, Wait
from perdure.stores.store import Store
from perdure.testing.clock import FakeClock
from perdure.testing.given import BROKE, alive, asks, dies, intent, leased, put, runs, soon, state, take
from perdure.testing.kit import Kit
from perdure.testing.telling import hearing

__all__ = ["WaitingKit", "awaits", "listens"]


def awaits(name: str = "approval", number: int = 1, **changes: Any) -> Any:
    """Write the intent of a wait for a signal.

    Args:
        name (str): The signal's.
        number (int): Its place in the journal.
        **changes (Any): What is different about it.

    Returns:
        Any: For `obtain`.
    """
    return intent(number, kind=StepKind.WAIT, signal=name, **changes)


async def listens(store: Store, lease: Lease, name: str = "approval", number: int = 1, **changes: Any) -> None:
    """Begin to wait for a signal, and park for it.

    Args:
        store (Store): Where.
        lease (Lease): The run.
        name (str): The signal's.
        number (int): The step.
        **changes (Any): What is different about the wait.
    """
    assert await store.journal.obtain(lease, awaits(name, number)) is None
    await store.messages.park(lease, Wait(why="signal", step=number, events=(f"signal:{name}",), **changes))


class WaitingKit(Kit, standard=True):
    """Every store passes these. A `store` fixture gives a new, open one, made with the `clock` fixture."""

    async def test_a_signal_wakes_who_waits_for_it(self, store: Store) -> None:
        lease = await runs(store)
        await listens(store, lease)
        assert await state(store, lease.message.id) is State.WAITING
        assert (await store.messages.signal(lease.message.id, "approval", b'{"ok":true}')).state is State.READY
        again = await leased(store, lease.message.id)
        obtained = await store.journal.obtain(again, awaits())
        assert obtained is not None
        assert obtained.result == b'{"ok":true}'
        [step] = await store.journal.steps(lease.message.id)
        assert (step.state, step.result, step.tries) == (StepState.DONE, b'{"ok":true}', 1)

    async def test_what_it_waits_for_can_be_seen(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await listens(store, lease, until=soon(clock))
        wait = (await store.messages.get(lease.message.id)).wait
        assert wait == Wait(why="signal", step=1, until=soon(clock), events=("signal:approval",))

    async def test_a_signal_of_another_name_wakes_nobody(self, store: Store) -> None:
        lease = await runs(store)
        await listens(store, lease)
        assert (await store.messages.signal(lease.message.id, "rejection", b"1")).state is State.WAITING

    async def test_a_signal_that_comes_before_the_wait_is_kept(self, store: Store) -> None:
        id = await put(store)
        await store.messages.signal(id, "approval", b"1")
        lease = await leased(store, id)
        obtained = await store.journal.obtain(lease, awaits())
        assert obtained is not None
        assert obtained.result == b"1"

    async def test_who_parks_for_what_has_just_come_is_ready_at_once(self, store: Store) -> None:
        lease = await runs(store)
        assert await store.journal.obtain(lease, awaits()) is None
        await store.messages.signal(lease.message.id, "approval", b"1")
        await store.messages.park(lease, Wait(why="signal", step=1, events=("signal:approval",)))
        assert await state(store, lease.message.id) is State.READY

    async def test_of_a_park_and_a_signal_at_the_same_time_no_wake_up_is_lost(self, store: Store) -> None:
        worker = await alive(store)
        ids = [await put(store) for _ in range(30)]
        leases = await take(store, worker, 30)
        for lease in leases:
            assert await store.journal.obtain(lease, awaits()) is None
        parks = [store.messages.park(lease, Wait(why="signal", step=1, events=("signal:approval",))) for lease in leases]
        signals = [store.messages.signal(id, "approval", b"1") for id in ids]
        await asyncio.gather(*(call for pair in zip(parks, signals, strict=True) for call in pair))
        assert [await state(store, id) for id in ids] == [State.READY] * 30

    async def test_signals_of_one_name_are_taken_in_their_order(self, store: Store) -> None:
        lease = await runs(store)
        for data in (b"1", b"2", b"3"):
            await store.messages.signal(lease.message.id, "vote", data)
        taken = [await store.journal.obtain(lease, awaits("vote", number)) for number in (1, 2, 3, 4)]
        assert [one and one.result for one in taken] == [b"1", b"2", b"3", None]

    async def test_a_wait_that_timed_out_takes_no_signal(self, store: Store) -> None:
        lease = await runs(store)
        assert await store.journal.obtain(lease, awaits()) is None
        await store.journal.fail(lease, 1, BROKE)
        await store.messages.signal(lease.message.id, "approval", b"1")
        obtained = await store.journal.obtain(lease, awaits(number=2))
        assert obtained is not None
        assert obtained.result == b"1"

    async def test_a_repeated_signal_is_one(self, store: Store) -> None:
        lease = await runs(store)
        for _ in range(2):
            await store.messages.signal(lease.message.id, "vote", b"1", key="ann")
        await store.messages.signal(lease.message.id, "vote", b"1", key="bob")
        taken = [await store.journal.obtain(lease, awaits("vote", number)) for number in (1, 2, 3)]
        assert [one is not None for one in taken] == [True, True, False]

    async def test_a_key_with_other_data_is_refused(self, store: Store) -> None:
        id = await put(store)
        await store.messages.signal(id, "vote", b"1", key="ann")
        with pytest.raises(DedupConflict):
            await store.messages.signal(id, "vote", b"2", key="ann")

    async def test_a_repeated_signal_is_answered_even_after_the_end(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.signal(lease.message.id, "vote", b"1", key="ann")
        await store.messages.done(lease, b"1")
        assert (await store.messages.signal(lease.message.id, "vote", b"1", key="ann")).state is State.DONE
        with pytest.raises(Conflict):
            await store.messages.signal(lease.message.id, "vote", b"1", key="bob")

    async def test_signals_that_nobody_takes_are_bounded(self, store: Store) -> None:
        id = await put(store)
        for _ in range(MOST_SIGNALS // 5):
            await asyncio.gather(*(store.messages.signal(id, "vote", b"1") for _ in range(5)))
        with pytest.raises(Conflict):
            await store.messages.signal(id, "vote", b"1")
        lease = await leased(store, id)
        assert await store.journal.obtain(lease, awaits("vote")) is not None
        await store.messages.signal(id, "vote", b"1")

    @pytest.mark.parametrize("tenant", [None, "stranger"], ids=["unknown", "of-another-tenant"])
    async def test_nobody_signals_what_is_not_theirs(self, store: Store, tenant: str | None) -> None:
        id = MessageId(7) if tenant is None else await put(store, tenant="owner")
        with pytest.raises(NotFound):
            await store.messages.signal(id, "approval", b"1", tenant=tenant)

    async def test_a_signal_for_something_else_leaves_a_persons_question_open(self, store: Store) -> None:
        lease = await runs(store)
        await asks(store, lease)
        assert (await store.messages.signal(lease.message.id, "outcome-unknown", b"1")).state is State.WAITING
        await store.journal.decide(lease.message.id, 1, Decision.RUN_AGAIN, by="key_1")
        assert await state(store, lease.message.id) is State.READY

    async def test_one_of_several_events_is_enough(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.park(lease, Wait(why="signal", step=1, events=("signal:a", "signal:b")))
        assert (await store.messages.signal(lease.message.id, "b", b"1")).state is State.READY

    async def test_a_wait_with_a_time_out_goes_on_without_the_signal(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await listens(store, lease, until=soon(clock, 60))
        assert (await store.messages.tend()).next_due_at == soon(clock, 60)
        clock.pass_by(seconds=59)
        assert (await store.messages.tend()).due == 0
        clock.pass_by(seconds=1)
        assert (await store.messages.tend()).due == 1
        view = await store.messages.get(lease.message.id)
        assert (view.state, view.wait) == (State.READY, None)

    async def test_a_wait_with_a_time_out_is_limited_by_nothing_else(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=10.0)
        await listens(store, lease, until=soon(clock, 60))
        clock.pass_by(seconds=59)
        tended = await store.messages.tend()
        assert (tended.gave_up, tended.due) == (0, 0)

    async def test_a_wait_without_a_time_out_ends_with_patience(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=10.0)
        await listens(store, lease)
        clock.pass_by(seconds=10)
        assert (await store.messages.tend()).gave_up == 1
        error = (await store.messages.get(lease.message.id)).error
        assert error is not None
        assert error.code == "waited-too-long"

    async def test_a_wake_begins_patience_anew(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, max_wait_s=10.0)
        await listens(store, lease)
        clock.pass_by(seconds=9)
        await store.messages.signal(lease.message.id, "approval", b"1")
        again = await leased(store, lease.message.id)
        assert again.waiting_since is None
        await store.journal.obtain(again, awaits())
        await listens(store, again, number=2)
        clock.pass_by(seconds=9)
        assert (await store.messages.tend()).gave_up == 0

    async def test_the_deadline_ends_a_wait(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store, deadline=soon(clock, 30))
        await listens(store, lease, until=soon(clock, 60))
        clock.pass_by(seconds=30)
        assert (await store.messages.tend()).expired == 1

    async def test_who_waits_can_be_cancelled(self, store: Store) -> None:
        lease = await runs(store)
        await listens(store, lease)
        assert (await store.messages.cancel(lease.message.id)).state is State.CANCELLED

    async def test_waiting_uses_no_attempt_and_is_no_crash(self, store: Store) -> None:
        lease = await runs(store)
        await listens(store, lease)
        await store.messages.signal(lease.message.id, "approval", b"1")
        assert (await leased(store, lease.message.id)).attempt == 1

    async def test_a_step_that_has_its_signal_never_takes_another(self, store: Store) -> None:
        lease = await runs(store)
        await store.messages.signal(lease.message.id, "approval", b"1")
        await store.journal.obtain(lease, awaits())
        with pytest.raises(Conflict):
            await store.journal.obtain(lease, awaits())

    async def test_a_stale_worker_takes_no_signal(self, store: Store, clock: FakeClock) -> None:
        lease = await runs(store)
        await dies(store, clock)
        await store.messages.signal(lease.message.id, "approval", b"1")
        with pytest.raises(LeaseLost):
            await store.journal.obtain(lease, awaits())
        again = await leased(store, lease.message.id)
        assert await store.journal.obtain(again, awaits()) is not None

    async def test_signals_and_wakes_are_told(self, store: Store) -> None:
        lease = await runs(store)
        await listens(store, lease)
        with hearing("message.") as told:
            await store.messages.signal(lease.message.id, "approval", b"1")
        assert [name for name, _ in told] == ["message.signalled", "message.woken"]
